"""The open cases of the threat model that end at the container: C1-C5, D3, D5, F1-F10, sweeping, nothing left."""

# ruff: noqa: F811 - fixtures

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import docker
import pytest

from bot.protocols import SandboxProvider
from bot.sandbox.docker.container import LABEL_OWNER, LABEL_RUN
from bot.sandbox.docker.provider import DockerProvider
from bot.sandbox.living import LivingSandbox
from bot.testing.contracts_provider import provider_contract
from bot.testing.contracts_sandbox import LIMITS, SECRET, make_checkout, shell, template
from bot.types.sandbox import ExecRequest, Template
from tests.sandbox_fixtures import (  # noqa: F401 - fixtures
    api,
    checkout,
    create_warm,
    provider,
    sandbox,
    tiny_image,
    warm_provider,
    warm_sandbox,
)

pytestmark = pytest.mark.docker
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(params=["own", "donor's"])
def shape(request: pytest.FixtureRequest) -> LivingSandbox:
    """A sandbox with namespaces of its own, and one in a donor's, whose own process takes the commands."""
    return request.getfixturevalue("sandbox" if request.param == "own" else "warm_sandbox")  # type: ignore[no-any-return]


def test_profile_is_hardened(api: docker.APIClient, shape: LivingSandbox) -> None:
    state = api.inspect_container(shape.id)
    host, config, warm = state["HostConfig"], state["Config"], shape.record.warm
    donor = host["NetworkMode"].removeprefix("container:") if warm else ""
    assert (host["NetworkMode"], host["PidMode"]) == ((f"container:{donor}",) * 2 if warm else ("none", ""))
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Memory"] == host["MemorySwap"] == LIMITS.memory_mb << 20
    assert host["PidsLimit"] == LIMITS.pids
    assert host["LogConfig"]["Type"] == "none"
    assert (host["IpcMode"], host["Privileged"], host.get("Init")) == ("private", False, None if warm else True)
    assert not any("docker.sock" in str(mount) for mount in state["Mounts"])
    assert {mount["Destination"] for mount in state["Mounts"] if mount["RW"]} == {"/workspace"}
    assert "FROM_TEMPLATE" not in str(config["Env"]), "inspection shows no variables"
    if warm:
        _donor_is_hardened(api.inspect_container(donor))


def _donor_is_hardened(state: dict[str, Any]) -> None:
    """It holds namespaces and a clock, and nothing that the task could use."""
    host = state["HostConfig"]
    assert (host["NetworkMode"], host["PidMode"], host["IpcMode"], host["Init"]) == ("none", "", "private", True)
    assert (host["ReadonlyRootfs"], host["CapDrop"], host["CapAdd"]) == (True, ["ALL"], None)
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Memory"] == host["MemorySwap"] == 64 << 20
    assert 0 < host["PidsLimit"] <= 64
    assert host["LogConfig"]["Type"] == "none"
    assert not any(mount["RW"] for mount in state["Mounts"])
    assert state["Config"]["User"] == "65533:65533"


def test_process_has_no_privilege(shape: LivingSandbox) -> None:
    status = shell(shape, "cat /proc/self/status").stdout.decode()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert "0" not in fields["Uid"].split()
    assert shell(shape, "unshare -Ur true").exit_code != 0


def test_c1_200_names_of_the_host(provider: DockerProvider, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = {f"HOST_{number}_{os.urandom(4).hex()}": os.urandom(8).hex() for number in range(200)}
    for name, value in canaries.items():
        monkeypatch.setenv(name, value)
    made = provider.create(template(checkout))
    try:
        seen = shell(
            made, "env; cat /proc/1/environ /proc/self/environ /proc/*/cmdline 2>&1", output_bytes=10**6
        ).stdout
    finally:
        made.close()
    assert not [name for name, value in canaries.items() if name.encode() in seen or value.encode() in seen]


def test_c3_nothing_of_the_engine_or_the_host(shape: LivingSandbox) -> None:
    script = """
    ls /var/run/docker.sock /run/docker.sock /run/containerd /run/podman /dev/kmsg /dev/mem /dev/vda 2>/dev/null
    env | grep DOCKER; ls /root /home/* | grep -v : ; dmesg 2>/dev/null
    """
    assert shell(shape, script).stdout.strip() == b""
    assert shell(shape, f"grep -s '{os.getpid()} (' /proc/[0-9]*/stat").stdout == b"", "own process numbers"


def test_c5_no_packet_reaches_the_host(shape: LivingSandbox) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        script = """
import socket, sys
port = int(sys.argv[1])
targets = ["127.0.0.1", "169.254.169.254", "172.17.0.1", "8.8.8.8", "::1", "fe80::1"]
for host in targets:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            with socket.socket(family, kind, 1 if kind == socket.SOCK_RAW else 0) as s:
                s.settimeout(0.2)
                s.connect((host, port)); s.send(b"x")
                print("reached", host, kind) if kind == socket.SOCK_STREAM else None
        except OSError:
            pass
"""
        result = shape.exec(ExecRequest(argv=("python3", "-c", script, str(port)), seconds=60))
        assert (result.ok, result.stdout) == (True, b"")
        with pytest.raises(TimeoutError):
            server.accept()


def test_d5_traps_of_the_tree_stay_silent(provider: DockerProvider, checkout: Path, tmp_path: Path) -> None:
    """Collecting starts no git on what the sandbox wrote."""
    tripwire = tmp_path / "tripwire"
    made = provider.create(template(checkout))
    try:
        script = """
        git config core.fsmonitor "touch $1"; git config core.sshCommand "touch $1"; git config core.hooksPath hooks
        mkdir -p hooks .git/hooks
        printf '#!/bin/sh\\ntouch %s\\n' "$1" | tee hooks/post-index-change .git/hooks/post-index-change
        chmod +x hooks/* .git/hooks/*; echo '* filter=x diff=x' > .gitattributes; echo x > README.md
        """
        shell(made, script, str(tripwire))
        changes = made.collect(tmp_path / "blobs")
    finally:
        made.close()
    assert [each.path for each in changes.files] == [".gitattributes", "README.md", "hooks/post-index-change"]
    assert not tripwire.exists()


def test_an_overlays_notes_cannot_be_forged(provider: DockerProvider, checkout: Path, tmp_path: Path) -> None:
    """What the tests in the sandbox saw is what is proposed: no file is deleted that was there to the end."""
    names = [f"{space}.overlay.{note}" for space in ("user", "trusted") for note in ("opaque", "whiteout", "redirect")]
    forge = f"""
import contextlib, os
open("src/new.py", "w").close()
for name in {names!r}:
    for path in (".", "src", "src/new.py"):
        with contextlib.suppress(OSError):
            os.setxattr(path, name, b"y")
"""
    box = provider.create(template(checkout))
    try:
        done = box.exec(ExecRequest(argv=("python3", "-c", forge)))
        assert done.ok, done
        changes = box.collect(tmp_path / "blobs")
    finally:
        box.close()
    assert [(each.path, each.kind) for each in changes.files] == [("src/new.py", "added")]


def test_passwords_for_registries_stay_outside(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment on PATH comes along with its tools, and without the password of the index that they came from."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (venv / "bin" / "tool").write_text("#!/bin/sh\necho works\n")
    (venv / "bin" / "tool").chmod(0o755)
    (venv / "pip.conf").write_text(f"[global]\nindex-url = https://u:{SECRET}@example.org/simple\n")
    tmp_path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{venv}/bin:{os.environ['PATH']}")
    box = DockerProvider(work=tmp_path / "work").create(template(checkout))
    try:
        assert shell(box, "tool").stdout == b"works\n"
        done = shell(box, 'cat "$1"; cat /usr/etc/npmrc /usr/local/etc/npmrc 2>/dev/null', f"{venv}/pip.conf")
        assert done.stdout == b""
    finally:
        box.close()


@pytest.mark.parametrize("warm", [False, True])
def test_f3_gone_with_the_wall_clock(api: docker.APIClient, warm: bool, checkout: Path, tmp_path: Path) -> None:
    """Also when nobody calls any more: the container itself ends."""
    provider, wanted = DockerProvider(work=tmp_path / "work"), template(checkout, limits=LIMITS.changed(minutes=0.01))
    made = create_warm(provider, wanted) if warm else provider.create(wanted)
    try:
        deadline = time.monotonic() + 30
        while api.inspect_container(made.id)["State"]["Running"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        made.close()
        provider.close()
    assert left_in(tmp_path / "work") == []


def test_the_task_cannot_end_the_keeper_of_the_clock(api: docker.APIClient, shape: LivingSandbox) -> None:
    donor = api.inspect_container(shape.id)["HostConfig"]["PidMode"].removeprefix("container:")
    keeper = api.inspect_container(donor or shape.id)["State"]
    shell(shape, "kill -9 -1")
    shell(shape, "kill -9 1 7 8; for p in /proc/[0-9]*; do kill -9 ${p#/proc/}; done")
    after = api.inspect_container(donor or shape.id)["State"]
    assert (after["Running"], after["Pid"]) == (True, keeper["Pid"])
    assert shell(shape, "echo fine").stdout == b"fine\n"


def test_f6_a_flood_keeps_memory_flat(sandbox: LivingSandbox) -> None:
    shell(sandbox, "head -c 20000000 /dev/zero")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = shell(sandbox, "head -c 200000000 /dev/zero & head -c 200000000 /dev/zero >&2; wait", output_bytes=50_000)
    assert result.dropped_bytes == 400_000_000 - 100_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000, "KiB"


def test_one_file_has_a_limit(sandbox: LivingSandbox) -> None:
    assert sandbox.exec(ExecRequest(argv=("truncate", "-s", "5G", "huge"))).ending == "disk"


def left_in(work: Path) -> list[str]:
    """What a work folder holds beside what is kept for the next ones: empty disks, locks."""
    return [each.name for each in work.iterdir() if not each.name.startswith(".")]


def leftovers_of(api: docker.APIClient, names: set[str]) -> set[str]:
    containers = {each["Names"][0].lstrip("/") for each in api.containers(all=True)}
    return names & (containers | {each["Name"] for each in api.volumes()["Volumes"] or []})


def test_u6_nothing_is_left(api: docker.APIClient, checkout: Path, tmp_path: Path) -> None:
    provider = DockerProvider(work=tmp_path / "work")
    made = provider.create(template(checkout))
    shell(made, "mkdir -p a/b; touch a/b/c; chmod 0 a; i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done")
    made.close()
    with pytest.raises(Exception, match="no image"):
        provider.create(template(checkout).changed(image="no-such-image"))
    assert left_in(tmp_path / "work") == []
    assert leftovers_of(api, {made.id}) == set()


def test_a_start_that_fails_leaves_nothing(api: docker.APIClient, checkout: Path, tmp_path: Path) -> None:
    provider, run_id = DockerProvider(work=tmp_path / "work"), os.urandom(8).hex()
    archive = tmp_path / "empty.tar"
    subprocess.run(["tar", "cf", str(archive), "-C", str(checkout), "README.md"], check=True)
    api.import_image_from_file(str(archive), repository="sandpiper-test-empty", tag=tmp_path.name.lower())
    image = f"sandpiper-test-empty:{tmp_path.name.lower()}"
    try:
        with pytest.raises(Exception, match="image_unusable"):
            provider.create(template(checkout, run_id=run_id).changed(image=image))
    finally:
        api.remove_image(image, force=True)
    assert left_in(tmp_path / "work") == []
    assert not api.containers(all=True, filters={"label": f"{LABEL_RUN}={run_id}"})


def test_sweep_takes_the_dead_and_leaves_the_others(api: docker.APIClient, checkout: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    run_id = os.urandom(8).hex()
    code = f"""
import os, signal
from pathlib import Path
from bot.sandbox.docker.provider import DockerProvider
from bot.types.sandbox import Template
made = DockerProvider(work=Path({str(work)!r})).create(Template(run_id={run_id!r}, checkout={str(checkout)!r}))
print(made.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    dead = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    assert leftovers_of(api, {dead}) == {dead}
    provider = DockerProvider(work=work)
    living = provider.create(template(checkout, run_id=os.urandom(8).hex()))
    decoy = api.create_container(
        api.inspect_container(living.id)["Image"], ["true"], labels={"other.owner": "1"}, name=f"decoy-{run_id}"
    )["Id"]
    api.create_volume(f"decoy-{run_id}", labels={LABEL_OWNER + ".not": "1"})
    try:
        provider.sweep()
        assert leftovers_of(api, {dead}) == set()
        assert not (work / dead).exists()
        assert shell(living, "echo alive").stdout == b"alive\n"
        assert api.inspect_container(decoy)["Name"] == f"/decoy-{run_id}"
        assert leftovers_of(api, {f"decoy-{run_id}"})
        assert provider.sweep(living.id.split("-")[1]) == 1, "of one run, whoever owns it"
        assert left_in(work) == []
    finally:
        living.close()
        api.remove_container(decoy, force=True)
        api.remove_volume(f"decoy-{run_id}")


def test_image_by_name(provider: DockerProvider, checkout: Path, tiny_image: str, tmp_path: Path) -> None:
    made = provider.create(template(checkout).changed(image=tiny_image))
    try:
        made.write_file("src/new.txt", b"new", executable=True)
        assert made.read_file("src/new.txt") == b"new"
        assert "src/new.txt" in made.list_files()
        assert shell(made, 'touch /tmp/x "$HOME/x" && id -un').stdout == b"bot\n"
        assert shell(made, "sleep 60", seconds=0.5).ending == "timed_out"
        assert made.exec(ExecRequest(argv=("python3",))).exit_code == 127, "nothing of the host's"
        assert [each.path for each in made.collect(tmp_path / "blobs").files] == ["src/new.txt"]
    finally:
        made.close()


CHECKS = dict(provider_contract())


@pytest.mark.parametrize("name", ["changes", "ignored", "replaced", "special_files", "odd_names"])
def test_a_copy_where_no_overlay_can_be(name: str, tmp_path: Path) -> None:
    """A work folder whose name can't stand in mount options."""
    provider: SandboxProvider = DockerProvider(work=tmp_path / "work, with: odd name")
    CHECKS[name](provider, make_checkout(tmp_path / "checkout"), tmp_path / "blobs")
    assert left_in(tmp_path / "work, with: odd name") == []


@pytest.mark.parametrize("kind", ["worktree", "shared", "bare-folder"])
def test_checkouts_of_other_shapes(kind: str, provider: DockerProvider, checkout: Path, tmp_path: Path) -> None:
    """A linked worktree and a clone that borrows its objects have their history; a plain folder works too."""
    environ = {**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    origin, other = make_checkout(tmp_path / "origin"), tmp_path / "other"
    (origin / ".git" / "hooks" / "post-checkout").unlink()
    if kind == "worktree":
        subprocess.run(["git", "worktree", "add", "-q", str(other)], cwd=origin, env=environ, check=True)
    elif kind == "shared":
        subprocess.run(["git", "clone", "-q", "--shared", str(origin), str(other)], env=environ, check=True)
    else:
        other.mkdir()
        (other / "README.md").write_text("hello\n")
    made = provider.create(template(other))
    try:
        if kind != "bare-folder":
            assert shell(made, "git log --format=%s && git status --porcelain").stdout == b"first\n"
        shell(made, 'echo changed > README.md; grep -rs "$1" . && echo leak > README.md', SECRET)
        changes = made.collect(tmp_path / "blobs")
    finally:
        made.close()
    assert [(each.path, each.kind) for each in changes.files] == [("README.md", "modified")]


def test_another_users_checkout(provider: DockerProvider, tmp_path: Path) -> None:
    """The sandbox works as whoever owns the checkout, root excepted."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    checkout = make_checkout(tmp_path / "checkout")
    subprocess.run(["chown", "-R", "1234:1234", str(checkout)], check=True)
    made = provider.create(Template(run_id="a" * 16, checkout=str(checkout), limits=LIMITS))
    try:
        assert not (made.workspace.folder / "lower").is_dir() or (made.workspace.folder / "lower").is_symlink()
        result = shell(made, "id -u; git log --format=%s; echo x > src/a.py")
        assert (result.stdout, result.stderr) == (b"1234\nfirst\n", b"")
        assert [each.path for each in made.collect(tmp_path / "blobs").files] == ["src/a.py"]
    finally:
        made.close()


def test_a_bot_without_root(docker_engine: None) -> None:
    """The engine's folders belong to root; a user who may talk to it leaves nothing behind all the same."""
    if os.geteuid() != 0:
        pytest.skip("every other test is this one then")
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as report:
        folder = Path(name)
        (folder / "checkout").mkdir()
        make_checkout(folder / "checkout")
        subprocess.run(["chown", "-R", "1500:1500", name], check=True)
        child = os.fork()  # a new interpreter might lie where that user can't read
        if child == 0:
            status = 1
            try:
                _become(1500, Path("/var/run/docker.sock").stat().st_gid)
                _use_as_user(folder)
                status = 0
            except BaseException:  # noqa: BLE001 - the child must not go on as a second test run
                report.write(traceback.format_exc())
                report.flush()
            finally:
                os._exit(status)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        report.seek(0)
        assert code == 0, report.read()


def _use_as_user(folder: Path) -> None:
    provider = DockerProvider(work=folder / "work")
    for name in ("changes", "replaced", "ignored"):
        CHECKS[name](provider, folder / "checkout", folder / "blobs")
    made = provider.create(template(folder / "checkout"))
    shell(made, "mkdir -p a/b; touch a/b/c; chmod 0 a/b a")
    assert made.workspace.kind == "overlay"
    made.close()
    assert left_in(folder / "work") == []


def _become(user: int, group: int) -> None:
    os.environ.update(PATH="/usr/bin:/bin", HOME="/nonexistent")
    os.setgroups([group])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)

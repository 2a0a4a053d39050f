"""Bubblewrap keeps the contract of all sandboxes, and is closed: C1-C5, what the filter refuses, what stays."""

# ruff: noqa: F811 - fixtures

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.errors import SandboxError
from bot.protocols import Sandbox, SandboxProvider
from bot.sandbox import processes
from bot.sandbox.bubblewrap import cgroup
from bot.sandbox.bubblewrap.body import parts_of
from bot.sandbox.bubblewrap.provider import BubblewrapProvider
from bot.sandbox.folder import Note, process_identity, read_note
from bot.sandbox.living import LivingSandbox
from bot.testing.contracts_given import LIMITS, ProviderCheck, SandboxCheck, make_checkout, refusal, shell, template
from bot.testing.contracts_provider import provider_contract
from bot.testing.contracts_sandbox import sandbox_contract
from bot.types.network import Network
from bot.types.sandbox import Cache, ExecRequest, Template
from tests.bubblewrap_fixtures import bubblewrap, tree, wrapped  # noqa: F401 - fixtures

ROOT = Path(__file__).resolve().parent.parent
LIMITED = {"memory", "pids"} <= cgroup.own_parents().folders.keys()
"""Without control groups the checks that need them would do to the machine what a sandbox has to survive."""
CHECKS = dict(
    provider_contract(
        images=False, limits=LIMITED, disk=os.geteuid() == 0, networks=frozenset(("none", "restricted", "bridge"))
    )
)


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in sandbox_contract(limits=LIMITED)])
def test_sandbox(check: SandboxCheck, wrapped: LivingSandbox) -> None:
    check(wrapped)


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in CHECKS.items()])
def test_provider(check: ProviderCheck, bubblewrap: SandboxProvider, tree: Path, tmp_path: Path) -> None:
    check(bubblewrap, tree, tmp_path / "blobs")


def test_what_it_cannot_give_is_refused_by_name(bubblewrap: BubblewrapProvider, tree: Path) -> None:
    wanted = template(tree)
    for asked, code in (
        (wanted.changed(image="python:3"), "image_unsupported"),
        (wanted.changed(gpu=True), "gpu_unsupported"),
        (wanted.changed(runtime="runsc"), "runtime_unsupported"),
        (wanted.changed(network=Network(mode="isolated")), "network_unsupported"),
        (wanted.changed(checkout=str(tree / "none")), "workspace_failed"),
    ):
        assert refusal(lambda asked=asked: bubblewrap.create(asked).close()) == code  # type: ignore[misc]


def test_process_has_no_privilege(wrapped: LivingSandbox) -> None:
    status = shell(wrapped, "cat /proc/self/status").stdout.decode()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert "0" not in fields["Uid"].split()
    limits = shell(wrapped, "ulimit -c; ulimit -n; hostname; stat -f -c %T /workspace /tmp").stdout.split()
    assert (limits[0], int(limits[1]) <= 4096, limits[2]) == (b"0", True, b"sandbox")


def test_every_namespace_is_its_own(wrapped: LivingSandbox) -> None:
    names = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
    inside = shell(wrapped, "cd /proc/self/ns; readlink " + " ".join(names)).stdout.decode().split()
    outside = [os.readlink(f"/proc/self/ns/{name}") for name in names]  # noqa: PTH115
    assert len(inside) == len(names)
    assert not set(inside) & set(outside)


def test_nobody_in_it_is_root_outside(bubblewrap: BubblewrapProvider, tree: Path) -> None:
    """Not the processes of the task, and not the first one either."""
    made = bubblewrap.create(template(tree))
    try:
        shell(made, "sleep 30 >/dev/null 2>&1 &")
        init = processes.pid_of(parts_of(note_of(bubblewrap, made)).init)
        everyone = {init, *processes.descendants(init)}
        assert len(everyone) > 2
        owners = {line.split()[1] for pid in everyone for line in status_of(pid) if line.startswith("Uid:")}
    finally:
        made.close()
    assert owners == {str(made.workspace.uid)}
    assert "0" not in owners


def note_of(provider: BubblewrapProvider, made: Sandbox) -> Note:
    note = read_note(provider._workshop.work / made.id)
    assert note is not None
    return note


def status_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def test_c1_200_names_of_the_host(bubblewrap: BubblewrapProvider, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = {f"HOST_{number}_{os.urandom(4).hex()}": os.urandom(8).hex() for number in range(200)}
    for name, value in canaries.items():
        monkeypatch.setenv(name, value)
    made = bubblewrap.create(template(tree))
    try:
        script = "env; cat /proc/[0-9]*/environ /proc/self/environ /proc/[0-9]*/cmdline 2>&1"
        seen = shell(made, script, output_bytes=10**6).stdout
    finally:
        made.close()
    assert not [name for name, value in canaries.items() if name.encode() in seen or value.encode() in seen]


def test_c2_files_of_the_host(wrapped: LivingSandbox, tree: Path) -> None:
    """What is not mounted is not there, and the machine's users and settings are not."""
    script = 'cat /etc/shadow /root/.ssh/* /etc/hostname "$1"/README.md 2>/dev/null; ls -A /root /home /mnt /var /run'
    seen = shell(wrapped, script, str(tree)).stdout.decode().split()
    assert not [word for word in seen if word not in {"/root:", "/home:", "/mnt:", "/var:", "/run:"}] or set(seen) <= {
        *("/root:", "/home:", "/mnt:", "/var:", "/run:", "bot", "tmp", "sandpiper"),
        *(part for part in shell(wrapped, "echo $PATH").stdout.decode().strip().replace(":", "/").split("/")),
    }
    assert b"root:x:0:0" in shell(wrapped, "cat /etc/passwd").stdout


def test_c3_nothing_of_the_engine_or_the_host(wrapped: LivingSandbox) -> None:
    script = """
    ls /var/run/docker.sock /run/docker.sock /run/containerd /run/podman /dev/kmsg /dev/mem /dev/vda 2>/dev/null
    env | grep DOCKER; dmesg 2>/dev/null; ls /sys 2>/dev/null; find /dev -type b
    """
    assert shell(wrapped, script).stdout.strip() == b""
    assert shell(wrapped, f"grep -s '{os.getpid()} (' /proc/[0-9]*/stat").stdout == b"", "own process numbers"


def test_nothing_but_its_own_streams_is_open(wrapped: LivingSandbox) -> None:
    listing = shell(wrapped, "for f in /proc/[0-9]*/fd/*; do readlink $f; done").stdout.decode().split("\n")
    foreign = [each for each in listing if each and not each.startswith(("/run/sandpiper/", "/dev/null", "pipe:"))]
    assert all("/proc/" in each or each.startswith("anon_inode:") for each in foreign), foreign


def test_c5_no_packet_reaches_the_host(wrapped: LivingSandbox) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        server.settimeout(0.2)
        script = """
import socket, sys
port = int(sys.argv[1])
for host in ["127.0.0.1", "169.254.169.254", "172.17.0.1", "8.8.8.8", "::1", "fe80::1"]:
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
        result = wrapped.exec(ExecRequest(argv=("python3", "-c", script, str(server.getsockname()[1])), seconds=60))
        assert (result.ok, result.stdout) == (True, b"")
        with pytest.raises(TimeoutError):
            server.accept()
    assert shell(wrapped, "tail -n +3 /proc/net/dev | cut -d: -f1").stdout.split() == [b"lo"]
    loopback = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    assert wrapped.exec(ExecRequest(argv=("python3", "-c", loopback))).ok, "its own loopback works"


REFUSED = """
import ctypes, errno, os, socket, platform
libc = ctypes.CDLL(None, use_errno=True)
arm = platform.machine() == "aarch64"
def call(name, x86, arm64, *words):
    ctypes.set_errno(0)
    got = libc.syscall(ctypes.c_long(arm64 if arm else x86), *(ctypes.c_long(word) for word in words))
    print(name, errno.errorcode.get(ctypes.get_errno(), "done") if got < 0 else "done")
call("unshare", 272, 97, 0x10000000)
call("clone", 56, 220, 0x10000000 | 17, 0, 0, 0, 0)
call("clone3", 435, 435, 0, 0)
call("mount", 165, 40, 0, 0, 0, 0, 0)
call("fsopen", 430, 430, 0, 0)
call("setns", 308, 268, 0, 0)
call("bpf", 321, 280, 0, 0, 0)
call("userfaultfd", 323, 282, 0)
call("io_uring_setup", 425, 425, 1, 0)
call("keyctl", 250, 219, 0, 0, 0, 0, 0)
call("perf_event_open", 298, 241, 0, 0, 0, 0, 0)
call("personality", 135, 92, 0x0040000)
call("future", 5000, 5000)
call("getpid", 39, 172)
call("TIOCSTI", 16, 29, 0, 0x5412, 0)
for family in (38, 40):
    try:
        socket.socket(family, socket.SOCK_STREAM if family == 40 else socket.SOCK_SEQPACKET, 0).close()
        print(family, "done")
    except OSError as error:
        print(family, errno.errorcode[error.errno])
"""


def test_the_kernel_refuses_what_the_filter_says(wrapped: LivingSandbox) -> None:
    """Real calls, with what the sandbox has: a filter that is not loaded would show here."""
    done = wrapped.exec(ExecRequest(argv=("python3", "-c", REFUSED)))
    answers = dict(line.split() for line in done.stdout.decode().splitlines())
    assert done.ok, done
    assert {name for name, answer in answers.items() if answer == "ENOSYS"} == {"clone3", "future"}
    assert {name for name, answer in answers.items() if answer == "done"} == {"getpid"}
    assert {name for name, answer in answers.items() if answer == "EPERM"} == answers.keys() - {
        *("clone3", "future", "getpid")
    }
    threads = "import threading; t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()"
    assert wrapped.exec(ExecRequest(argv=("python3", "-c", threads))).stdout == b"thread\n"
    assert shell(wrapped, "unshare -Ur true").exit_code != 0


def test_memory_file_systems_have_a_size(wrapped: LivingSandbox) -> None:
    for folder in ("/tmp", "$HOME", "/dev/shm"):
        filled = shell(wrapped, f'head -c 1G /dev/zero > "{folder}/big"; stat -c %s "{folder}/big"; rm "{folder}/big"')
        assert 0 < int(filled.stdout) <= 130 << 20, folder
    assert shell(wrapped, "touch /dev/x /x /etc/x /run/sandpiper/x").exit_code != 0


def test_a_read_only_workspace_and_further_memory(bubblewrap: BubblewrapProvider, tree: Path) -> None:
    made = bubblewrap.create(template(tree).changed(read_only=True, tmpfs={"/scratch": 8}))
    try:
        assert shell(made, "touch new; echo x >> README.md").exit_code != 0
        assert shell(made, "touch /scratch/new && cat README.md").stdout == b"hello\n"
        assert shell(made, "head -c 20M /dev/zero > /scratch/big").exit_code != 0
    finally:
        made.close()


def test_an_empty_workspace(bubblewrap: BubblewrapProvider, tmp_path: Path) -> None:
    made = bubblewrap.create(Template(run_id="e" * 16, limits=LIMITS))
    try:
        assert shell(made, "ls -A; echo x > made").stdout == b""
        assert [each.path for each in made.collect(tmp_path / "blobs").files] == ["made"]
    finally:
        made.close()


@pytest.mark.parametrize("name", ["changes", "ignored", "replaced", "special_files", "odd_names"])
def test_a_copy_where_no_overlay_can_be(name: str, bubblewrap: SandboxProvider, tmp_path: Path) -> None:
    """A work folder whose name can't stand in mount options."""
    work = tmp_path / "work, with: odd name"
    CHECKS[name](BubblewrapProvider(work=work), make_checkout(tmp_path / "checkout"), tmp_path / "blobs")
    assert not list(work.glob("sandpiper-*"))


ASK = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_a_restricted_network_leads_to_the_proxy_alone(tree: Path, bubblewrap: object, tmp_path: Path) -> None:
    """Through time-outs and the end of all that the task could end; nothing of it stays behind."""
    asked: list[tuple[str, str, str]] = []
    provider = BubblewrapProvider(
        work=tmp_path / "w", on_egress=lambda name, run, record: asked.append((name, run, record.host))
    )
    wanted = template(tree).changed(network=Network(mode="restricted", allow=("allowed.example",)))
    made = provider.create(wanted)
    try:
        forwarder = parts_of(note_of(provider, made)).forwarder
        assert processes.alive(forwarder)
        for ending in ("true", "sleep 60", "kill -9 -1"):
            shell(made, ending, seconds=0.5)
            request = ExecRequest(argv=("python3", "-c", ASK, "http://denied.example/"), seconds=30)
            done = made.exec(request)
            assert done.stdout == b"403\n", (ending, done)
        assert shell(made, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout.count(b"forwarder") <= 1, "its own words"
        assert shell(made, "wc -l < /proc/net/route").stdout.strip() == b"1", "no route"
        last = parts_of(note_of(provider, made)).forwarder
    finally:
        made.close()
    assert asked == [(made.id, wanted.run_id, "denied.example")] * 3
    assert not processes.alive(forwarder)
    assert not processes.alive(last)
    assert not list((tmp_path / "w").glob("sandpiper-*"))


def test_pause_and_resume(bubblewrap: BubblewrapProvider, tree: Path) -> None:
    made = bubblewrap.create(template(tree))
    try:
        shell(made, "echo x > ticks; (while :; do echo x >> ticks; sleep 0.02; done) >/dev/null 2>&1 &")
        made.pause()
        made.pause()
        assert bubblewrap.list()[-1].state == "paused"
        ticks = made.workspace.changed / "ticks"
        before = ticks.stat().st_size
        time.sleep(0.3)
        assert ticks.stat().st_size == before
        assert refusal(lambda: made.exec(ExecRequest(argv=("true",)))) == "sandbox_paused"
        made.resume()
        until = time.monotonic() + 10
        while ticks.stat().st_size == before and time.monotonic() < until:
            time.sleep(0.02)
        assert ticks.stat().st_size > before
        made.pause()
    finally:
        made.close()


def test_the_shell_that_the_task_killed_comes_back(wrapped: LivingSandbox) -> None:
    """On the same workspace: the task may end all that is its user's, and the first process with it."""
    shell(wrapped, "echo kept > kept; kill -9 -1")
    assert shell(wrapped, "cat kept; rm kept").stdout == b"kept\n"


def test_f3_gone_with_the_wall_clock(bubblewrap: BubblewrapProvider, tree: Path) -> None:
    """Also when nobody calls any more."""
    made = bubblewrap.create(template(tree, limits=LIMITS.changed(minutes=0.01)))
    try:
        init = parts_of(note_of(bubblewrap, made)).init
        assert gone(lambda: not processes.alive(init), 30)
    finally:
        made.close()


def gone(done: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.05)
    return done()


def test_u6_nothing_is_left(bubblewrap: BubblewrapProvider, tree: Path, tmp_path: Path) -> None:
    provider = BubblewrapProvider(work=tmp_path / "work")
    made = provider.create(template(tree))
    groups = parts_of(note_of(provider, made)).groups.each
    shell(made, "mkdir -p a/b; touch a/b/c; chmod 0 a; i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done")
    assert all(group.is_dir() for group in groups)
    mounts = Path("/proc/self/mountinfo").read_text().count(f"{made.id}/merged")
    made.close()
    assert refusal(lambda: provider.create(template(tree).changed(checkout="/none")).close()) == "workspace_failed"
    assert mounts == 0, "the workspace is mounted nowhere but in the sandbox"
    assert not list((tmp_path / "work").glob("sandpiper-*"))
    assert not any(group.exists() for group in groups)
    assert made.id not in Path("/proc/self/mountinfo").read_text()


CODE = """
import sys, time
from pathlib import Path
from bot.sandbox.bubblewrap.provider import BubblewrapProvider
from bot.types.sandbox import Cache, ExecRequest, Template
made = BubblewrapProvider(work=Path(sys.argv[1])).create(
    Template(run_id=sys.argv[3], checkout=sys.argv[2], detached=sys.argv[4] == "yes")
)
made.exec(ExecRequest(argv=("sh", "-c", "setsid sleep 86399 >/dev/null 2>&1 & echo x > made")))
print(made.id, flush=True)
if sys.argv[4] == "yes":
    sys.exit(0)
time.sleep(60)
"""


def other_process(work: Path, tree: Path, run_id: str, detached: str) -> tuple[subprocess.Popen[str], str]:
    words = [sys.executable, "-c", CODE, str(work), str(tree), run_id, detached]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        return process, process.stdout.readline().strip()


def test_nothing_runs_on_when_the_bot_is_killed(bubblewrap: BubblewrapProvider, tree: Path, tmp_path: Path) -> None:
    """Its processes go at once, with no sweep; the folder and the groups go with the sweep, which leaves others'."""
    work, living = tmp_path / "work", BubblewrapProvider(work=tmp_path / "work")
    process, name = other_process(work, tree, os.urandom(8).hex(), "no")
    note = read_note(work / name)
    assert note is not None
    parts = parts_of(note)
    below = {processes.pid_of(parts.init), *processes.descendants(processes.pid_of(parts.init))}
    assert any("86399" in Path(f"/proc/{pid}/cmdline").read_text() for pid in below)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert gone(lambda: not any(processes.alive(each) for each in (parts.init, parts.outer)), 10)
    assert not any(Path(f"/proc/{pid}").exists() and "86399" in command_of(pid) for pid in below)
    made = living.create(template(tree, run_id=os.urandom(8).hex()))
    (work / "sandpiper-decoy").mkdir()
    try:
        assert {each.id: each.orphan for each in living.list()} == {name: True, made.id: False}
        assert living.sweep() == 1
        assert not (work / name).exists()
        assert not any(group.exists() for group in parts.groups.each)
        assert shell(made, "echo alive").stdout == b"alive\n"
        assert (work / "sandpiper-decoy").is_dir()
        assert living.sweep(made.id.split("-")[1]) == 1, "of one run, whoever owns it"
    finally:
        made.close()


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_one_that_outlives_its_maker(bubblewrap: BubblewrapProvider, tree: Path, tmp_path: Path) -> None:
    """Another process finds it, works in it, revives it and ends it."""
    work, provider = tmp_path / "work", BubblewrapProvider(work=tmp_path / "work")
    process, name = other_process(work, tree, os.urandom(8).hex(), "yes")
    assert process.wait() == 0
    try:
        assert [(each.id, each.state, each.orphan) for each in provider.list()] == [(name, "running", False)]
        assert provider.sweep() == 0
        found = provider.get(name[:30])
        assert found is not None
        assert shell(found, "cat made; kill -9 -1").ending == "killed"
        assert shell(found, "cat made").stdout == b"x\n"
        assert provider.get(name + "x") is None
        found.close()
        assert provider.list() == ()
    finally:
        provider.sweep(name.split("-")[1])


def test_another_process_number_is_never_killed(tmp_path: Path) -> None:
    """A note that names a process which is dead, and whose number somebody else has now."""
    with subprocess.Popen(["sleep", "60"]) as bystander:
        identity = process_identity(bystander.pid)
        assert identity is not None
        forged = identity.rpartition(":")[0] + ":1"
        assert processes.kill(forged)
        assert bystander.poll() is None
        assert processes.kill(identity)
        assert bystander.wait() == -signal.SIGKILL


def test_who_cannot_make_namespaces_is_told_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bubblewrap that refuses, as AppArmor makes it; and none at all."""
    fake = tmp_path / "bin"
    fake.mkdir()
    for name in ("bwrap", "setpriv", "unshare"):
        (fake / name).write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
        (fake / name).chmod(0o755)
    provider = BubblewrapProvider(work=tmp_path / "work", path=str(fake))
    said = provider.healthy()
    assert said is not None
    assert "apparmor_restrict_unprivileged_userns" in said
    shutil.rmtree(fake)
    said = BubblewrapProvider(work=tmp_path / "work", path=str(fake)).healthy()
    assert said is not None
    assert "bubblewrap" in said
    assert "apt-get install" in said
    assert not list((tmp_path / "work").glob("sandpiper-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test is this one then")
def test_a_bot_without_root(bubblewrap: BubblewrapProvider) -> None:
    """Overlay in a user namespace of its own, no control group: said in the record."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as report:
        folder = Path(name)
        (folder / "checkout").mkdir()
        make_checkout(folder / "checkout")
        subprocess.run(["chown", "-R", "1500:1500", name], check=True)
        child = os.fork()  # a new interpreter might lie where that user can't read
        if child == 0:
            status = 1
            try:
                os.environ.update(PATH="/usr/bin:/bin", HOME="/nonexistent")
                os.setgroups([])
                os.setresgid(1500, 1500, 1500)
                os.setresuid(1500, 1500, 1500)
                use_as_user(folder)
                status = 0
            except BaseException:  # noqa: BLE001 - the child must not go on as a second test run
                report.write(traceback.format_exc())
                report.flush()
            finally:
                os._exit(status)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        report.seek(0)
        assert code == 0, report.read()


def use_as_user(folder: Path) -> None:
    provider = BubblewrapProvider(work=folder / "work")
    for name in ("changes", "replaced", "ignored"):
        CHECKS[name](provider, folder / "checkout", folder / "blobs")
    made = provider.create(template(folder / "checkout"))
    assert made.workspace.kind == "overlay"
    assert any(note.startswith("memory is not capped") for note in made.record.notes)
    assert shell(made, "id -u; cat /proc/self/uid_map").stdout.split()[:3] == [b"1500", b"1500", b"0"]
    assert shell(made, "unshare -Ur true").exit_code != 0
    many = shell(made, "i=0; while [ $i -lt 200 ]; do sleep 5 & i=$((i+1)); done; wait", seconds=10)
    assert many.ending != "exited" or many.exit_code != 0, "processes are limited without a control group too"
    made.pause()
    made.resume()
    shell(made, "mkdir -p a/b; touch a/b/c; chmod 0 a/b a")
    made.close()
    for writable, kept in ((True, b"kept\n"), (False, b"lost\n"), (False, b"lost\n")):
        cache = Cache(name="uv-1", path="/home/bot/.uv-cache", writable=writable)
        made = provider.create(template(folder / "checkout").changed(caches=(cache,)))
        assert shell(made, 'cd ~/.uv-cache; echo "$1" > file; cat file', kept.decode().strip()).stdout == kept
        made.close()
        assert (folder / "caches" / "uv-1" / "data" / "file").read_bytes() == b"kept\n"
    assert not list((folder / "work").glob("sandpiper-*"))


def test_errors_are_ours(bubblewrap: BubblewrapProvider, tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises((SandboxError, OSError)):
        BubblewrapProvider(work=file).create(template(tree))

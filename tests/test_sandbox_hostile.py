"""What a hostile review of the sandbox found, each as it was tried: tasks that take more than they were given, machines
that have nothing left to give, and leftovers that are somebody else's or nobody's."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import docker
import pytest

from bot.sandbox.channel.command import Command
from bot.sandbox.channel.pipes import Pipes, make_channel
from bot.sandbox.collect.compare import collect
from bot.sandbox.collect.findings import Cut, Findings
from bot.sandbox.docker.container import LABEL_OWNER, LABEL_RUN
from bot.sandbox.docker.provider import DockerProvider
from bot.sandbox.folder import info_of, note_for, read_note, unfinished, write_note
from bot.sandbox.living import LivingSandbox
from bot.sandbox.workspace.disk import disk_watch
from bot.sandbox.workspace.mounts import release
from bot.sandbox.workspace.overlay import prepare
from bot.testing.contracts_sandbox import LIMITS, refusal, shell, template
from bot.types.sandbox import Cache, ExecRequest, Template
from bot.types.task import Limits
from tests.sandbox_fixtures import api, checkout, provider, sandbox

__all__ = ["api", "checkout", "provider", "sandbox"]

_MIB = 1 << 20


def _tree(folder: Path, depth: int) -> Path:
    """Folders within folders; the deepest."""
    deepest = folder.joinpath(*["d"] * depth)
    deepest.mkdir(parents=True)
    return deepest


def test_lines_about_what_was_not_taken_are_few(tmp_path: Path) -> None:
    """However many files are too large: they cost the task nothing."""
    (tmp_path / "checkout").mkdir()
    (tmp_path / "work").mkdir()
    workspace = prepare(tmp_path / "work", tmp_path / "checkout")
    for number in range(1000):
        with (workspace.changed / f"{number}{'n' * 200}").open("wb") as file:
            file.truncate(1 << 30)
    changes = collect(workspace, Limits(), tmp_path / "blobs")
    assert not changes.complete
    assert 100 < len(changes.skipped) < 500
    assert "600 more" in changes.skipped[-1] or "800 more" in changes.skipped[-1]


def test_what_the_checkout_had_is_bounded_too(tmp_path: Path) -> None:
    found = Findings(Limits(), tmp_path)
    for _ in range(10):
        found.take_old(100_000_000)
    with pytest.raises(Cut, match="had more than"):
        found.take_old(1)


def test_a_deep_checkout_does_not_lift_the_disks_limit(tmp_path: Path) -> None:
    """Deeper than anybody counts in a sandbox that may be alive; the checkout is the task's to choose."""
    _tree(tmp_path / "checkout", 220)
    (tmp_path / "work").mkdir()
    workspace = prepare(tmp_path / "work", tmp_path / "checkout", "copy")
    full = disk_watch(workspace, 16)
    shutil.rmtree(workspace.changed / "d")
    (workspace.changed / "large").write_bytes(os.urandom(32 * _MIB))
    assert full()


def test_a_folder_that_was_only_made(tmp_path: Path) -> None:
    """Its maker died before there was a note. What somebody else put there stays."""
    made, young, theirs, half = (tmp_path / f"sandpiper-{name}" for name in ("made", "young", "theirs", "half"))
    for folder in (made, young, theirs, half):
        folder.mkdir()
    (theirs / "precious").touch()
    (half / ".owner.json.77").touch()
    for folder in (made, theirs, half):
        os.utime(folder, (1, 1))
    assert sorted(unfinished(tmp_path)) == [half, made]


def test_what_a_list_says_of_an_earlier_start_of_the_machine(tmp_path: Path) -> None:
    """Times that count from another start are not mistaken for those of this one."""
    note = note_for(Template(run_id="a" * 16), "docker", "", 0)
    moment = datetime.now(UTC) - timedelta(days=2)
    note = note.changed(boot="another", created=note.created + 1e6, ends=note.ends + 1e6, created_at=moment)
    write_note(tmp_path, note)
    again = read_note(tmp_path)
    assert again is not None
    told = info_of("x", again, "stopped")
    assert told.orphan
    assert told.created_at == moment
    assert timedelta(minutes=19) < told.ends_at - moment < timedelta(minutes=21)


def test_no_room_for_a_command(tmp_path: Path) -> None:
    """Nothing stays open, and what is said has a code."""
    folder = tmp_path / "channel"
    make_channel(folder, str(folder))
    alive = os.open(folder / "alive", os.O_RDWR)
    pipes = Pipes(folder)
    for each in folder.iterdir():
        if not each.is_fifo():
            each.unlink()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    moved = folder.rename(tmp_path / "elsewhere")
    try:
        for _ in range(3):
            assert refusal(lambda: pipes.run(Command(argv=("true",), seconds=1))) == "folder_failed"
            assert refusal(lambda: pipes.ping(1)) == "folder_failed"
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    finally:
        pipes.close()
        os.close(alive)
    assert sorted(each.name for each in moved.iterdir()) == ["alive", "control"]


_DRIVER = """
driver() { for f in /proc/[0-9]*; do tr '\\0' ' ' <$f/cmdline 2>/dev/null | grep -q '^/bin/sh [/]run/sandpiper/driver' && echo ${f#/proc/}; done | sort -n | head -n 1; }
"""  # noqa: E501
_POSE = (
    _DRIVER
    + """
cat >/tmp/posing <<'EOF'
cd /run/sandpiper
exec 9<>control 8<>alive
trap : HUP INT QUIT TERM USR1 USR2
while :; do
    read -r word <&9 || continue
    case $word in
    k) kill -9 -1 ;;
    p*) echo pong 1<>"${word#p}.status" ;;
    *) (sh ./worker "$word" $$ 9>&- 8>&-; :) ;;
    esac
done
EOF
old=$(driver)
setsid sh /tmp/posing </dev/null >/dev/null 2>&1 &
sleep 0.2
kill -9 $old
exec sleep 60
"""
)
_ATTACKS = {
    "pose": _POSE,
    "flood": "(while :; do echo xxxxxxxx; done >/run/sandpiper/control) & sleep 60",
    "steal": "cat /run/sandpiper/control >/dev/null & cat /run/sandpiper/*.turn >/dev/null & sleep 60",
}


@pytest.mark.docker
@pytest.mark.parametrize("attack", _ATTACKS.values(), ids=_ATTACKS.keys())
def test_whoever_takes_the_drivers_place_goes_with_the_command(attack: str, sandbox: LivingSandbox) -> None:
    """A time-out ends everything, also what answers as our own shell would; and the sandbox stays usable."""
    assert shell(sandbox, attack, seconds=1).ending == "timed_out"
    running = shell(
        sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo; cat /tmp/posing >/dev/null 2>&1; echo fine"
    )
    assert running.stdout.endswith(b"\nfine\n")
    assert b"sh /tmp/posing" not in running.stdout.replace(b"cat /tmp/posing", b"")
    assert b"sleep 60 " not in running.stdout


@pytest.mark.docker
@pytest.mark.parametrize("where", ["argument", "variable"])
def test_what_is_no_text_is_refused(where: str, sandbox: LivingSandbox) -> None:
    """A lone surrogate, as a model's JSON may hold one; bytes that came from a file's name pass."""
    bad, good = "\ud800", "\udcff"
    for text, code in ((bad, "bad_argument"), (good, "done")):
        argument = ("true", text) if where == "argument" else ("true",)
        request = ExecRequest(argv=argument, env={"NAME": text} if where == "variable" else {})
        assert refusal(lambda request=request: sandbox.exec(request)) == code  # type: ignore[misc]


@pytest.mark.docker
def test_a_view_of_a_cache_takes_the_sandboxs_disk(provider: DockerProvider, checkout: Path) -> None:
    """Otherwise a stranger's code fills the machine's."""
    cache = Cache(name=f"pip-{secrets.token_hex(8)}", path="/home/bot/.pip-cache")
    wanted = template(checkout, limits=LIMITS.changed(disk_mb=32)).changed(caches=(cache,))
    made = provider.create(wanted)
    try:
        before = made.stats().disk_mb or 0.0
        done = shell(made, "echo small >~/.pip-cache/small; head -c 200M /dev/zero >~/.pip-cache/large || exit 1")
        assert done.ending == "disk", done
        assert (made.stats().disk_mb or 0.0) > before + 16
        assert shell(made, "cat ~/.pip-cache/small; rm ~/.pip-cache/large").stdout == b"small\n"
    finally:
        made.close()
    work = made.workspace.folder.parent
    assert not (work / made.id).exists()
    assert list((work.parent / "caches" / cache.name / "data").iterdir()) == []


@pytest.mark.docker
def test_a_folder_that_somebody_removed(provider: DockerProvider, checkout: Path, tmp_path: Path) -> None:
    """Every answer is one of ours, and nothing is left."""
    made = provider.create(template(checkout))
    folder = made.workspace.folder
    try:
        shell(made, "echo x >new")
        for sub in ("disk", "mapped"):
            subprocess.run(["umount", "-l", str(folder / sub)], capture_output=True, check=False)
        release(folder)
        subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)
        assert refusal(lambda: shell(made, "true")) in ("folder_failed", "done")
        assert made.stats().disk_mb is None
        assert made.health() is None or "folder" in str(made.health())
        assert refusal(lambda: made.collect(tmp_path / "blobs")) == "collect_failed"
    finally:
        made.close()


@pytest.mark.docker
def test_namespaces_that_died_in_stock(api: docker.APIClient, checkout: Path, tmp_path: Path) -> None:
    """The engine was started anew, or somebody tidied up: the next sandbox does not have to know."""
    provider = DockerProvider(work=tmp_path / "work")
    try:
        provider.warm(template(checkout))
        until = time.monotonic() + 60
        while not (ready := provider._workshop.donors._ready) and time.monotonic() < until:
            time.sleep(0.05)
        dead = ready[0].name
        api.kill(dead)
        api.wait(dead)
        started = time.monotonic()
        made = provider.create(template(checkout))
        assert time.monotonic() - started < 10
        assert shell(made, "echo fine").stdout == b"fine\n"
        made.close()
    finally:
        provider.close()
    assert not [each for each in (tmp_path / "work").iterdir() if each.name[0] != "."]


@pytest.mark.docker
def test_another_machines_sandboxes_on_the_same_engine(
    api: docker.APIClient, sandbox: LivingSandbox, tmp_path: Path
) -> None:
    """Whose start of the machine is not ours is no proof of death; what ended is nobody's."""
    image = api.inspect_container(sandbox.id)["Image"]
    tag, elsewhere = os.urandom(4).hex(), "11111111-2222-3333-4444-555555555555:4026531836:77:99"
    mounts = [docker.types.Mount("/usr", "/usr", type="bind", read_only=True)]
    names = {state: f"sandpiper-{state}-{tag}" for state in ("running", "made", "ended")}
    provider = DockerProvider(work=tmp_path / "work")
    try:
        for state, name in names.items():
            api.create_container(
                image,
                ["/usr/bin/sleep", "60" if state == "running" else "0"],
                name=name,
                labels={LABEL_RUN: "f" * 16, LABEL_OWNER: elsewhere},
                host_config=api.create_host_config(network_mode="none", mounts=mounts),
            )
            if state != "made":
                api.start(name)
        api.wait(names["ended"])
        api.create_volume(names["running"], labels={LABEL_RUN: "f" * 16, LABEL_OWNER: elsewhere})
        provider.sweep()
        left = {each["Names"][0].removeprefix("/") for each in api.containers(all=True, filters={"label": LABEL_OWNER})}
        assert left & set(names.values()) == {names["running"], names["made"]}
        assert api.inspect_volume(names["running"])
    finally:
        provider.close()
        for name in names.values():
            try:
                api.remove_container(name, force=True)
            except docker.errors.NotFound:
                continue
        api.remove_volume(names["running"], force=True)

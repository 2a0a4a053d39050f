"""Without isolation: only when it is asked for, and then time-outs end everything and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.errors import SandboxError
from bot.sandbox.folder import read_note
from bot.sandbox.living import LivingSandbox
from bot.sandbox.local import LocalProvider, Mark
from bot.testing.contracts_given import LIMITS, ProviderCheck, SandboxCheck, make_checkout, refusal, shell, template
from bot.testing.contracts_provider import provider_contract
from bot.testing.contracts_sandbox import sandbox_contract
from bot.types.network import Network
from bot.types.sandbox import ExecRequest

ROOT = Path(__file__).resolve().parent.parent
CHECKS = dict(provider_contract(isolated=False, images=False, limits=False, disk=False, networks=frozenset(("none",))))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkout(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalProvider:
    return LocalProvider(work=tmp_path_factory.mktemp("local"), allowed=True)


@pytest.fixture(scope="module")
def living(local: LocalProvider, tree: Path) -> Iterator[LivingSandbox]:
    made = local.create(template(tree, limits=LIMITS.changed(pids=2000)))  # orphans count until the machine buries them
    yield made
    made.close()


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=name)
        for name, check in sandbox_contract(isolated=False, limits=False)
        if name not in ("environment", "many")  # they look at the processes of the whole machine; see below
    ],
)
def test_sandbox(check: SandboxCheck, living: LivingSandbox) -> None:
    check(living)


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in CHECKS.items()])
def test_provider(check: ProviderCheck, local: LocalProvider, tree: Path, tmp_path: Path) -> None:
    check(local, tree, tmp_path / "blobs")


def test_it_has_to_be_allowed(tree: Path, tmp_path: Path) -> None:
    refused = LocalProvider(work=tmp_path)
    with pytest.raises(SandboxError, match="flag on the command line") as caught:
        refused.create(template(tree))
    assert caught.value.code == "isolation_refused"
    assert "isolation_refused" in (refused.healthy() or "")
    assert list(tmp_path.iterdir()) == []
    assert refused.sweep() == 0, "what is left may be cleared by anybody"


def test_what_it_is_is_said(living: LivingSandbox, local: LocalProvider) -> None:
    assert living.record.workspace == "copy"
    assert living.record.notes[0].startswith("no isolation")
    assert local.healthy() is None
    assert [each.id for each in local.list()] == [living.id]


def test_what_it_cannot_give_is_refused(local: LocalProvider, tree: Path) -> None:
    wanted = template(tree)
    for asked, code in (
        (wanted.changed(image="python:3"), "image_unsupported"),
        (wanted.changed(gpu=True), "gpu_unsupported"),
        (wanted.changed(network=Network(mode="restricted")), "network_unsupported"),
    ):
        assert refusal(lambda asked=asked: local.create(asked)) == code  # type: ignore[misc]


def test_nothing_of_our_environment_comes_along(living: LivingSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_CANARY_OF_OURS", "canary")
    seen = dict(line.split("=", 1) for line in shell(living, "env").stdout.decode().splitlines())
    allowed = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TERM", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_"}
    assert seen.keys() <= allowed | {"FROM_TEMPLATE", "SANDPIPER_LOCAL"}
    assert seen["HOME"] != os.environ.get("HOME")
    assert shell(living, "pwd").stdout.decode().strip() == living.workspace.root


def test_a_time_out_finds_daemons_by_their_mark(living: LivingSandbox) -> None:
    """Others' processes, this test's own among them, stay."""
    with subprocess.Popen(["sleep", "98764"]) as bystander:
        script = "setsid sh -c 'trap \"\" TERM HUP; sleep 98764 & sleep 98764' >/dev/null 2>&1 & sleep 98764"
        assert shell(living, script, seconds=1).ending == "timed_out"
        left = subprocess.run(["pgrep", "-f", "^sleep 98764"], capture_output=True, text=True, check=False)
        assert left.stdout.split() == [str(bystander.pid)]
        bystander.kill()
    assert shell(living, "echo usable").stdout == b"usable\n"


def test_pause_and_resume(local: LocalProvider, tree: Path) -> None:
    made = local.create(template(tree))
    try:
        shell(made, "echo x > ticks; (while :; do echo x >> ticks; sleep 0.02; done) >/dev/null 2>&1 &")
        made.pause()
        ticks = made.workspace.changed / "ticks"
        before = ticks.stat().st_size
        time.sleep(0.2)
        assert ticks.stat().st_size == before
        made.resume()
        until = time.monotonic() + 10
        while ticks.stat().st_size == before and time.monotonic() < until:
            time.sleep(0.02)
        assert ticks.stat().st_size > before
    finally:
        made.close()


def test_the_shell_comes_back(living: LivingSandbox, local: LocalProvider) -> None:
    """Killed by the task; the files stay."""
    shell(living, "echo kept > kept")
    found = local.get(living.id)
    assert found is not None
    assert shell(found, "kill -9 $(cat /proc/$PPID/stat | cut -d' ' -f4)").exit_code in (0, 137)
    assert shell(living, "cat kept; rm kept").stdout == b"kept\n"


CODE = """
import sys, time
from pathlib import Path
from bot.sandbox.local import LocalProvider
from bot.types.sandbox import ExecRequest, Template
made = LocalProvider(work=Path(sys.argv[1]), allowed=True).create(Template(run_id=sys.argv[3], checkout=sys.argv[2]))
made.exec(ExecRequest(argv=("sh", "-c", "setsid sleep 86398 >/dev/null 2>&1 &")))
print(made.id, flush=True)
time.sleep(60)
"""


def test_sweep_ends_what_a_dead_process_left(local: LocalProvider, tree: Path, tmp_path: Path) -> None:
    provider = LocalProvider(work=tmp_path / "work")
    words = [sys.executable, "-c", CODE, str(tmp_path / "work"), str(tree), os.urandom(8).hex()]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        note = read_note(tmp_path / "work" / name)
        assert note is not None
        assert provider.sweep() == 0, "its maker lives"
        process.send_signal(signal.SIGKILL)
    mark = Mark(note.extra["marker"], local._parents.__class__())
    assert list(mark.processes())
    assert provider.sweep() == 1
    assert not list(mark.processes())
    assert not (tmp_path / "work" / name).exists()


def test_the_wall_clock(local: LocalProvider, tree: Path, tmp_path: Path) -> None:
    made = local.create(template(tree, limits=LIMITS.changed(minutes=0.03)))
    try:
        assert made.exec(ExecRequest(argv=("sleep", "60"))).ending == "timed_out"
        assert refusal(lambda: made.exec(ExecRequest(argv=("true",)))) == "sandbox_expired"
    finally:
        made.close()
    assert not (local._work / made.id).exists()

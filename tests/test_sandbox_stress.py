"""What hostile and unlucky runs do to a sandbox, an engine and a bot: bombs, floods, deaths, and what is left then."""

# ruff: noqa: F811 - fixtures

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from docker.errors import APIError

from bot.errors import SandboxError
from bot.protocols import Stream
from bot.sandbox.docker.container import LABEL_OWNER, LABEL_RUN
from bot.sandbox.docker.provider import DockerProvider
from bot.sandbox.folder import now, read_note
from bot.sandbox.living import LivingSandbox
from bot.testing.contracts_given import LIMITS, shell, template
from bot.types.network import Network
from bot.types.sandbox import ExecRequest, ExecResult
from tests.sandbox_fixtures import (  # noqa: F401 - fixtures
    api,
    checkout,
    create_warm,
    provider,
    sandbox,
    warm_provider,
    warm_sandbox,
)

pytestmark = pytest.mark.docker
ROOT = Path(__file__).resolve().parent.parent
_PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(params=["own", "donor's"])
def shape(request: pytest.FixtureRequest) -> LivingSandbox:
    """A sandbox with namespaces of its own, and one in a donor's."""
    return request.getfixturevalue("sandbox" if request.param == "own" else "warm_sandbox")  # type: ignore[no-any-return]


def python(sandbox: LivingSandbox, script: str, seconds: float = 30) -> ExecResult:
    return sandbox.exec(ExecRequest(argv=("python3", "-c", script), seconds=seconds))


def resident() -> int:
    """Bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def idle(sandbox: LivingSandbox) -> bool:
    return shell(sandbox, "sleep 60", seconds=0.2).ending == "timed_out" and (sandbox.stats().pids or 0) <= 4


def test_f1_memory_bombs(shape: LivingSandbox, sandbox: LivingSandbox) -> None:
    """In the heap, in memory file systems and in a pipe; the neighbour notices nothing."""
    for bomb in ("b = []\nwhile True: b.append(bytearray(1 << 22))", "b = b'x' * (1 << 34)"):
        assert python(shape, bomb).exit_code != 0
    heap = python(shape, "b = []\nwhile True: b.append(b'x' * (1 << 22))")
    assert heap.ending == "oom"
    held = 'for folder in /tmp "$HOME" /dev/shm; do head -c 1G /dev/zero > $folder/fill; done; echo full'
    assert shell(shape, held).ending == "exited", "no room is not the end"
    assert (shape.stats().memory_mb or 0) <= LIMITS.memory_mb
    assert shell(shape, 'rm -f /tmp/fill "$HOME/fill" /dev/shm/fill; echo fine').stdout == b"fine\n"
    assert shell(sandbox, "echo fine").stdout == b"fine\n"


def test_fork_bombs(shape: LivingSandbox) -> None:
    """Of a shell, of sessions of their own, and of what ignores every signal; all gone after the time-out."""
    stubborn = """
import os, signal
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
while True:
    try:
        os.fork(); os.setsid()
    except OSError: pass
"""
    started = time.monotonic()
    assert python(shape, stubborn, seconds=2).ending in ("timed_out", "pids", "killed")
    assert shell(shape, "b() { b | b & }; b; while :; do :; done", seconds=2).exit_code != 0
    assert time.monotonic() - started < 40
    assert idle(shape)


def test_f3_spin_and_the_deaf(shape: LivingSandbox) -> None:
    """Spinning processes and daemons that hear nothing are gone with the time-out, and took their share at the most."""
    before, started = shape.stats().cpu_seconds or 0.0, time.monotonic()
    script = """
    i=0; while [ $i -lt 20 ]; do
        setsid sh -c 'trap "" TERM INT HUP QUIT; while :; do :; done' >/dev/null 2>&1 & i=$((i+1))
    done; while :; do :; done
    """
    assert shell(shape, script, seconds=1.5).ending == "timed_out"
    took = time.monotonic() - started
    assert took < 15
    assert (shape.stats().cpu_seconds or 0.0) - before < LIMITS.cpus * took * 1.2 + 0.5
    assert idle(shape)


def test_zombies(shape: LivingSandbox) -> None:
    """A parent that buries nobody, and orphans whose parent is gone."""
    script = """
import os, time
for number in range(40):
    if os.fork() == 0:
        if number % 2 and os.fork(): os._exit(0)
        os._exit(0)
print("made", flush=True)
time.sleep(60)
"""
    result = python(shape, script, seconds=1.5)
    assert (result.ending, result.stdout) == ("timed_out", b"made\n")
    assert idle(shape)


@pytest.mark.parametrize("warm", [False, True])
def test_nothing_can_be_started_any_more(
    warm: bool, warm_provider: DockerProvider, checkout: Path, tmp_path: Path
) -> None:
    """All processes are taken by what won't end: the sandbox is collected and closed all the same."""
    script = """
import os, signal, time
for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
open("left", "w").write("x")
try:
    while True:
        if os.fork() == 0:
            os.setsid(); time.sleep(300); os._exit(0)
except OSError:
    print("full", flush=True)
"""
    made = create_warm(warm_provider, template(checkout)) if warm else warm_provider.create(template(checkout))
    try:
        assert python(made, script).stdout == b"full\n"
        assert made.health() is None, "the shell answers without a process more"
        assert [each.path for each in made.collect(tmp_path / "blobs").files] == ["left"]
    finally:
        started = time.monotonic()
        made.close()
    assert time.monotonic() - started < 20


def test_f6_a_gigabyte(shape: LivingSandbox) -> None:
    """Half on each stream: memory stays flat, head and tail are there, and every byte was counted."""
    shell(shape, "head -c 5000000 /dev/zero")
    before, most, seen = resident(), 0, 0

    def watch(stream: Stream, data: bytes) -> None:
        nonlocal most, seen
        if (seen := seen + len(data)) % 64 < 8:
            most = max(most, resident())

    request = ExecRequest(
        argv=("sh", "-c", "echo head; head -c 500M /dev/zero & head -c 500M /dev/zero >&2; wait; echo tail"),
        output_bytes=50_000,
        seconds=60,
    )
    result = shape.exec(request, on_output=watch)
    assert result.ok, result.ending
    assert seen == (1000 << 20) + 10
    assert result.dropped_bytes == seen - 100_000
    assert (result.stdout[:5], result.stdout[-5:], len(result.stderr)) == (b"head\n", b"tail\n", 50_000)
    assert most - before < 64 << 20


def test_clocks_may_jump(provider: DockerProvider, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the wall clock shows decides nothing: deadlines count from the start of the machine."""
    made = provider.create(template(checkout))
    try:
        note = read_note(made.workspace.folder)
        assert note is not None
        assert 0 < note.ends - now() <= LIMITS.minutes * 60
        for moment in (0.0, 4e9):
            monkeypatch.setattr(time, "time", lambda moment=moment: moment)
            assert shell(made, "echo fine").stdout == b"fine\n"
            assert shell(made, "sleep 60", seconds=0.2).ending == "timed_out"
            assert not note.orphan
            assert provider.sweep() == 0
            assert made.id in [each.id for each in provider.list() if not each.orphan]
    finally:
        made.close()


_BOT = """
import sys
from pathlib import Path
from bot.sandbox.docker.provider import DockerProvider
from bot.types.network import Network
from bot.types.sandbox import ExecRequest, Template
work, checkout, run_id, mode = sys.argv[1:]
provider = DockerProvider(work=Path(work))
wanted = Template(run_id=run_id, checkout=checkout, network=Network(mode=mode))
print("create", flush=True)
provider.warm(wanted)
made = [provider.create(wanted), provider.create(wanted)]
print("exec", flush=True)
for _ in range(20):
    made[0].exec(ExecRequest(argv=("sh", "-c", "sleep 300 & sleep 0.01")))
print("close", flush=True)
for each in made:
    each.close()
print("closed", flush=True)
provider.close()
"""
_DEATHS = (
    *(("none", "create", seconds) for seconds in (0.0, 0.2, 0.4, 0.8)),
    *(("isolated", "create", 0.6), ("restricted", "create", 0.5), ("restricted", "exec", 0.1)),
    *(("none", "exec", 0.2), ("none", "close", 0.1), ("isolated", "close", 0.05)),
)


def _dies(work: Path, checkout: Path, run_id: str, mode: str, stage: str, seconds: float) -> None:
    words = [sys.executable, "-c", _BOT, str(work), str(checkout), run_id, mode]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as bot:
        assert bot.stdout is not None
        for line in bot.stdout:
            if line.strip() == stage:
                break
        time.sleep(seconds)
        bot.kill()


def _left(api: docker.APIClient, work: Path, run_id: str) -> list[str]:
    """All of one run and of one work folder that is still there."""
    containers = api.containers(all=True)
    known = {each["Name"] for each in api.volumes()["Volumes"] or [] if (each["Labels"] or {}).get(LABEL_RUN) == run_id}
    left = [each["Names"][0] for each in containers if each["Labels"].get(LABEL_RUN) == run_id] + sorted(known)
    left += [each["Names"][0] for each in containers if (work / each["Names"][0].removeprefix("/")).exists()]
    left += [line for line in Path("/proc/mounts").read_text().splitlines() if f" {work}/" in line]
    return left + [each.name for each in work.iterdir() if each.name != "sandpiper-x" and each.name[0] != "."]


def test_g24_the_bot_is_killed(api: docker.APIClient, checkout: Path, tmp_path: Path) -> None:
    """At any moment; afterwards a sweep leaves nothing of it, and everything of others."""
    work, run_id, tag = tmp_path / "work", os.urandom(8).hex(), os.urandom(4).hex()
    provider = DockerProvider(work=work)
    living = provider.create(template(checkout))
    image = api.inspect_container(living.id)["Image"]
    decoys = [
        api.create_container(image, ["true"], name=f"sandpiper-decoy-{tag}")["Id"],
        api.create_container(image, ["true"], name=f"decoy-{tag}", labels={LABEL_OWNER: "x", "other": "1"})["Id"],
    ]
    api.create_volume(f"sandpiper-decoy-{tag}", labels={f"{LABEL_OWNER}.not": "1"})
    network = api.create_network(f"sandpiper-decoy-{tag}")["Id"]
    api.tag(image, "sandpiper-decoy", tag)
    (work / "sandpiper-x").mkdir()
    (work / "sandpiper-x" / "precious").write_text("theirs")
    try:
        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(_dies, work, checkout, run_id, *death) for death in _DEATHS]:
                done.result()
        until = time.monotonic() + 30
        while True:  # what was asked of the engine before the death may come to be after it
            provider.sweep()
            left = [each for each in _left(api, work, run_id) if living.id not in each]
            if not left or time.monotonic() > until:
                break
            time.sleep(0.2)
        assert left == []
        assert shell(living, "echo fine").stdout == b"fine\n"
        assert [api.inspect_container(each)["State"]["Status"] for each in decoys] == ["created", "created"]
        assert api.inspect_volume(f"sandpiper-decoy-{tag}")
        assert api.inspect_network(network)
        assert api.images(f"sandpiper-decoy:{tag}")
        assert (work / "sandpiper-x" / "precious").read_text() == "theirs"
    finally:
        living.close()
        provider.close()
        for each in decoys:
            api.remove_container(each, force=True)
        api.remove_volume(f"sandpiper-decoy-{tag}")
        api.remove_network(network)
        api.remove_image(f"sandpiper-decoy:{tag}", force=True)
    assert _left(api, work, run_id) == []


@pytest.fixture
def no_more_networks(api: docker.APIClient) -> Iterator[str]:
    """The engine's addresses are used up; what it says then."""
    names: list[str] = []
    refused = ""
    try:
        while not refused and len(names) < 100:
            name = f"sandpiper-test-{os.urandom(6).hex()}"
            try:
                api.create_network(name)
                names.append(name)
            except APIError as error:
                refused = str(error.explanation)
        yield refused
    finally:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(api.remove_network, names))


def test_no_more_networks(no_more_networks: str, provider: DockerProvider, checkout: Path) -> None:
    """None of our modes needs one of the engine's."""
    assert "pool" in no_more_networks, "the engine still had addresses"
    for mode in ("none", "isolated", "restricted"):
        wanted = template(checkout, run_id=os.urandom(8).hex())
        made = provider.create(wanted.changed(network=Network.model_validate({"mode": mode})))
        try:
            assert shell(made, "echo fine").stdout == b"fine\n"
        finally:
            made.close()


class _Engine:
    """A Docker engine of the test's own, beside the one that everybody uses."""

    def __init__(self, folder: Path) -> None:
        self.host, self._folder = f"unix://{folder}/e.sock", folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        folder = self._folder
        for stale in ("pid", "run/containerd/containerd.pid"):  # of the dead, whose numbers may be those of zombies
            (folder / stale).unlink(missing_ok=True)
        # In a network of its own: an engine without a bridge removes the one that the machine's own engine has.
        # In a network of its own: an engine without a bridge removes the one that it finds, which is another engine's.
        words = ["unshare", "--net", "dockerd", "--host", self.host, "--pidfile", str(folder / "pid")]
        words += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "run")]
        words += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        until = time.monotonic() + 40
        while True:
            with contextlib.suppress(docker.errors.DockerException, OSError), contextlib.closing(self.api()) as client:
                client.version()
                return
            if time.monotonic() > until or self._process.poll() is not None:
                pytest.skip(f"no second engine here: {(folder / 'log').read_text()[-500:]}")
            time.sleep(0.1)

    def api(self) -> docker.APIClient:
        return docker.APIClient(base_url=self.host, timeout=20)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=30)
        with contextlib.suppress(OSError, ValueError):  # its containerd, where it was killed
            os.kill(int((self._folder / "run/containerd/containerd.pid").read_text()), signal.SIGKILL)
        for line in Path("/proc/mounts").read_text().splitlines():
            if f" {self._folder}/" in line:
                subprocess.run(["umount", "-l", line.split()[1]], check=False)


@pytest.fixture
def own_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Engine]:
    if os.geteuid() != 0 or None in (shutil.which("dockerd"), shutil.which("unshare")):
        pytest.skip("only root can start an engine")
    folder = Path(tempfile.mkdtemp(prefix="sp-"))  # a socket's path is short
    engine = _Engine(folder)
    try:
        engine.start()
        monkeypatch.setenv("DOCKER_HOST", engine.host)
        yield engine
    finally:
        engine.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_the_engine_dies(own_engine: _Engine, checkout: Path, tmp_path: Path) -> None:
    """Killed and started again while a command runs: it goes on or ends with a name, and nothing is left afterwards."""
    work = tmp_path / "work"
    provider = DockerProvider(work=work)
    made = provider.create(template(checkout))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(_outcome, made, "sleep 2; echo done")
        time.sleep(0.5)
        own_engine.kill()
        assert _outcome(made, "echo beside") == "exited", "a command needs no engine"
        assert "docker_unavailable" in (provider.healthy() or "") or provider.healthy()
        with pytest.raises(SandboxError):
            provider.create(template(checkout))
        own_engine.start()
        assert running.result(timeout=30) in ("exited", "killed", "sandbox_lost")
    assert provider.healthy() is None
    assert _outcome(made, "echo again") in ("exited", "killed", "sandbox_lost")
    fresh = provider.create(template(checkout))
    assert shell(fresh, "echo fine").stdout == b"fine\n"
    fresh.close()
    made.close()
    provider.sweep(template(checkout).run_id)
    provider.close()
    with contextlib.closing(own_engine.api()) as client:
        assert client.containers(all=True) == []
        assert not client.volumes()["Volumes"]
    assert [each.name for each in work.iterdir() if not each.name.startswith(".")] == []


def _outcome(sandbox: LivingSandbox, script: str) -> str:
    try:
        return shell(sandbox, script).ending
    except SandboxError as error:
        return error.code

"""How a sandbox is, halts, goes on and ends, as checks that make sandboxes of their own."""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bot.errors import SandboxError
from bot.protocols import Sandbox, SandboxProvider
from bot.testing.contracts_given import LIMITS, ProviderCheck, refusal, shell, template
from bot.types.sandbox import Changes, ExecRequest, ExecResult

_CLOCK = """
import time
with open("ticks", "w") as file:
    while True:
        print(time.monotonic(), file=file, flush=True)
        time.sleep(0.02)
"""
_BUSY = """
import time
held, until = bytearray(60_000_000), time.monotonic() + 0.7
while time.monotonic() < until: pass
time.sleep(60)
"""


def _end(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Nothing runs after collecting; closing twice is closing once."""
    sandbox = provider.create(template(checkout))
    writer = "(while :; do echo x >> growing; sleep 0.01; done) >/dev/null 2>&1 &"
    shell(sandbox, f"{writer} until [ -s growing ]; do sleep 0.01; done")
    changes = sandbox.collect(blobs)
    assert [each.path for each in changes.files] == ["growing"]
    assert refusal(lambda: sandbox.exec(ExecRequest(argv=("true",)))) == "sandbox_expired"
    assert refusal(lambda: sandbox.read_file("README.md")) == "sandbox_expired"
    assert sandbox.health()
    assert sandbox.collect(blobs) == changes, "nothing moved since"
    sandbox.close()
    sandbox.close()


def _closed(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Of a closed one everything says so, and nothing brings it back."""
    sandbox = provider.create(template(checkout))
    assert sandbox.health() is None
    sandbox.close()
    assert sandbox.health()
    for call in (sandbox.stats, sandbox.pause, sandbox.resume, lambda: shell(sandbox, "true")):
        assert refusal(call) == "sandbox_expired"
    assert sandbox.id not in [each.id for each in provider.list()]


def _closed_meanwhile(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Closing, or collecting, ends the commands that run, in seconds, and each says how it ended."""
    ends: tuple[Callable[[Sandbox], object], ...] = (lambda each: each.close(), lambda each: each.collect(blobs))
    for end in ends:
        sandbox = provider.create(template(checkout))
        try:
            with ThreadPoolExecutor(2) as pool:
                running = [pool.submit(_outcome, sandbox) for _ in range(2)]
                time.sleep(0.5)
                started = time.monotonic()
                end(sandbox)
                assert {each.result(timeout=20) for each in running} <= {"killed", "sandbox_expired", "sandbox_lost"}
            assert time.monotonic() - started < 20
        finally:
            sandbox.close()
        assert sandbox.id not in [each.id for each in provider.list()]


def _outcome(sandbox: Sandbox) -> str:
    try:
        return shell(sandbox, "sleep 60").ending
    except SandboxError as error:
        return error.code


def _wall_clock(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """The run's time ends every command, and no other one starts."""
    for minutes in (0.05, 0.5):  # the second one where making it took all the time
        sandbox = provider.create(template(checkout, limits=LIMITS.changed(minutes=minutes)))
        try:
            result = _last(sandbox)
            if result is not None:
                assert result.ending == "timed_out"
                assert refusal(lambda: sandbox.exec(ExecRequest(argv=("true",)))) == "sandbox_expired"  # noqa: B023
                assert sandbox.collect(blobs) == Changes()
                return
        finally:
            sandbox.close()
    raise AssertionError("it took half a minute to make a sandbox")


def _last(sandbox: Sandbox) -> ExecResult | None:
    try:
        return sandbox.exec(ExecRequest(argv=("sleep", "60")))
    except SandboxError as error:
        if error.code != "sandbox_expired":
            raise
        return None


def _pause(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Everything in it halts, and goes on where it was; twice is once."""
    sandbox = provider.create(template(checkout))
    try:
        sandbox.resume()
        background = ExecRequest(argv=("sh", "-c", 'python3 -c "$1" & sleep 0.5', "sh", _CLOCK))
        assert sandbox.exec(background).ok
        for _ in range(2):
            sandbox.pause()
        assert "paused" in (sandbox.health() or "")
        assert [each.state for each in provider.list() if each.id == sandbox.id] == ["paused"]
        assert refusal(lambda: shell(sandbox, "true")) == "sandbox_paused"
        assert refusal(lambda: sandbox.read_file("README.md")) == "sandbox_paused"
        time.sleep(1)
        for _ in range(2):
            sandbox.resume()
        assert sandbox.health() is None
        assert [each.state for each in provider.list() if each.id == sandbox.id] == ["running"]
        assert shell(sandbox, "sleep 0.3").ok
        ticks = [float(line) for line in sandbox.read_file("ticks").decode().splitlines()]
        gaps = [later - earlier for earlier, later in itertools.pairwise(ticks)]
        assert max(gaps) > 0.9, "it went on meanwhile"
        assert gaps.index(max(gaps)) < len(gaps) - 2, "it did not go on afterwards"
    finally:
        sandbox.close()


def _paused_beside(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """A command that runs is halted with it and ends as it would have; a paused one can be found, and closed."""
    sandbox = provider.create(template(checkout))
    try:
        results: list[ExecResult] = []
        thread = threading.Thread(target=lambda: results.append(shell(sandbox, "sleep 1; echo slept")))
        thread.start()
        time.sleep(0.4)
        sandbox.pause()
        found = provider.get(sandbox.id)
        assert found is not None
        assert "paused" in (found.health() or "")
        assert refusal(lambda: shell(found, "true")) == "sandbox_paused"
        found.resume()
        thread.join(30)
        assert [(each.ok, each.stdout) for each in results] == [(True, b"slept\n")]
        sandbox.pause()
    finally:
        sandbox.close()
    assert sandbox.id not in [each.id for each in provider.list()]


def _stats(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Figures, or nothing where there are none; what was written is among them."""
    sandbox = provider.create(template(checkout))
    try:
        before = sandbox.stats()
        assert all(value is None or value >= 0 for _, value in before)
        assert before.received_mb in (0.0, None)
        assert shell(sandbox, "head -c 8000000 /dev/urandom > written; sync").ok
        after = sandbox.stats()
        assert before.disk_mb is not None
        assert after.disk_mb is not None
        assert 7 < after.disk_mb - before.disk_mb < 20
        assert sandbox.record.provider
        assert sandbox.record.image == "host"
        assert sandbox.record.network == "none"
        sandbox.collect(blobs)
        assert refusal(sandbox.stats) in ("sandbox_lost", "sandbox_expired", "done")
    finally:
        sandbox.close()


def _stats_grow(provider: SandboxProvider, checkout: Path, blobs: Path) -> None:
    """Memory, processors' time and processes are those of what runs."""
    sandbox = provider.create(template(checkout))
    try:
        before = sandbox.stats()
        busy = 'python3 -c "$1" >/dev/null 2>&1 & sleep 1.2'
        assert sandbox.exec(ExecRequest(argv=("sh", "-c", busy, "sh", _BUSY))).ok
        after = sandbox.stats()
        figures = (before.memory_mb, before.cpu_seconds, before.pids, after.memory_mb, after.cpu_seconds, after.pids)
        memory, seconds, pids, more_memory, more_seconds, more_pids = (-1 if each is None else each for each in figures)
        assert min(memory, seconds, pids) >= 0, "it bounds them and can't tell them"
        assert more_memory - memory > 40
        assert (after.memory_peak_mb or 0) >= more_memory - 8
        assert more_seconds - seconds > 0.2
        assert after.cpu_percent is not None
        assert 5 < after.cpu_percent < 400
        assert more_pids > pids >= 1
        assert shell(sandbox, "sleep 60", seconds=0.1).ending == "timed_out"
        assert (sandbox.stats().pids or 0) <= pids + 1
    finally:
        sandbox.close()


VITALS: tuple[ProviderCheck, ...] = (*(_end, _closed, _closed_meanwhile, _wall_clock, _pause, _paused_beside, _stats),)
"""Of every provider."""
VITALS_LIMITED: tuple[ProviderCheck, ...] = (_stats_grow,)
"""Of those that bound memory and processes."""

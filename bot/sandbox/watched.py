"""A SandboxProvider and an Observer -> the same provider, with a piece of news for every step in a sandbox's life."""

from __future__ import annotations

import contextlib
import itertools
import logging
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bot.errors import SandpiperError
from bot.protocols import Cancelled, Observer, OnOutput, Sandbox, SandboxProvider
from bot.sandbox.news import Fact, Teller
from bot.types.sandbox import Changes, ExecRequest, ExecResult, SandboxInfo, SandboxRecord, SandboxStats, Template
from bot.types.task import Limits

SAMPLE_SECONDS = 10.0
"""Between two looks at what a sandbox uses."""
MEMORY_SHARE = 0.8
"""Part of the memory limit above which people are warned."""
LOST = frozenset({"sandbox_lost", "sandbox_expired"})
"""Codes of errors after which a sandbox is of no use any more."""

Clock = Callable[[], float]
log = logging.getLogger(__name__)


class Watched:
    """A SandboxProvider around another one. `actor` is who asked, for the record."""

    def __init__(
        self,
        provider: SandboxProvider,
        watch: Observer,
        *,
        actor: str = "",
        memory_share: float = MEMORY_SHARE,
        clock: Clock = time.monotonic,
    ) -> None:
        self._provider, self._tell = provider, Teller(watch, actor=actor)
        self._memory_share, self._clock = memory_share, clock

    def create(self, template: Template) -> Sandbox:
        """See the Protocol."""
        tell = self._tell.also(run_id=template.run_id)
        asked = {"image": template.image, "network": template.network.mode, "env_names": _names(template.env)}
        with tell.step("sandbox_create", "create", **asked) as facts:
            made = self._provider.create(template)
            facts.update(sandbox_id=made.id, **_record(made.record))
        return self._watched(made, tell, template.limits.memory_mb)

    def warm(self, template: Template, count: int = 1) -> None:
        """See the Protocol."""
        self._provider.warm(template, count)

    def healthy(self) -> str | None:
        """See the Protocol."""
        return self._provider.healthy()

    def sweep(self, run_id: str | None = None) -> int:
        """See the Protocol."""
        with self._tell.step("sandbox_sweep", "sweep", run_id=run_id or "") as facts:
            facts["removed"] = removed = self._provider.sweep(run_id)
        return removed

    def close(self) -> None:
        """See the Protocol."""
        self._provider.close()

    def get(self, sandbox_id: str) -> Sandbox | None:
        """See the Protocol."""
        found = self._provider.get(sandbox_id)
        return None if found is None else self._watched(found, self._tell, None)

    def capacity(self, limits: Limits) -> int:
        """See the Protocol."""
        return self._provider.capacity(limits)

    def list(self) -> tuple[SandboxInfo, ...]:
        """See the Protocol."""
        return self._provider.list()

    def _watched(self, made: Sandbox, tell: Teller, memory_mb: int | None) -> Sandbox:
        tell = tell.also(sandbox_id=made.id, provider=made.record.provider)
        return WatchedSandbox(made, tell, Samples(made, tell, self._clock, memory_mb, self._memory_share))


class Samples:
    """Looks at what a sandbox uses when something happens anyway: no thread, and not too often."""

    def __init__(self, sandbox: Sandbox, tell: Teller, clock: Clock, memory_mb: int | None, share: float) -> None:
        self._sandbox, self._tell, self._clock = sandbox, tell, clock
        self._memory_mb, self._share = memory_mb, share
        self._last, self._high = clock(), False

    def if_due(self) -> None:
        """A look, when the last one is long enough ago."""
        if self._clock() - self._last >= SAMPLE_SECONDS:
            self.take()

    def take(self) -> None:
        """A look now. Where none can be had there is none: whatever is wrong shows in the next step."""
        self._last = self._clock()
        try:
            used = self._sandbox.stats()
        except SandpiperError as error:
            log.debug("no figures of %s: %s", self._sandbox.id, error)
            return
        self._tell.say("sandbox_stats", "stats", ok=True, **used.model_dump(exclude_none=True))
        self._warn(used.memory_mb or 0.0)

    def _warn(self, memory_mb: float) -> None:
        """Once for each time that it rises above the threshold."""
        limit = self._memory_mb
        high = limit is not None and memory_mb > self._share * limit
        if high and limit is not None and not self._high:
            text = f"the sandbox uses {memory_mb:.0f} MiB of memory, its limit is {limit} MiB"
            self._tell.warn("memory_high", text, memory_mb=memory_mb, limit_mb=limit)
        self._high = high


class _Around:
    """What the parts of a watched sandbox share."""

    def __init__(self, sandbox: Sandbox, tell: Teller, samples: Samples) -> None:
        self._sandbox, self._tell, self._samples = sandbox, tell, samples
        self._commands = itertools.count(1)
        self._over = False  # closed, collected or told as lost
        self._closed = False

    @contextlib.contextmanager
    def _step(self, event: str, action: str, **asked: Fact) -> Iterator[dict[str, Fact]]:
        """One that also tells when the sandbox turns out to be lost."""
        try:
            with self._tell.step(event, action, **asked) as facts:
                yield facts
        except SandpiperError as error:
            if error.code in LOST:
                self._lost(error.code)
            raise

    def _lost(self, code: str) -> None:
        if not self._over:
            self._over = True
            self._tell.say("sandbox_lost", "lost", ok=False, code=code)


class _Files(_Around):
    """Operations on files, told by path and size."""

    def read_file(self, path: str, *, max_bytes: int = 10_000_000) -> bytes:
        with self._step("file_read", "read_file", path=path) as facts:
            data = self._sandbox.read_file(path, max_bytes=max_bytes)
            facts["bytes"] = len(data)
        return data

    def write_file(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        with self._step("file_write", "write_file", path=path, bytes=len(data)):
            self._sandbox.write_file(path, data, executable=executable)

    def list_files(self, path: str = ".", *, limit: int = 10_000) -> tuple[str, ...]:
        with self._step("file_list", "list_files", path=path) as facts:
            found = self._sandbox.list_files(path, limit=limit)
            facts["files"] = len(found)
        return found

    def delete_file(self, path: str) -> None:
        with self._step("file_delete", "delete_file", path=path):
            self._sandbox.delete_file(path)


class _Vitals(_Around):
    """Freezing and going on are told; looks change nothing and are not."""

    @property
    def record(self) -> SandboxRecord:
        return self._sandbox.record

    def stats(self) -> SandboxStats:
        return self._sandbox.stats()

    def health(self) -> str | None:
        return self._sandbox.health()

    def pause(self) -> None:
        with self._step("sandbox_pause", "pause"):
            self._sandbox.pause()

    def resume(self) -> None:
        with self._step("sandbox_resume", "resume"):
            self._sandbox.resume()


class WatchedSandbox(_Files, _Vitals):
    """A Sandbox around another one."""

    @property
    def id(self) -> str:
        return self._sandbox.id

    def exec(
        self, request: ExecRequest, *, on_output: OnOutput | None = None, cancelled: Cancelled | None = None
    ) -> ExecResult:
        """See the Protocol. Two events, whatever becomes of the command; `command_id` says which belong together."""
        command: dict[str, Fact] = {"command_id": next(self._commands), "argv": shlex.join(request.argv)}
        self._tell.say(
            "command_start",
            "exec",
            **command,
            cwd=request.cwd,
            env_names=_names(request.env),
            stdin_bytes=len(request.stdin),
            limit_seconds=round(request.seconds, 3),
        )
        with self._step("command_complete", "exec", **command) as facts:
            result = self._sandbox.exec(request, on_output=on_output, cancelled=cancelled)
            facts.update(
                ok=result.ok,
                code="" if result.ending == "exited" else result.ending,
                ending=result.ending,
                exit_code=result.exit_code,
                stdout_bytes=len(result.stdout),
                stderr_bytes=len(result.stderr),
                dropped_bytes=result.dropped_bytes,
            )
        if result.ending == "lost":
            self._lost("sandbox_lost")
        self._samples.if_due()
        return result

    def collect(self, blobs: Path) -> Changes:
        """See the Protocol. What it used is noted before everything in it is killed."""
        if not self._over:
            self._samples.take()
        self._over = True
        with self._step("sandbox_collect", "collect") as facts:
            changes = self._sandbox.collect(blobs)
            size = sum(each.new.size for each in changes.files if each.new is not None)
            skipped, complete = len(changes.skipped), changes.complete
            facts.update(files=len(changes.files), bytes=size, skipped=skipped, complete=complete)
        return changes

    def close(self) -> None:
        """See the Protocol."""
        if not self._over:
            self._samples.take()
        self._over = True
        if self._closed:
            self._sandbox.close()
            return
        self._closed = True
        with self._step("sandbox_close", "close"):
            self._sandbox.close()


def _names(env: Iterable[str]) -> str:
    return " ".join(sorted(env))


def _record(record: SandboxRecord) -> dict[str, Fact]:
    """How a sandbox was made; its image and network were asked for and are told anyway."""
    return {
        "provider": record.provider,
        "workspace": record.workspace,
        "disk": record.disk,
        "warm": record.warm,
        "notes": "; ".join(record.notes),
    }

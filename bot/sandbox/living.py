"""A channel into a running sandbox -> a Sandbox: commands, files, vital signs, and what is left when it is dead.

The same for every provider on this machine; what differs between them is a Body.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bot.errors import SandboxError, SandboxExpired, TaskError
from bot.protocols import Cancelled, OnOutput
from bot.sandbox.channel.command import Channel, ChannelDown, Command, Raw
from bot.sandbox.collect.compare import collect
from bot.sandbox.collect.unpack import collect_archive
from bot.sandbox.counters import Counts, Meter
from bot.sandbox.driver import Driver
from bot.sandbox.files import Files, checked
from bot.sandbox.folder import now
from bot.sandbox.workspace.disk import ALL, written
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Changes, ExecRequest, ExecResult, SandboxRecord, SandboxStats, Template
from bot.types.value import Ending

_MIB = 1 << 20
_FILE_SECONDS = 60.0
_HEALTH_SECONDS = 5.0
_CLEAR_SECONDS = 3.0
"""In which everything that a command started has to be gone."""
_ATTEMPTS = 3
"""Shells that are tried before a sandbox is lost."""
_SIGNALLED: Mapping[int, Ending] = {137: "killed", 153: "disk"}
"""128 + SIGKILL; 128 + SIGXFSZ: a file grew beyond its limit."""
_NO_SPACE = re.compile(rb"No space left on device|Disk quota exceeded")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Facts:
    """What is known of one sandbox from its start."""

    name: str
    template: Template
    workspace: Workspace
    record: SandboxRecord
    channel: Channel
    meter: Meter
    ends: float
    """When its wall clock ends it, by `folder.now`."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment of every command, before the template's and the request's."""
    full: Callable[[], bool] = lambda: False
    """Whether the workspace holds more than it may, where no volume sees to that."""
    exhausted: Callable[[], bool] = lambda: False
    """Whether the volume under the workspace has no room left."""
    archive: Callable[[], Iterable[bytes]] | None = None
    """The whole workspace as a tar stream while the sandbox is frozen, where this machine does not have it."""
    idle_pids: int = 1
    """Processes when no command runs."""
    driver: Driver = field(default_factory=Driver)
    """Who takes the commands, where the sandbox goes on without it."""


class Body(Protocol):
    """One sandbox as its provider sees it."""

    @property
    def facts(self) -> Facts: ...

    def running(self) -> bool:
        """Whether anything can still run in it."""

    def freeze(self, frozen: bool) -> None:
        """Halt everything in it, or let it go on. Raises SandboxError."""

    def revive(self) -> None:
        """A shell that takes commands again, on the same workspace. Raises SandboxError `sandbox_lost`."""

    def end(self) -> None:
        """Return when nothing runs in it, for good. Raises SandboxError `sandbox_undead`."""

    def dispose(self) -> None:
        """Nothing is left of it; never raises for what can be swept later."""


class _Files:
    """The file operations of a sandbox, over the way it runs scripts."""

    _files: Files

    def read_file(self, path: str, *, max_bytes: int = 10_000_000) -> bytes:
        """See the Protocol."""
        return self._files.read(path, max_bytes)

    def write_file(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        """See the Protocol."""
        self._files.write(path, data, executable)

    def list_files(self, path: str = ".", *, limit: int = 10_000) -> tuple[str, ...]:
        """See the Protocol."""
        return self._files.list(path, limit)

    def delete_file(self, path: str) -> None:
        """See the Protocol."""
        self._files.delete(path)


class _Vitals:
    """The vital signs of a sandbox."""

    _body: Body
    _closed: bool
    _paused: bool
    _looked: tuple[float, float]

    @property
    def record(self) -> SandboxRecord:
        """See the Protocol."""
        return self._body.facts.record

    @property
    def workspace(self) -> Workspace:
        """How the checkout is protected."""
        return self._body.facts.workspace

    def stats(self) -> SandboxStats:
        """See the Protocol."""
        facts = self._living().facts
        usage, moment = facts.meter.usage(), now()
        if usage.pids in (None, 0) and not self._body.running():
            raise SandboxError("sandbox_lost", f"nothing runs in {facts.name} any more", hint="make a new one")
        then, before = self._looked
        percent = None
        if usage.cpu_seconds is not None:
            percent = round(100 * max(0.0, usage.cpu_seconds - before) / max(moment - then, 1e-3), 1)
            self._looked = (moment, usage.cpu_seconds)
        return SandboxStats(
            memory_mb=_mib(usage.memory),
            memory_peak_mb=_mib(usage.memory_peak),
            cpu_seconds=usage.cpu_seconds,
            cpu_percent=percent,
            pids=usage.pids,
            disk_mb=None if facts.archive else _mib(_size(facts.workspace)),
            received_mb=0.0 if facts.record.network == "none" else None,
            sent_mb=0.0 if facts.record.network == "none" else None,
        )

    def health(self) -> str | None:
        """See the Protocol."""
        if self._closed:
            return "it was closed"
        if self._paused:
            return "it is paused"
        if not self._body.running():
            return "nothing runs in it any more"
        try:
            answers = self._body.facts.channel.ping(_HEALTH_SECONDS)
        except SandboxError as error:
            return error.message
        return None if answers else f"it does not answer within {_HEALTH_SECONDS:.0f} s"

    def pause(self) -> None:
        """See the Protocol."""
        body = self._living()
        if not self._paused:
            body.freeze(True)
            self._paused = True

    def resume(self) -> None:
        """See the Protocol."""
        self._living().freeze(False)
        self._paused = False

    def _living(self) -> Body:
        if self._closed:
            raise SandboxExpired("the sandbox was closed", hint="make a new one")
        return self._body


class LivingSandbox(_Files, _Vitals):
    """A Sandbox over a Body."""

    def __init__(self, body: Body, *, paused: bool = False) -> None:
        facts = body.facts
        self._body, self._paused, self._closed, self._collected = body, paused, False, False
        self._looked = (now(), 0.0)
        self._files = Files(self._script, facts.workspace.root)
        self._epoch = 0
        """Counts how often all commands were ended."""
        self._gate = threading.RLock()
        """Held while commands are ended and shells revived: none begins meanwhile."""

    @property
    def id(self) -> str:
        """See the Protocol."""
        return self._body.facts.name

    def exec(
        self, request: ExecRequest, *, on_output: OnOutput | None = None, cancelled: Cancelled | None = None
    ) -> ExecResult:
        """See the Protocol. After the wall clock ran out: SandboxExpired."""
        facts = self._body.facts
        extra = {**facts.template.env, **request.env}
        if bad := [name for name in extra if not _VARIABLE.fullmatch(name)]:
            raise TaskError("bad_variable", f"{bad[0]!r} is no name for a variable", hint="use letters, digits and _")
        if not all(_can_be_given(each) for each in (*request.argv, *extra.values())):
            text = "no argument or variable can hold a NUL, or what is no text"
            raise TaskError("bad_argument", text, hint="send it as standard input")
        return self._run(
            Command(
                argv=request.argv,
                cwd=checked(request.cwd, facts.workspace.root),
                env={**facts.env, **extra},
                stdin=request.stdin,
                seconds=request.seconds,
                output_bytes=request.output_bytes,
                on_output=on_output,
                cancelled=cancelled,
                full=facts.full,
            )
        )

    def collect(self, blobs: Path) -> Changes:
        """See the Protocol; nothing can run in the sandbox afterwards."""
        with self._gate:
            self._collected = True
            facts, template = self._body.facts, self._body.facts.template
            limits, links = template.limits, template.symlinks
            if facts.archive is not None:
                self._body.freeze(True)
                try:
                    return collect_archive(facts.workspace, limits, blobs, facts.archive(), links=links)
                finally:
                    self._body.end()
            self._body.end()
        try:
            return collect(facts.workspace, limits, blobs, links=links)
        except OSError as error:
            text, hint = (
                f"what {self.id} left can't be read: {error}",
                "see that the disk has room, and the work folder",
            )
            raise SandboxError("collect_failed", text, hint=hint) from error

    def close(self) -> None:
        """See the Protocol."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._body.facts.channel.close()
                self._body.dispose()

    def _script(self, script: str, args: Sequence[str], stdin: bytes, output_bytes: int) -> ExecResult:
        return self._run(
            Command(script=script, argv=args, stdin=stdin, seconds=_FILE_SECONDS, output_bytes=output_bytes)
        )

    def _run(self, command: Command) -> ExecResult:
        """One command, with a shell revived before it where there is none."""
        facts = self._body.facts
        left = facts.ends - now()
        if left <= 0 or self._closed or self._collected:
            raise SandboxExpired
        if self._paused:
            raise SandboxError("sandbox_paused", f"{self.id} is paused", hint="resume it first")
        command.seconds = min(command.seconds, left)
        try:
            raw, before, epoch = self._through(command)
        except BaseException:  # an interrupt, or whoever listens to the output: nothing may go on behind their back
            with contextlib.suppress(SandboxError):
                self._clear()
            raise
        # Without an exit code its shell was killed, and it may go on; unless all was ended meanwhile.
        if raw.stop or (raw.exit_code is None and epoch == self._epoch):
            self._clear()
        return _result(raw, before, facts)

    def _through(self, command: Command) -> tuple[Raw, Counts, int]:
        """What became of it, and the counts and the epoch when it began. Raises SandboxError when that can't be."""
        facts, why = self._body.facts, ""
        for _ in range(_ATTEMPTS):
            with self._gate:
                epoch = self._epoch
            before = facts.meter.before()
            try:
                return facts.channel.run(command), before, epoch
            except ChannelDown as error:
                why = str(error)
            with self._gate:
                if self._closed or self._collected:
                    raise SandboxExpired
                if self._epoch == epoch:  # else somebody else has done it meanwhile
                    self._revive()
        raise SandboxError("sandbox_lost", f"{self.id} takes no commands: {why}", hint="make a new one")

    def _revive(self) -> None:
        self._body.revive()
        self._epoch += 1

    def _clear(self) -> None:
        """End everything that the task started and keep the sandbox usable. Raises SandboxError when it is lost."""
        facts = self._body.facts
        with self._gate:
            if self._closed or self._collected:
                return
            for _ in range(_ATTEMPTS):
                if _cleared(facts):
                    self._epoch += 1
                    return
                self._revive()  # a fresh shell, whose predecessor may have been kept from killing: once more
        raise SandboxError("sandbox_lost", f"{self.id} holds what can't be killed", hint="close it, make a new one")


def _cleared(facts: Facts) -> bool:
    """Whether all that the task started could be killed."""
    until = time.monotonic() + _CLEAR_SECONDS
    with contextlib.suppress(ChannelDown):
        while time.monotonic() < until:
            facts.channel.end_commands()
            answers = facts.channel.ping(max(0.1, until - time.monotonic()))
            if not facts.driver.same():
                return False
            if answers and _is_idle(facts):
                return True
    return False


def _is_idle(facts: Facts) -> bool:
    """Whether nothing but ours is left; where nobody can tell, the kill is believed."""
    for _ in range(20):
        pids = facts.meter.usage().pids
        if pids is None or pids <= facts.idle_pids:
            return True
        time.sleep(0.005)
    return False


def taken_from(sandbox: LivingSandbox) -> Body:
    """For whoever makes another sandbox of it: this one is closed, and nothing of it was removed."""
    sandbox._closed = True
    return sandbox._body


def _result(raw: Raw, before: Counts, facts: Facts) -> ExecResult:
    ending, code = _ending(raw, before, facts)
    return ExecResult(
        ending=ending,
        exit_code=code,
        stdout=raw.stdout,
        stderr=raw.stderr,
        dropped_bytes=raw.dropped,
        seconds=raw.seconds,
    )


def _ending(raw: Raw, before: Counts, facts: Facts) -> tuple[Ending, int]:
    if raw.stop == "timed_out":
        return "timed_out", 124
    if raw.stop:
        return raw.stop, 137
    if raw.exit_code == 0:
        return "exited", 0
    after, code = facts.meter.after(), 137 if raw.exit_code is None else raw.exit_code
    if after.oom > before.oom:
        return "oom", code
    if after.pids > before.pids:
        return "pids", code
    if raw.exit_code is None:
        return "killed", code
    if _NO_SPACE.search(raw.stderr) and facts.exhausted():
        return "disk", code
    return _SIGNALLED.get(code, "exited"), code


def _can_be_given(text: str) -> bool:
    """Whether a program can have it: bytes that were no text may have become lone surrogates, others mean nothing."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _size(workspace: Workspace) -> int | None:
    """Bytes that were written; None when they are not there, or too many, or too deep, to be counted."""
    try:
        size = written(workspace, ALL).size
    except OSError:
        return None
    return size if size < ALL.size else None


def _mib(count: int | None) -> float | None:
    return None if count is None else round(count / _MIB, 3)

"""A started container -> a Sandbox: commands, files, and what is left when it is dead."""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bot.errors import SandboxError
from bot.protocols import Cancelled, OnOutput
from bot.sandbox.docker import engine as command
from bot.sandbox.docker.engine import Command, Raw
from bot.sandbox.collect.compare import collect
from bot.sandbox.collect.tree import used_bytes
from bot.sandbox.counters import Counters, Counts, host_folders
from bot.sandbox.docker.box import Box, check_alive, counters_inside, end_commands, stop
from bot.sandbox.docker.container import command_environment
from bot.sandbox.files import Files, checked
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Changes, ExecRequest, ExecResult
from bot.types.value import Ending

_DISK_MAX = 10 << 30
"""Bytes that a workspace may take before the command that fills it is stopped."""
_DISK_RESERVE = 1 << 30
"""Bytes of the disk that no command may take from the machine."""
_SIGNALLED: Mapping[int, Ending] = {137: "killed", 153: "disk"}
"""128 + SIGKILL; 128 + SIGXFSZ: a file grew beyond its limit."""


class DockerSandbox:
    """One container with its workspace. Made by DockerProvider."""

    def __init__(self, box: Box, dispose: Callable[[], object]) -> None:
        state = box.api.inspect_container(box.name)
        self._box, self._dispose = box, dispose
        self._deadline = time.monotonic() + box.template.limits.minutes * 60
        self._counters = Counters(partial(counters_inside, box), host_folders(state["State"]["Pid"], state["Id"]))
        self._full = _disk_watch(box.workspace)
        self._closed = False

    @property
    def id(self) -> str:
        return self._box.name

    @property
    def workspace(self) -> Workspace:
        """For the record: how the checkout is protected."""
        return self._box.workspace

    def exec(
        self, request: ExecRequest, *, on_output: OnOutput | None = None, cancelled: Cancelled | None = None
    ) -> ExecResult:
        """See the Protocol. After the wall clock ran out: SandboxError `sandbox_expired`."""
        left = self._deadline - time.monotonic()
        if left <= 0 or self._closed:
            raise SandboxError(
                "sandbox_expired", "the sandbox's time is over", hint="raise the task's `limits.minutes`, or do less"
            )
        asked = _command(self._box, request, min(request.seconds, left))
        asked.on_output, asked.cancelled, asked.full = on_output, cancelled, self._full
        before = self._counters.before()
        raw = command.run(self._box.api, self._box.name, asked)
        if raw.stop or raw.exit_code is None:
            end_commands(self._box)
        elif raw.exit_code in _SIGNALLED:
            check_alive(self._box)
        return _result(raw, before, self._counters.after)

    def read_file(self, path: str, *, max_bytes: int = 10_000_000) -> bytes:
        return Files(self.exec).read(path, max_bytes)

    def write_file(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        Files(self.exec).write(path, data, executable)

    def list_files(self, path: str = ".", *, limit: int = 10_000) -> tuple[str, ...]:
        return Files(self.exec).list(path, limit)

    def collect(self, blobs: Path) -> Changes:
        """See the Protocol; nothing can run in the sandbox afterwards."""
        self._deadline = time.monotonic()
        stop(self._box)
        return collect(self._box.workspace, self._box.template.limits, blobs)

    def close(self) -> None:
        if not self._closed:
            self._dispose()
            self._closed = True


def _command(box: Box, request: ExecRequest, seconds: float) -> Command:
    return Command(
        argv=request.argv,
        user=box.user,
        cwd=checked(request.cwd),
        env=command_environment(box.image, box.template, request.env),
        stdin=request.stdin,
        seconds=seconds,
        output_bytes=request.output_bytes,
    )


def _result(raw: Raw, before: Counts, after: Callable[[], Counts]) -> ExecResult:
    ending, code = _ending(raw, before, after)
    stdout, stderr = raw.stdout, raw.stderr
    if code in (126, 127) and stdout.startswith(b"OCI runtime exec failed"):
        code = 127 if b"not found" in stdout else code  # as shells say it, whatever the engine's version
        stdout, stderr = b"", stdout.strip() + b"\n"  # the engine tells on the wrong stream
    return ExecResult(
        ending=ending, exit_code=code, stdout=stdout, stderr=stderr, dropped_bytes=raw.dropped, seconds=raw.seconds
    )


def _ending(raw: Raw, before: Counts, after: Callable[[], Counts]) -> tuple[Ending, int]:
    if raw.stop == "timed_out":
        return "timed_out", 124
    if raw.stop or raw.exit_code is None:
        return raw.stop or "killed", 137
    if raw.exit_code == 0:
        return "exited", 0
    now = after()
    if now.oom > before.oom:
        return "oom", raw.exit_code
    if now.pids > before.pids:
        return "pids", raw.exit_code
    return _SIGNALLED.get(raw.exit_code, "exited"), raw.exit_code


def _disk_watch(workspace: Workspace) -> Callable[[], bool]:
    """Whether the workspace took too much of the disk; counted only when the disk's free space says it may have."""
    at_first = _free(workspace.folder)

    def full() -> bool:
        free = _free(workspace.folder)
        if free < min(_DISK_RESERVE, at_first // 2):
            return used_bytes(workspace.changed, _DISK_RESERVE) >= _DISK_RESERVE // 2
        return at_first - free >= _DISK_MAX and used_bytes(workspace.changed, _DISK_MAX) >= _DISK_MAX

    return full


def _free(folder: Path) -> int:
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize

"""A started container -> a Sandbox: commands, files, and what is left when it is dead."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, NotFound

from bot.errors import SandboxError
from bot.protocols import Cancelled, OnOutput
from bot.sandbox import command
from bot.sandbox.collect import collect
from bot.sandbox.command import ENGINE_ERRORS, Command, Raw, lost
from bot.sandbox.container import Image, command_environment
from bot.sandbox.counters import INSIDE, Counters, Counts, host_folders
from bot.sandbox.files import Files, checked
from bot.sandbox.tree import used_bytes
from bot.sandbox.workspace import Workspace
from bot.types.sandbox import Changes, ExecRequest, ExecResult, Template
from bot.types.value import Ending

_LOG = logging.getLogger(__name__)
_KILL = ("/bin/sh", "-c", "kill -9 -1")
"""As the task's user: everything of its own, daemons included, and nothing else."""
_KILL_SECONDS = 30
_DISK_MAX = 10 << 30
"""Bytes that a workspace may take before the command that fills it is stopped."""
_DISK_RESERVE = 1 << 30
"""Bytes of the disk that no command may take from the machine."""
_SIGNALLED: Mapping[int, Ending] = {137: "killed", 153: "disk"}
"""128 + SIGKILL; 128 + SIGXFSZ: a file grew beyond its limit."""


class DockerSandbox:
    """One container with its workspace. Made by DockerProvider."""

    def __init__(
        self,
        api: docker.APIClient,
        name: str,
        template: Template,
        workspace: Workspace,
        image: Image,
        dispose: Callable[[], object],
    ) -> None:
        state = api.inspect_container(name)
        self._api, self._name, self._template, self._workspace, self._image = api, name, template, workspace, image
        self._dispose = dispose
        self._deadline = time.monotonic() + template.limits.minutes * 60
        self._counters = Counters(self._ask_inside, host_folders(state["State"]["Pid"], state["Id"]))
        self._free = _free(workspace.folder)
        self._closed = False

    @property
    def id(self) -> str:
        return self._name

    @property
    def workspace(self) -> Workspace:
        """For the record: how the checkout is protected."""
        return self._workspace

    def exec(
        self, request: ExecRequest, *, on_output: OnOutput | None = None, cancelled: Cancelled | None = None
    ) -> ExecResult:
        """See the Protocol. After the wall clock ran out: SandboxError `sandbox_expired`."""
        left = self._deadline - time.monotonic()
        if left <= 0 or self._closed:
            raise SandboxError(
                "sandbox_expired", "the sandbox's time is over", hint="raise the task's `limits.minutes`, or do less"
            )
        asked = self._command(request, min(request.seconds, left), on_output, cancelled)
        before = self._counters.before()
        raw = command.run(self._api, self._name, asked)
        if raw.stop or raw.exit_code is None:
            self._kill_all()
        elif raw.exit_code in _SIGNALLED:
            self._check_alive()
        return self._result(raw, before)

    def read_file(self, path: str, *, max_bytes: int = 10_000_000) -> bytes:
        return Files(self.exec).read(path, max_bytes)

    def write_file(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        Files(self.exec).write(path, data, executable)

    def list_files(self, path: str = ".", *, limit: int = 10_000) -> tuple[str, ...]:
        return Files(self.exec).list(path, limit)

    def collect(self, blobs: Path) -> Changes:
        """See the Protocol; nothing can run in the sandbox afterwards."""
        self._deadline = time.monotonic()
        try:
            stop(self._api, self._name)
        except ENGINE_ERRORS as error:
            raise SandboxError(
                "sandbox_undead", f"the sandbox could not be killed: {error}", hint="restart Docker, then retry"
            ) from error
        return collect(self._workspace, self._template.limits, blobs)

    def close(self) -> None:
        if not self._closed:
            self._dispose()
            self._closed = True

    def _command(
        self, request: ExecRequest, seconds: float, on_output: OnOutput | None, cancelled: Cancelled | None
    ) -> Command:
        return Command(
            argv=request.argv,
            user=f"{self._workspace.uid}:{self._workspace.gid}",
            cwd=checked(request.cwd),
            env=command_environment(self._image, self._template, request.env),
            stdin=request.stdin,
            seconds=seconds,
            output_bytes=request.output_bytes,
            on_output=on_output,
            cancelled=cancelled,
            full=self._full,
        )

    def _result(self, raw: Raw, before: Counts) -> ExecResult:
        ending, code = self._ending(raw, before)
        stdout, stderr = raw.stdout, raw.stderr
        if code in (126, 127) and stdout.startswith(b"OCI runtime exec failed"):
            code = 127 if b"not found" in stdout else code  # as shells say it, whatever the engine's version
            stdout, stderr = b"", stdout.strip() + b"\n"  # the engine tells on the wrong stream
        return ExecResult(
            ending=ending, exit_code=code, stdout=stdout, stderr=stderr, dropped_bytes=raw.dropped, seconds=raw.seconds
        )

    def _ending(self, raw: Raw, before: Counts) -> tuple[Ending, int]:
        if raw.stop == "timed_out":
            return "timed_out", 124
        if raw.stop or raw.exit_code is None:
            return raw.stop or "killed", 137
        if raw.exit_code == 0:
            return "exited", 0
        after = self._counters.after()
        if after.oom > before.oom:
            return "oom", raw.exit_code
        if after.pids > before.pids:
            return "pids", raw.exit_code
        return _SIGNALLED.get(raw.exit_code, "exited"), raw.exit_code

    def _kill_all(self) -> None:
        """End everything that the task started and keep the sandbox usable."""
        user = f"{self._workspace.uid}:{self._workspace.gid}"
        try:
            raw = command.run(self._api, self._name, Command(_KILL, user, "/", seconds=_KILL_SECONDS))
            if raw.exit_code in (0, 1):  # 1: there was nothing left
                return
        except SandboxError:
            self._check_alive()
        # No shell in the image, or no room for one more process: a fresh start ends everything too.
        try:
            self._api.restart(self._name, timeout=0)
        except ENGINE_ERRORS as error:
            raise lost(error) from error

    def _check_alive(self) -> None:
        try:
            alive = self._api.inspect_container(self._name)["State"]["Running"]
        except ENGINE_ERRORS as error:
            raise lost(error) from error
        if not alive:
            raise lost(RuntimeError("its container ended"))

    def _ask_inside(self) -> str:
        user = f"{self._workspace.uid}:{self._workspace.gid}"
        raw = command.run(self._api, self._name, Command(("cat", *INSIDE), user, "/", seconds=_KILL_SECONDS))
        return raw.stdout.decode("utf-8", "replace")

    def _full(self) -> bool:
        """Whether the workspace took too much of the disk; counted only when the disk's free space says it may have."""
        free = _free(self._workspace.folder)
        if free < min(_DISK_RESERVE, self._free // 2):
            return used_bytes(self._workspace.changed, _DISK_RESERVE) >= _DISK_RESERVE // 2
        return self._free - free >= _DISK_MAX and used_bytes(self._workspace.changed, _DISK_MAX) >= _DISK_MAX


def _free(folder: Path) -> int:
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def stop(api: docker.APIClient, name: str) -> None:
    """Kill a container and return when it is dead. Raises ENGINE_ERRORS when that can't be had."""
    try:
        api.kill(name)
    except NotFound:
        return
    except APIError as error:
        if error.status_code not in (409, 500):  # it is not running; older engines say 500
            raise
    api.wait(name, timeout=_KILL_SECONDS)
    if api.inspect_container(name)["State"]["Running"]:
        raise DockerException("it survived SIGKILL")

"""The shape of a sandbox -> its processes, as far as one can tell from outside."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache

from bot.errors import SandboxError
from bot.sandbox import processes
from bot.sandbox.bubblewrap.arguments import NO_OVERLAY, inner_arguments, launch_arguments
from bot.sandbox.bubblewrap.cgroup import Groups, join, joined
from bot.sandbox.bubblewrap.seccomp import MACHINES, program
from bot.sandbox.bubblewrap.stage import PROGRAMS, OverlayRefused, programs_of, staged
from bot.sandbox.bubblewrap.tree import Shape
from bot.sandbox.folder import process_identity
from bot.sandbox.keeper import Keeper
from bot.sandbox.processes import readable

_SECONDS = 30.0
"""In which bubblewrap has to be through."""
_CHILD = re.compile(rb'"child-pid"\s*:\s*(\d+)')
_UMASK = 0o022
_PROGRAMS = frozenset(("bwrap", "setpriv", "timeout"))
_APPARMOR = (
    "allow user namespaces: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or an AppArmor profile"
    " for /usr/bin/bwrap that has `userns`"
)


class GroupRefused(Exception):
    """A control group of ours may not be joined."""


@dataclass
class Processes:
    """One start of a sandbox."""

    outer: str
    """Identity of the process that we started; everything ends with it."""
    init: str
    """Identity of the first process inside; nothing inside outlives it."""
    started: subprocess.Popen[bytes] | None = None
    """The former, where it was this process that started it."""

    def running(self) -> bool:
        if self.started is not None:
            self.started.poll()
        return processes.alive(self.init)

    def end(self) -> bool:
        """Kill all; True when all are dead."""
        dead = processes.kill(self.init) and processes.kill(self.outer)
        if self.started is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.started.wait(1)
        return dead

    def settled(self) -> None:
        """It runs: what it says from now on is for nobody."""
        if self.started is not None and self.started.stderr is not None:
            self.started.stderr.close()

    def last_words(self) -> str:
        """End it, and return what it said before."""
        self.end()
        return _said(self.started) if self.started is not None else ""


def launch(keeper: Keeper, shape: Shape, groups: Groups, *, seconds: int | None = None) -> Processes:
    """Start it in the control groups; with `seconds`, it outlives us for so long.

    Raises OverlayRefused, GroupRefused, SandboxError.
    """
    machine = platform.machine()
    if machine not in MACHINES:
        raise SandboxError("machine_unsupported", f"no filter of system calls for {machine}", hint="use docker")
    files: list[int] = []
    reading, writing = os.pipe()
    gate, opening = os.pipe()
    try:
        files += (writing, gate)
        files.append(seccomp := _memory(_filter(machine)))
        files.append(words := _memory(_words(inner_arguments(shape, seccomp, writing, gate))))
        argv = launch_arguments(shape, words)
        if seconds is not None:
            argv = ("timeout", "--signal=KILL", str(seconds), *argv)
        try:
            started = _started(keeper, shape, groups, argv, files)
        finally:
            for file in files:
                os.close(file)
        found = _await(started, reading)
        _join(found, groups)
        os.write(opening, b"x")  # not a moment before: what runs inside is in the groups from its first instruction
        return found
    finally:
        os.close(reading)
        os.close(opening)


@cache
def _filter(name: str) -> bytes:
    return program(MACHINES[name])


def _started(
    keeper: Keeper, shape: Shape, groups: Groups, argv: Sequence[str], files: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Raises OverlayRefused, GroupRefused, SandboxError."""
    try:
        # The programs of ours among the words; no word of the task's is one.
        programs = programs_of(_PROGRAMS.intersection(argv), keeper.path) if shape.root else {}
        argv = [f"{PROGRAMS}/{word}" if word in programs else word for word in argv]
        return keeper.start(argv, pass_fds=files, umask=_UMASK, inside=lambda: _inside(shape, groups, programs))
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.filename in _PROGRAMS | {"unshare"}:
            raise SandboxError("bubblewrap_unavailable", f"{error.filename} is missing", hint=_install()) from error
        raise _unstarted(error) from error


def _unstarted(error: OSError) -> SandboxError:
    hint = "as root it takes the right to mount (CAP_SYS_ADMIN); or use docker"
    return SandboxError("sandbox_failed", f"bubblewrap can't be started: {error}", hint=hint)


def _await(started: subprocess.Popen[bytes], reading: int) -> Processes:
    identity = process_identity(started.pid) or ""
    said, until = b"", time.monotonic() + _SECONDS
    while not said.rstrip().endswith(b"}") and (left := until - time.monotonic()) > 0:
        if readable(reading, left):
            data = os.read(reading, 4096)
            said += data
            if not data:
                break
    child = _CHILD.search(said)
    found = Processes(identity, (process_identity(int(child[1])) or "") if child else "", started)
    if not found.init:
        raise failure(found)
    return found


def _join(found: Processes, groups: Groups) -> None:
    try:
        join(groups, processes.pid_of(found.init))
    except OSError as error:
        found.last_words()
        raise GroupRefused(str(error)) from error


@contextmanager
def _inside(shape: Shape, groups: Groups, programs: Mapping[str, str]) -> Iterator[None]:
    """Where the first process is started. Raises GroupRefused, OverlayRefused, OSError."""
    with ExitStack() as entered:
        try:
            entered.enter_context(joined(groups))
        except OSError as error:
            raise GroupRefused(str(error)) from error
        if shape.root:
            entered.enter_context(staged(shape, programs))
        yield


def failure(found: Processes) -> Exception:
    """End what did not start, and say why."""
    text = found.last_words()
    code = found.started.returncode if found.started else None
    if code == NO_OVERLAY:
        return OverlayRefused(text)
    missing = re.search(r"(bwrap|setpriv|unshare|mount): (?:command )?not found", text)
    if missing or "failed to execute" in text:
        return SandboxError("bubblewrap_unavailable", f"a program is missing: {text}", hint=_install())
    hint = "see the message; `sandpiper sandbox doctor` tries each part"
    if re.search(r"(?i)operation not permitted|permission denied|uid map|no permissions|namespace", text):
        hint = _APPARMOR
    elif "Unknown option" in text:
        hint = "use bubblewrap 0.7 or newer"
    return SandboxError("sandbox_failed", f"bubblewrap did not start: {text or 'it said nothing'}", hint=hint)


def _said(started: subprocess.Popen[bytes]) -> str:
    if started.stderr is None or started.stderr.closed:
        return ""
    with started.stderr as stream:
        os.set_blocking(stream.fileno(), False)
        return (stream.read(4096) or b"").decode("utf-8", "replace").strip()


def _install() -> str:
    return "install it: `apt-get install bubblewrap util-linux`, or use docker"


def _words(arguments: tuple[str, ...]) -> bytes:
    return b"".join(os.fsencode(each) + b"\0" for each in arguments)


def _memory(data: bytes) -> int:
    """An open file that holds the data, for a child to read."""
    file = os.memfd_create("sandpiper", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    os.lseek(file, 0, os.SEEK_SET)
    return file

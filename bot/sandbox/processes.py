"""Identities of processes -> signals to exactly those processes, never to a later one with the same number.

A signal goes through a file that stands for the process (pidfd_open(2)), opened before the identity is looked at.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from bot.sandbox.folder import process_identity

_ROUNDS = 20


def pid_of(identity: str) -> int:
    """The number in an identity, 0 if there is none."""
    fields = identity.split(":")
    return int(fields[2]) if len(fields) == 4 and fields[2].isdigit() else 0


def alive(identity: str) -> bool:
    """Whether that very process runs."""
    return bool(identity) and process_identity(pid_of(identity)) == identity


def kill(identity: str, seconds: float = 10.0, *, number: signal.Signals = signal.SIGKILL) -> bool:
    """Send SIGKILL, or another signal; True when it is dead, or a zombie that somebody else has to bury."""
    if not alive(identity):
        return True
    try:
        file = os.pidfd_open(pid_of(identity))
    except ProcessLookupError:
        return True
    try:
        if not alive(identity):
            return True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(file, number)
        poll = select.poll()
        poll.register(file, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    except PermissionError:
        return False
    finally:
        os.close(file)


def readable(file: int, seconds: float) -> bool:
    """Whether something can be read in that time. Not select(2), which knows no file beyond the 1,024th."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def kill_group(folder: Path, seconds: float) -> bool:
    """Kill all that a control group of ours holds; True when it is empty, False when that can't be had in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            members = [int(line) for line in (folder / "cgroup.procs").read_text().split()]
        except OSError:
            return False
        if not members:
            return True
        for pid in members:
            with contextlib.suppress(OSError):  # gone by now, or another user's
                _kill_member(pid, folder.name)
        time.sleep(0.001)
    return False


def _kill_member(pid: int, group: str) -> None:
    """Only if it is in the group while we hold it: numbers come again."""
    file = os.pidfd_open(pid)
    try:
        if f"/{group}\n" in Path(f"/proc/{pid}/cgroup").read_text():
            signal.pidfd_send_signal(file, signal.SIGKILL)
    finally:
        os.close(file)


def descendants(pid: int) -> set[int]:
    """All processes below one. In a PID namespace, below the first: all of it, daemons too."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - thousands of names
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found: set[int] = set()
    fresh = [pid]
    while fresh:
        fresh = [child for each in fresh for child in children.get(each, []) if child not in found]
        found.update(fresh)
    return found


def halt(init: str, halted: bool) -> None:
    """Stop everything below the first process of a namespace, or let it go on. Raises OSError when it goes on."""
    pid = pid_of(init)
    if alive(init):
        halt_each(lambda: {pid, *descendants(pid)}, halted)


def halt_each(everyone: Callable[[], set[int]], halted: bool) -> None:
    """Stop processes, or let them go on, until all are. Raises OSError when they go on."""
    for _ in range(_ROUNDS):  # those that run meanwhile start others
        for each in everyone():
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP if halted else signal.SIGCONT)
        if not halted or all(_state(each) in "TtZX" for each in everyone()):
            return
        time.sleep(0.005)
    raise OSError("its processes multiply faster than they can be stopped")


def halted(init: str) -> bool:
    """Whether the first process of a namespace is stopped."""
    return alive(init) and _state(pid_of(init)) == "T"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"

"""System calls of mount(2) and its kin -> what a workspace attaches below its own folder, and takes off again.

Only root may mount. Where it is not to be had, every call here is an OSError, and the workspace does without.
"""

import ctypes
import fcntl
import os
import struct
from functools import cache
from pathlib import Path

from bot.errors import SandboxError

AT_FDCWD = -100
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN of ext4: from now on nothing is written any more."""
_LOOP = 7
"""Number of the driver of loop devices (the kernel's devices.txt)."""
_NOLOGFLUSH = struct.pack("=I", 2)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def system_call(number: int, *arguments: object) -> int:
    """syscall(2). Raises OSError."""
    result = int(_libc().syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise _failure(f"system call {number}")
    return result


def mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    """mount(2). Raises OSError."""
    words = (os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())
    if _libc().mount(*words) != 0:
        raise _failure(f"mount of {source}")


def _failure(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{what}: {os.strerror(code)}")


def release(folder: Path) -> None:
    """Take off everything that is mounted below a folder of ours, so that it can be removed. A second call is none.

    Also what another process mounted that is dead by now. What is mounted elsewhere, or at the folder itself, stays.
    Raises SandboxError `workspace_busy` when something can't be taken off: then nothing below may be removed, since
    it may not be ours.
    """
    if os.geteuid() != 0 or not folder.is_dir():
        return
    for point in reversed(mounted_below(folder)):
        _take_off(point)
    if left := mounted_below(folder):
        raise SandboxError(
            "workspace_busy", f"{left[0]!a} can't be unmounted", hint="see who uses it, then run the sweep again"
        )


def mounted_below(folder: Path) -> list[bytes]:
    """Mount points below a folder in the order in which they were mounted (proc_pid_mountinfo(5))."""
    above = os.fsencode(folder.resolve()) + b"/"
    if above == b"//":
        raise ValueError("everything is mounted below the root")
    table = Path("/proc/self/mountinfo").read_bytes()
    if _escaped(above) not in table:
        return []
    points = (_unescaped(line.split(b" ", 5)[4]) for line in table.splitlines())
    return [point for point in points if point.startswith(above)]


def _escaped(path: bytes) -> bytes:
    return path.replace(b"\\", b"\\134").replace(b" ", b"\\040").replace(b"\t", b"\\011").replace(b"\n", b"\\012")


def _unescaped(path: bytes) -> bytes:
    for code, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        path = path.replace(code, char)
    return path


def _take_off(point: bytes) -> None:
    _forget_writes(point)
    if _libc().umount2(point, _UMOUNT_NOFOLLOW) != 0:
        _libc().umount2(point, _UMOUNT_NOFOLLOW | _MNT_DETACH)  # busy; who looks afterwards sees whether this helped


def _forget_writes(point: bytes) -> None:
    """What the sandbox wrote is about to be thrown away: don't write it to the disk before."""
    try:
        root = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if _is_own_loop(root, point):
            fcntl.ioctl(root, _SHUTDOWN, _NOLOGFLUSH)
    except OSError:
        pass
    finally:
        os.close(root)


def _is_own_loop(root: int, point: bytes) -> bool:
    """Whether this is the file system in the file that lies next to it (see volume.py), which nobody else uses."""
    device = os.fstat(root).st_dev
    if os.major(device) != _LOOP:
        return False
    backing = Path(f"/sys/block/loop{os.minor(device)}/loop/backing_file").read_bytes().rstrip(b"\n")
    return backing == point + b".img"

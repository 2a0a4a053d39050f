"""A checkout that belongs to root -> the same files seen as the sandbox user's, without touching or copying them.

An idmapped mount (mount_setattr(2), Linux 5.12; below an overlay 5.19): one user namespace says whom each owner is
shown as. It is mounted read-only, so that not even root can remove anything through it by mistake.
"""

import ctypes
import os
import struct
import subprocess
from functools import cache
from pathlib import Path

from bot.sandbox.workspace.mounts import AT_FDCWD, system_call

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
"""The same on every architecture (the kernel's syscall tables), except Alpha."""
_CLONE, _CLOEXEC, _EMPTY_PATH = 1, os.O_CLOEXEC, 0x1000
_FROM_EMPTY_PATH = 4
_RDONLY, _NOSUID, _NODEV, _IDMAP = 1, 2, 4, 0x100000
_LAST = 4_294_967_295


def attach(checkout: Path, target: Path, uid: int, gid: int) -> None:
    """Show `checkout` at `target` (a folder) with root's files as those of uid:gid. Raises OSError."""
    users = _namespace(uid, gid)
    tree = system_call(_OPEN_TREE, ctypes.c_int(AT_FDCWD), os.fsencode(checkout), ctypes.c_uint(_CLONE | _CLOEXEC))
    try:
        change = struct.pack("=QQQQ", _IDMAP | _RDONLY | _NOSUID | _NODEV, 0, 0, users)
        system_call(
            _MOUNT_SETATTR, ctypes.c_int(tree), b"", ctypes.c_uint(_EMPTY_PATH), change, ctypes.c_size_t(len(change))
        )
        system_call(
            _MOVE_MOUNT,
            ctypes.c_int(tree),
            b"",
            ctypes.c_int(AT_FDCWD),
            os.fsencode(target),
            ctypes.c_uint(_FROM_EMPTY_PATH),
        )
    finally:
        os.close(tree)


@cache
def _namespace(uid: int, gid: int) -> int:
    """A user namespace in which root and the given user changed places; it lives as long as its open file."""
    try:
        with subprocess.Popen(
            ["unshare", "--user", "--", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            try:
                return _map(process, uid, gid)
            finally:
                process.kill()
    except subprocess.SubprocessError as error:
        raise OSError(f"no user namespace: {error}") from error


def _map(process: "subprocess.Popen[bytes]", uid: int, gid: int) -> int:
    if process.stdin is None or process.stdout is None:
        raise OSError("no pipes")
    process.stdin.write(b"x")
    process.stdin.flush()
    if process.stdout.read(1) != b"x":  # `cat` runs, so it is in its namespace
        raise OSError("no user namespace can be made")
    for file, number in (("uid_map", uid), ("gid_map", gid)):
        Path(f"/proc/{process.pid}/{file}").write_bytes(_swapped(number))
    return os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def _swapped(number: int) -> bytes:
    """Lines `inside outside count` (user_namespaces(7)): 0 and `number` change places, everybody else stays."""
    ranges = [(0, number, 1), (1, 1, number - 1), (number, 0, 1), (number + 1, number + 1, _LAST - number - 1)]
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ranges if count > 0).encode()

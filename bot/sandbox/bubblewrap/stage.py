"""The shape of a sandbox -> its file system, in a mount namespace that only the calling thread is in. For root.

What the thread starts meanwhile is in that namespace too: it sees the sandbox's own tree and nothing of this machine,
so that bubblewrap can run as the task's user, who may not look into our folders. System calls take microseconds, where
each program that could do the same takes a millisecond.

Sources: mount_namespaces(7), pivot_root(2), mount_setattr(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from bot.sandbox.bubblewrap.arguments import STAGE, TREE
from bot.sandbox.bubblewrap.tree import Shape, Tree, tree_of
from bot.sandbox.toolchain import LINKS
from bot.sandbox.workspace.mounts import AT_FDCWD, mount, system_call

PROGRAMS = "/programs"
"""Where those are that shut the task in, wherever this machine has them."""
_NEWNS, _FS = 0x20000, 0x200
_RDONLY, _NOSUID, _NODEV, _BIND, _REC, _PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
_FLAGS = {"nosuid": _NOSUID, "nodev": _NODEV}
_DETACH = 2
_MOUNT_SETATTR, _RECURSIVE = 442, 0x8000
_LOCKED = struct.pack("=QQQQ", _RDONLY | _NOSUID | _NODEV, 0, 0, 0)
"""struct mount_attr: what can neither be written nor raise anybody's rights."""


class OverlayRefused(Exception):
    """The kernel mounts no overlay for us."""


@contextmanager
def staged(shape: Shape, programs: Mapping[str, str]) -> Iterator[None]:
    """The calling thread, and what it starts, is in the sandbox's file system. Raises OverlayRefused, OSError.

    No other thread notices: working directory and root are this thread's alone, for good.
    """
    here = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        _call("unshare", _FS | _NEWNS)
        try:
            mount("none", Path("/"), "", _REC | _PRIVATE, "")
            _enter(shape, programs)
            yield
        finally:
            _call("setns", here, _NEWNS)
            os.chdir(root)
            os.chroot(".")  # that of the program, where it is not the namespace's
    finally:
        os.close(root)
        os.close(here)


def _enter(shape: Shape, programs: Mapping[str, str]) -> None:
    """Put it together, and make it the root of everything."""
    top = shape.folder / "root"
    top.mkdir(exist_ok=True)
    mount("tmpfs", top, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=4m")
    _grow(tree_of(shape), f"{top}{TREE}")
    _offer(shape, f"{top}{STAGE}")
    for name in ("usr", "etc", "sbin", *LINKS):  # for those programs
        if os.path.lexists(f"{top}{TREE}/{name}"):
            Path(f"{top}/{name}").symlink_to(f"{TREE}/{name}"[1:])
    _folder(f"{top}/tmp")  # noqa: S108 - bubblewrap's own
    _bind("/proc", f"{top}/proc")
    _bind("/dev", f"{top}/dev")
    for name, file in programs.items():
        _bind(file, f"{top}{PROGRAMS}/{name}")
    os.chdir(top)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)  # the former root, which lies on top of the new one
    os.chdir("/")


def _grow(tree: Tree, top: str) -> None:
    """What the sandbox sees, and nobody can write."""
    for folder in tree.folders:
        _folder(f"{top}{folder}")
    for leads, path in tree.links:
        Path(f"{top}{path}").symlink_to(leads)
    for path, data in tree.files:
        file = Path(f"{top}{path}")
        file.write_bytes(data)
        file.chmod(0o644)
    for source, path in tree.mounts:
        _bind(source, f"{top}{path}")
        _lock(f"{top}{path}")


def _offer(shape: Shape, top: str) -> None:
    """What the sandbox may write."""
    workspace = f"{top}/workspace"
    if shape.workspace_options:
        _overlay(shape.workspace_options, workspace)
    else:
        _bind(str(shape.workspace.changed), workspace)
    for number, shared in enumerate(shape.caches):
        place = f"{top}/cache{number}"
        if shared.options:
            _overlay(shared.options, place)
        else:
            _bind(shared.source, place)
            if not shared.writable:
                _lock(place)


def _overlay(options: str, place: str) -> None:
    _folder(place)
    words = options.split(",")
    flags = sum(_FLAGS.get(word, 0) for word in words)
    try:
        mount("overlay", Path(place), "overlay", flags, ",".join(word for word in words if word not in _FLAGS))
    except OSError as error:
        raise OverlayRefused(str(error)) from error


def _bind(source: str, place: str) -> None:
    target = Path(place)
    if not os.path.lexists(target):
        if Path(source).is_dir():
            _folder(place)
        else:
            _folder(str(target.parent))
            target.touch()
    mount(source, target, "", _BIND | _REC, "")


def _lock(place: str) -> None:
    """It, and what is mounted below it."""
    words = (ctypes.c_int(AT_FDCWD), os.fsencode(place), ctypes.c_uint(_RECURSIVE), _LOCKED, ctypes.c_size_t(32))
    try:
        system_call(_MOUNT_SETATTR, *words)
    except OSError as error:
        if error.errno != errno.ENOSYS:  # before Linux 5.12 bubblewrap alone sees to it, later and mount by mount
            raise


def _folder(path: str) -> None:
    """With those above it, for everybody to enter whatever our umask is."""
    folder = Path(path)
    if not folder.is_dir():
        _folder(str(folder.parent))
        folder.mkdir()
        folder.chmod(0o755)


def programs_of(names: Iterable[str], path: str) -> dict[str, str]:
    """Files of the programs that the search path leads to. Raises FileNotFoundError."""
    found = {name: shutil.which(name, path=path) for name in names}
    for name, file in found.items():
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return {name: os.path.realpath(file) for name, file in found.items() if file}


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    """One of libc's. Raises OSError."""
    if getattr(_libc(), name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")

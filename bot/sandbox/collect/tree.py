"""Folders that somebody hostile may have filled -> looked at: component by component, no link followed."""

import contextlib
import os
import stat
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEEP = 200
"""Folders within folders that are counted; each is an open file meanwhile."""
_SECONDS = 5.0
_INODES = 1 << 40
Mode = Literal["100644", "100755", "120000"]


@contextlib.contextmanager
def root_folder(path: Path) -> Iterator[int]:
    """A folder of ours, from which everything else is reached; a link in its own path is ours too."""
    folder = os.open(path, _FOLDER)
    try:
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def folder_in(parent: int | None, name: str) -> Iterator[int | None]:
    """An open folder, or None when there is none or it can't be read."""
    folder = _open(parent, name, _FOLDER | os.O_NOFOLLOW)
    try:
        yield folder
    finally:
        if folder is not None:
            os.close(folder)


@contextlib.contextmanager
def file_in(parent: int | None, name: str) -> Iterator[int | None]:
    """An open regular file, or None when it is something else or can't be read."""
    status = status_in(parent, name)
    # Looked at before it is opened: to open a device may be to do something.
    file = _open(parent, name, _FILE) if status is not None and stat.S_ISREG(status.st_mode) else None
    try:
        yield file if file is not None and stat.S_ISREG(os.fstat(file).st_mode) else None
    finally:
        if file is not None:
            os.close(file)


def _open(parent: int | None, name: str, flags: int) -> int | None:
    if parent is None:
        return None
    try:
        return os.open(name, flags, dir_fd=parent)
    except OSError:
        return None


def status_in(parent: int | None, name: str) -> os.stat_result | None:
    """lstat, or None when there is nothing, or nothing that can be looked at."""
    if parent is None:
        return None
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError:
        return None


def is_folder(parent: int | None, name: str) -> bool:
    status = status_in(parent, name)
    return status is not None and stat.S_ISDIR(status.st_mode)


def link_in(parent: int | None, name: str) -> bytes | None:
    """Target of a symlink, as bytes; None when it is none."""
    if parent is None:
        return None
    try:
        return os.fsencode(os.readlink(name, dir_fd=parent))
    except OSError:
        return None


def mode_of(status: os.stat_result) -> Mode:
    """Git knows of one bit."""
    return "100755" if status.st_mode & stat.S_IXUSR else "100644"


def is_whiteout(status: os.stat_result) -> bool:
    """An overlay's mark for a deleted name (overlayfs.rst, "whiteouts and opaque directories")."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(folder: int, attributes: Literal["trusted", "user"]) -> bool:
    """Whether an overlay that keeps its notes in such attributes hides the folder below this one."""
    with contextlib.suppress(OSError):
        return os.getxattr(folder, f"{attributes}.overlay.opaque") == b"y"
    return False


def speakable(name: str) -> bool:
    """Text that means the same to everybody: no control, no invisible character, no broken encoding."""
    return not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in name)


class Used(NamedTuple):
    """What a tree takes, or may take, of a disk."""

    size: int
    """Bytes."""
    inodes: int


def whole(path: Path) -> Used:
    """What lies below a folder that nobody writes, however deep; what can't be looked at counts nothing."""
    size, inodes, folders = 0, 0, [os.fspath(path)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                inodes += 1
                size += entry.stat(follow_symlinks=False).st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return Used(size, inodes)


def used(path: Path, limit: Used) -> Used:
    """What lies below a folder, counted up to a limit. It may be in use: nothing is opened but folders.

    A tree that is deeper, or takes longer to count, than any honest one counts as `limit`.
    """
    size, inodes, until = 0, 0, time.monotonic() + _SECONDS
    opened = [(os.open(path, _FOLDER), [""])]  # folders from the outermost to the current one, with what is left there
    try:
        while opened:
            folder, names = opened[-1]
            if not names:
                os.close(opened.pop()[0])
                continue
            name = names.pop()
            inner = _open(folder, name, _FOLDER | os.O_NOFOLLOW) if name else os.dup(folder)
            if inner is None:
                continue
            opened.append((inner, []))
            with os.scandir(inner) as entries:
                for entry in entries:
                    status, inodes = status_in(inner, entry.name), inodes + 1
                    size += status.st_blocks * 512 if status else 0
                    if status and stat.S_ISDIR(status.st_mode):
                        opened[-1][1].append(entry.name)
                    if size >= limit.size or inodes >= limit.inodes:
                        return Used(size, inodes)
            if len(opened) > _DEEP or time.monotonic() > until:
                return limit
    finally:
        for descriptor, _ in opened:
            os.close(descriptor)
    return Used(size, inodes)

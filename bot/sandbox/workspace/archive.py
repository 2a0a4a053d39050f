"""A checkout -> a tar stream for an engine that does not see this machine's files, clean of credentials like a mount.

Nothing but folders, regular files and symlinks, all of the sandbox user's; a few kilobytes of memory, whatever the
size. Format: POSIX pax (IEEE Std 1003.1, pax).
"""

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bot.sandbox.workspace.gitclean import OBJECTS
from bot.sandbox.workspace.overlay import Workspace

_CHUNK = 1 << 18
_BLOCK = 512
_END = bytes(_BLOCK * 20)
BORROWED = ".git/borrowed"
"""Where object folders that lie outside of the checkout are, below the workspace: there is no mount for them."""


def pack(workspace: Workspace) -> Iterator[bytes]:
    """The whole archive, piece by piece, with names relative to the workspace. Raises OSError."""
    cleaning = workspace.cleaning
    files = dict(cleaning.files)
    if cleaning.objects:
        old, new = f"{OBJECTS}/".encode(), f"{workspace.root}/{BORROWED}/".encode()
        files = {
            path: data.replace(old, new) if path.endswith("/info/alternates") else data for path, data in files.items()
        }
    made: set[str] = set()
    yield _header(workspace, "./", tarfile.DIRTYPE, 0o755)
    for name in (*cleaning.folders, *files):
        for folder in _above(name, include=name not in files):
            if folder not in made:
                made.add(folder)
                yield _header(workspace, folder, tarfile.DIRTYPE, 0o755)
    for name, data in files.items():
        yield _header(workspace, name, tarfile.REGTYPE, 0o644, len(data))
        yield data + _padding(len(data))
    yield from _tree(workspace, workspace.checkout, "", workspace.hidden, made | files.keys())
    for number, objects in enumerate(cleaning.objects):
        for above in _above(f"{BORROWED}/{number}", include=True):
            if above not in made and above != ".git":
                made.add(above)
                yield _header(workspace, above, tarfile.DIRTYPE, 0o755)
        yield from _tree(workspace, objects, f"{BORROWED}/{number}/", frozenset(), set())
    yield _END


def _above(path: str, *, include: bool) -> Iterator[str]:
    parts = path.split("/")
    for length in range(1, len(parts) + include):
        yield "/".join(parts[:length])


def _tree(workspace: Workspace, top: Path, prefix: str, hidden: frozenset[str], sent: set[str]) -> Iterator[bytes]:
    """Everything below a folder, but what is hidden or has been sent already."""
    folders = [""]
    while folders:
        inside = folders.pop()
        try:
            entries = os.scandir(top / inside)
        except PermissionError:
            continue
        with entries:
            for entry in entries:
                path = inside + entry.name
                if path in hidden:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path + "/")
                    if path not in sent:
                        mode = entry.stat(follow_symlinks=False).st_mode
                        yield _header(workspace, prefix + path, tarfile.DIRTYPE, stat.S_IMODE(mode) & 0o777)
                elif path in sent:
                    continue
                elif entry.is_symlink():
                    yield _header(
                        workspace, prefix + path, tarfile.SYMTYPE, 0o777, link=str(Path(entry.path).readlink())
                    )
                elif entry.is_file(follow_symlinks=False):
                    yield from _file(workspace, entry.path, prefix + path)


def _file(workspace: Workspace, source: str, name: str) -> Iterator[bytes]:
    """As long as it was when it was opened, whatever happens to it meanwhile."""
    try:
        file = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        status = os.fstat(file)
        yield _header(workspace, name, tarfile.REGTYPE, stat.S_IMODE(status.st_mode) & 0o777, status.st_size)
        left = status.st_size
        while left:
            data = os.read(file, min(left, _CHUNK)) or bytes(min(left, _CHUNK))
            left -= len(data)
            yield data
        yield _padding(status.st_size)
    finally:
        os.close(file)


def _header(workspace: Workspace, name: str, kind: bytes, mode: int, size: int = 0, *, link: str = "") -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, size, link
    entry.uid, entry.gid = workspace.uid, workspace.gid
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)

"""A tar stream of a dead sandbox's workspace -> its files in a folder of ours, as data, and then Changes.

For engines that do not see this machine's files. Bounded by bytes, entries, depth and time; each entry is reached one
component at a time through folders that were made here. A symlink becomes a symlink that nothing follows, and what is
neither file, folder nor symlink a FIFO that nothing opens: they are told apart by `collect`, which takes neither.
"""

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from bot.sandbox.collect.compare import collect
from bot.sandbox.collect.findings import WHOLE_ENTRIES, WHOLE_SECONDS, Cut, Findings
from bot.sandbox.collect.stream import Entry, TarStream
from bot.sandbox.collect.tree import whole
from bot.sandbox.workspace.overlay import Workspace
from bot.sandbox.workspace.volume import INODES, PER_INODE
from bot.types.sandbox import Changes
from bot.types.task import Limits

_MIB = 1 << 20
_HEADERS = 2048
"""Bytes of the headers of an entry, and of what fills its last block."""
_DEPTH = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def collect_archive(
    workspace: Workspace, limits: Limits, blobs: Path, chunks: Iterable[bytes], *, links: bool = False
) -> Changes:
    """What differs from the checkout, by an archive of the whole workspace whose names begin with its last part.

    That is what Docker's archive call gives for it. The sandbox must be dead.
    """
    workspace.changed.mkdir(mode=0o700)
    sent = [workspace.weight, *map(whole, workspace.objects)]
    files = sum(each.inodes for each in sent) + max(INODES, limits.disk_mb * _MIB // PER_INODE)
    size = sum(each.size for each in sent) + limits.disk_mb * _MIB + _HEADERS * min(files, WHOLE_ENTRIES)
    found = Findings(limits, blobs, min(files, WHOLE_ENTRIES), WHOLE_SECONDS)
    try:
        unpack(chunks, workspace.changed, found, size, prefix=workspace.root.rpartition("/")[2])
    except Cut as cut:
        found.skip("stopped", str(cut), complete=False)
        return found.changes()  # what is missing was not deleted: without the rest nothing can be said
    return collect(workspace, limits, blobs, links=links)


def unpack(chunks: Iterable[bytes], into: Path, found: Findings, most: int, *, prefix: str = "") -> None:
    """Into an empty folder of ours, at most so many bytes; `prefix` is what all names begin with. Raises Cut."""
    stream = TarStream(iter(chunks), most)
    with _Tree(into) as tree:
        try:
            for entry in stream.entries():
                found.count()
                parts = _parts(entry.name, prefix)
                if parts and parts[0] != ".git":  # of which nothing is ever taken
                    _put(tree, parts, entry, stream, found, prefix)
        except OSError as error:  # a name that is too long, or twice
            raise Cut(f"the archive can't be unpacked: {error.strerror}") from error


class _Tree:
    """The folder that is unpacked into. The last one that something was put into stays open: most come together."""

    def __init__(self, top: Path) -> None:
        self._top = os.open(top, _FOLDER)
        self._parts: list[str] = []
        self._last = os.dup(self._top)

    def __enter__(self) -> "_Tree":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._last)
        os.close(self._top)

    def folder(self, parts: list[str]) -> int:
        """Open, until the next is asked for; what the archive has not told of is made. A link on the way: OSError."""
        if parts != self._parts:
            current = os.dup(self._top)
            try:
                for part in parts:
                    current = _into(current, part)
            except BaseException:
                os.close(current)
                raise
            os.close(self._last)
            self._parts, self._last = parts, current
        return self._last


def _into(current: int, part: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(part, 0o700, dir_fd=current)
    inner = os.open(part, _FOLDER, dir_fd=current)
    os.close(current)
    return inner


def _parts(name: bytes, prefix: str) -> list[str]:
    """Of a path below the workspace; empty for the workspace itself. Raises Cut for one that leads elsewhere."""
    if name.startswith(b"/") or b"\0" in name:
        raise Cut(f"the archive has a name that is not relative: {name[:100]!a}")
    parts = [part for part in os.fsdecode(name).split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Cut(f"the archive has a name that leads out: {name[:100]!a}")
    if len(parts) > _DEPTH:
        raise Cut(f"the archive has a folder that is too deep: {name[:100]!a}")
    if prefix and parts:
        if parts[0] != prefix:
            raise Cut(f"the archive has a name from elsewhere: {name[:100]!a}")
        del parts[0]
    return parts


def _put(tree: _Tree, parts: list[str], entry: Entry, stream: TarStream, found: Findings, prefix: str) -> None:
    parent, name = tree.folder(parts[:-1]), parts[-1]
    if entry.kind == "folder":
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
    elif entry.kind == "symlink":
        os.symlink(entry.target or b"?", name, dir_fd=parent)
    elif entry.kind == "link":
        _link(tree, _parts(entry.target, prefix), parts)
    elif entry.kind == "file":
        _file(parent, name, entry, stream, found)
    else:
        os.mkfifo(name, 0o600, dir_fd=parent)


def _link(tree: _Tree, target: list[str], parts: list[str]) -> None:
    """Another name of a file that was unpacked before; of nothing else."""
    if not target or target[0] == ".git":  # git's own file by another name
        os.mkfifo(parts[-1], 0o600, dir_fd=tree.folder(parts[:-1]))
        return
    source = os.dup(tree.folder(target[:-1]))
    try:
        if not stat.S_ISREG(os.stat(target[-1], dir_fd=source, follow_symlinks=False).st_mode):
            raise Cut("the archive has a link to something that is no file")
        parent = tree.folder(parts[:-1])
        os.link(target[-1], parts[-1], src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(source)


def _file(parent: int, name: str, entry: Entry, stream: TarStream, found: Findings) -> None:
    """With holes where it is all zeros, so that a promise of much costs little."""
    file = os.open(name, _NEW, 0o755 if entry.mode & 0o100 else 0o644, dir_fd=parent)
    try:
        for data in stream.body():
            found.check_time()
            if data.count(0) == len(data):
                os.lseek(file, len(data), os.SEEK_CUR)
            else:
                os.write(file, data)
        os.ftruncate(file, entry.size)
    finally:
        os.close(file)

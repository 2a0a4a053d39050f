"""Bytes of a git index -> the paths that git tracks.

Source: gitformat-index(5), versions 2, 3 and 4. The file comes from a checkout that nobody but git wrote; whatever
does not parse is an error, so that a damaged index is never taken for an empty one.
"""

from bisect import bisect_left
from functools import cached_property
from pathlib import Path
from typing import Protocol

_HEADER = 12
_STAT = 40
"""Bytes of an entry before the object's name, after which come two of flags."""
_SHA1, _SHA256 = 20, 32
"""Bytes of an object's name, and of the checksum at the end."""
_EXTENDED = 0x4000


class IndexFormatError(ValueError):
    """The bytes are not an index that we can read."""


class Tracked(Protocol):
    """What git tracks."""

    def __contains__(self, path: bytes, /) -> bool:
        """Whether git tracks a file (or a submodule) with this path."""

    def below(self, folder: bytes) -> bool:
        """Whether git tracks something in a folder, or in one below it."""


class PathSet:
    """Tracked, from all paths at once."""

    def __init__(self, paths: frozenset[bytes]) -> None:
        self._paths = paths

    def __contains__(self, path: bytes) -> bool:
        return path in self._paths

    def below(self, folder: bytes) -> bool:
        at = bisect_left(self._sorted, folder + b"/")
        return at < len(self._sorted) and self._sorted[at].startswith(folder + b"/")

    @cached_property
    def _sorted(self) -> list[bytes]:
        return sorted(self._paths)


def tracked_paths(data: bytes) -> frozenset[bytes]:
    """Paths in the index, `/` between parts. Raises IndexFormatError."""
    if len(data) < _HEADER or data[:4] != b"DIRC":
        raise IndexFormatError("no DIRC header")
    version, count = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
    if version not in (2, 3, 4):
        raise IndexFormatError(f"index version {version} is not known")
    try:
        return _entries(data, version, count, _SHA1)
    except IndexFormatError:  # nothing in the file says which it is
        return _entries(data, version, count, _SHA256)


def _entries(data: bytes, version: int, count: int, name: int) -> frozenset[bytes]:
    paths: set[bytes] = set()
    fixed = _STAT + name + 2
    position, previous = _HEADER, b""
    for _ in range(count):
        flags = int.from_bytes(data[position + fixed - 2 : position + fixed], "big")
        start = position + fixed + (2 if version >= 3 and flags & _EXTENDED else 0)
        if version == 4:
            strip, start = _varint(data, start)
            if strip > len(previous):
                raise IndexFormatError("a path takes more from its predecessor than there is")
        end = data.find(b"\0", start)
        if end < 0:
            raise IndexFormatError("a path does not end")
        path = data[start:end]
        if version == 4:
            path, position = previous[: len(previous) - strip] + path, end + 1
        else:
            position += (end - position + 8) & ~7  # padded with NULs to a multiple of eight
        _check(path, previous, flags & 0xFFF)
        paths.add(path)
        previous = path
    _check_end(data, position, len(data) - name)
    return frozenset(paths)


def _check_end(data: bytes, position: int, last: int) -> None:
    """After the entries come extensions, and then the checksum: how the other kind of names shows itself."""
    while position < last and data[position : position + 4].isalpha():
        if data[position : position + 4] == b"link":
            raise IndexFormatError("a split index keeps its entries in another file")
        position += 8 + int.from_bytes(data[position + 4 : position + 8], "big")
    if position != last:
        raise IndexFormatError("the file does not end after its entries")


def _check(path: bytes, previous: bytes, length: int) -> None:
    """Entries are sorted and carry their length: how a wrong layout shows itself."""
    if not path or path < previous or (length != 0xFFF and length != len(path)):
        raise IndexFormatError("an entry contradicts itself")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Git's offset encoding: seven bits a byte, one added for each byte that follows."""
    value = 0
    while position < len(data):
        byte = data[position]
        value = (value << 7) | (byte & 0x7F)
        position += 1
        if not byte & 0x80:
            return value, position
        value += 1
        if value > len(data):
            break
    raise IndexFormatError("a number does not end")


def git_folder(checkout: Path) -> Path | None:
    """Where a checkout keeps its index and HEAD: `.git`, or the folder that a worktree's `.git` file names."""
    entry = checkout / ".git"
    if entry.is_symlink():
        return None
    if entry.is_dir():
        return entry
    if not entry.is_file():
        return None
    line = entry.read_bytes()[:4096].decode("utf-8", "surrogateescape").strip()
    if not line.startswith("gitdir: "):
        return None
    target = checkout / line.removeprefix("gitdir: ")
    return target if target.is_dir() else None

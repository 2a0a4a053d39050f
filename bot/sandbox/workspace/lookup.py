"""A git index of any size -> whether it holds a path, from a few kilobytes of it.

Entries are sorted, but as long as their paths, so the middle of the file is in the middle of an entry. A search halves
the file all the same: from any place the next entry is found by what every entry of one checkout has in common. An
entry begins at a multiple of eight (after the header), has one of git's four modes, and the same device, user and
group as the first one. Inside of an entry those 16 bytes can't stand at such a place: a path holds no NUL, which leaves
the object's name, and a file whose name has 96 given bits can't be made. What is searched for is then reached
entry by entry, so that no answer rests on a guess. Everything unusual (version 4, a split or sparse index, files of
many owners) is left to the whole parser. That the file is as long as git made it is taken for granted.

Source: gitformat-index(5).
"""

import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bot.sandbox.workspace.gitindex import (
    IndexFormatError,
    PathSet,
    Tracked,
    git_folder,
    tracked_paths,
)

_HEADER = 12
_SHA1, _SHA256 = 20, 32
"""Bytes of an object's name, and of the checksum at the end."""
_STAT = 40
"""Bytes of an entry before the object's name."""
_WINDOW = 4096
_FAR = 65_536
"""Bytes in which an entry is looked for. Where none is found, they are walked through: slower, as right."""
_NEAR = 768
"""Bytes that are rather walked through than halved."""
_STEPS = 2000
"""Entries that are walked through. More are read faster all at once."""
_MODES = frozenset(mode.to_bytes(4, "big") for mode in (0o100644, 0o100755, 0o120000, 0o160000))
_OPTIONAL = frozenset((b"TREE", b"REUC", b"UNTR", b"FSMN", b"EOIE", b"IEOT"))
"""Extensions that say nothing about which paths there are."""


class _Entry(NamedTuple):
    start: int
    end: int
    path: bytes


def open_tracked(checkout: Path) -> Tracked | None:
    """What a pristine checkout tracks; None where there is no index, or none that we can read."""
    folder = git_folder(checkout)
    if folder is None:
        return None
    try:
        return IndexFile(folder / "index")
    except OSError:
        return None
    except IndexFormatError:
        pass
    try:
        return PathSet(tracked_paths((folder / "index").read_bytes()))
    except (OSError, IndexFormatError):
        return None


class IndexFile:
    """Tracked, from an index of version 2 or 3 that stays open. Raises OSError, and IndexFormatError if it is odd."""

    def __init__(self, file: Path) -> None:
        self._entries = _Entries(file)
        self._known: dict[bytes, bytes | None] = {}
        self._probed: dict[tuple[int, int], _Entry | None] = {}
        self._whole: PathSet | None = None

    def __contains__(self, path: bytes) -> bool:
        if self._whole is None:
            try:
                return self._first_from(path) == path
            except IndexFormatError:
                self._read_whole()
        return path in (self._whole or ())

    def below(self, folder: bytes) -> bool:
        if self._whole is None:
            try:
                return (self._first_from(folder + b"/") or b"").startswith(folder + b"/")
            except IndexFormatError:
                self._read_whole()
        return self._whole is not None and self._whole.below(folder)

    def _read_whole(self) -> None:
        """An error is the caller's: there was an index that could be read, and now there is none."""
        self._whole = PathSet(tracked_paths(self._entries.all_bytes()))

    def _first_from(self, target: bytes) -> bytes | None:
        """The first path that is not before `target`."""
        if target not in self._known:
            self._known[target] = self._search(target)
        return self._known[target]

    def _search(self, target: bytes) -> bytes | None:
        low, high, path = _HEADER, self._entries.end, b""
        while high - low > _NEAR:
            middle = (low + high) // 2
            entry = self._probe(middle, high)
            low, high = (entry.start, high) if entry and entry.path < target else (low, middle)
        for entry in self._entries.walk(low):
            if entry.path < path:
                raise IndexFormatError("the entries are not sorted")
            if entry.path >= target:
                return entry.path
            path = entry.path
        return None

    def _probe(self, position: int, until: int) -> _Entry | None:
        """Every search begins with the same halves."""
        if (position, until) not in self._probed:
            self._probed[position, until] = self._entries.next(position, until)
        return self._probed[position, until]


class _Entries:
    """The open file, and where entries begin and end in it."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        self._size = os.fstat(self._file).st_size
        header, first = self._read(0, _HEADER), self._read(_HEADER, _STAT)
        if header[:4] != b"DIRC" or int.from_bytes(header[4:8], "big") not in (2, 3):
            raise IndexFormatError("not an index of version 2 or 3")
        self._common = first[16:20] + first[28:36]
        try:
            self.end = self._find_end(_SHA1)
        except IndexFormatError:
            self.end = self._find_end(_SHA256)

    def all_bytes(self) -> bytes:
        return self._read(0, self._size)

    def walk(self, start: int) -> Iterator[_Entry]:
        """From an entry on to the last one."""
        for _ in range(_STEPS):
            if start >= self.end:
                return
            entry = self._entry(start)
            yield entry
            start = entry.end
        raise IndexFormatError("too few entries are alike")

    def next(self, position: int, until: int) -> _Entry | None:
        """The first entry from here on that begins before `until`. One that is unlike the first may be passed over."""
        position += -(position - _HEADER) % 8
        limit = min(until, position + _FAR)
        while position < limit:
            window = self._read(position - 1, _WINDOW + _STAT)
            at = 1
            while at <= _WINDOW - 8 and position + at - 1 < limit:
                found = window.find(self._common[4:], at + 28)
                if found < 0:
                    break
                at += (found - at - 28) // 8 * 8
                if (found - at - 28) % 8 == 0 and self._alike(window, at):
                    try:
                        return self._entry(position + at - 1) if position + at - 1 < until else None
                    except IndexFormatError:
                        pass
                at += 8
            position += _WINDOW - 8
        return None

    def _read(self, start: int, size: int) -> bytes:
        return os.pread(self._file, size, start)

    def _find_end(self, name: int) -> int:
        self._name = name
        low, high = _HEADER, self._size - name
        if self._is_end(low):
            return low
        if self._read(low + 24, 4) not in _MODES or self._read(low + 16, 4) in _MODES:  # the second: it would look so
            raise IndexFormatError("an unusual first entry")
        while high - low > _NEAR:
            middle = (low + high) // 2
            entry = self.next(middle, high)
            low, high = (low, middle) if entry is None else (entry.start, high)
        for _ in range(_STEPS):
            if self._is_end(low):
                return low
            low = self._entry(low).end
        raise IndexFormatError("too few entries are alike")

    def _is_end(self, position: int) -> bool:
        """Whether nothing but extensions lies between here and the checksum."""
        last = self._size - self._name
        while position < last:
            head = self._read(position, 8)
            if len(head) < 8 or not (head[:4].isalpha() and head[:4].isascii()):
                return False
            if head[:4] not in _OPTIONAL:
                return self._odd_extension(position, last)
            position += 8 + int.from_bytes(head[4:8], "big")
        return position == last

    def _odd_extension(self, position: int, last: int) -> bool:
        size = int.from_bytes(self._read(position + 4, 4), "big")
        if position + 8 + size <= last and self._read(position, 4) in (b"link", b"sdir"):
            raise IndexFormatError("a split or a sparse index")
        return False

    def _alike(self, window: bytes, at: int) -> bool:
        return (
            window[at + 28 : at + 36] == self._common[4:]
            and window[at + 24 : at + 28] in _MODES
            and window[at + 16 : at + 20] == self._common[:4]
            and window[at - 1] == 0
        )

    def _entry(self, start: int) -> _Entry:
        """The entry that begins here. Raises IndexFormatError when none does."""
        fixed = _STAT + self._name + 2
        data = self._read(start, 512)
        flags = int.from_bytes(data[fixed - 2 : fixed], "big")
        fixed += 2 if flags & 0x4000 else 0
        length = flags & 0xFFF
        if length == 0xFFF or fixed + length + 8 > len(data):
            data = self._read(start, _FAR)
            length = data.find(b"\0", fixed) - fixed if length == 0xFFF else length
        end = (fixed + length + 8) & ~7
        path = data[fixed : fixed + length]
        if length <= 0 or end > len(data) or b"\0" in path or data[fixed + length : end].strip(b"\0"):
            raise IndexFormatError("no entry")
        if start + end > self._size - self._name:
            raise IndexFormatError("an entry that does not end")
        return _Entry(start, start + end, path)

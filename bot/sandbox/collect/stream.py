"""Bytes of a tar archive, as they come -> its entries, by a reader that believes none of them.

What comes was chosen by somebody hostile: a header may promise any size, name or kind. So there is no entry whose
bytes are gathered before they are asked for, but names, and those are short. Formats: ustar and pax (IEEE Std 1003.1,
pax), and GNU's long names (tar.h); what Docker's archive calls send.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bot.sandbox.collect.findings import Cut

Kind = Literal["file", "folder", "symlink", "link", "other"]
_BLOCK = 512
_WORDS = 1 << 16
"""Bytes of a pax header or a long name. A path has 4,096 at the most."""
_KINDS: dict[bytes, Kind] = {b"0": "file", b"\0": "file", b"7": "file", b"5": "folder", b"2": "symlink", b"1": "link"}
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"


@dataclass(frozen=True)
class Entry:
    """One header."""

    name: bytes
    kind: Kind
    mode: int
    size: int
    """Bytes that follow, for a file."""
    target: bytes
    """Of a link."""


class TarStream:
    """An archive that is read once, from its beginning to its end. Everything raises Cut."""

    def __init__(self, chunks: Iterator[bytes], most: int) -> None:
        self._chunks, self._left = chunks, most
        self._buffer = b""
        self._body = 0

    def entries(self) -> Iterator[Entry]:
        """Each, followed by `body` for who wants its bytes."""
        words: dict[bytes, bytes] = {}
        while (header := self._header()) is not None:
            kind, size = header[156:157], _number(header[124:136])
            if kind in (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK):
                data = self._words(size)
                if kind == _PAX:
                    words |= _records(data)
                elif kind != _PAX_GLOBAL:
                    words[b"path" if kind == _LONG_NAME else b"linkpath"] = data.rstrip(b"\0")
                continue
            entry = _entry(header, size, words)
            words = {}
            self._body = entry.size
            yield entry
            for _ in self.body():
                pass
            self._take(-entry.size % _BLOCK)

    def body(self) -> Iterator[bytes]:
        """What is left of the current entry's bytes."""
        while self._body:
            data = self._some(self._body)
            self._body -= len(data)
            yield data

    def _header(self) -> bytes | None:
        header = self._take(_BLOCK)
        if not any(header):
            return None
        if _number(header[148:156]) != sum(header[:148]) + 32 * 8 + sum(header[156:]):
            raise Cut("the archive is damaged: a header's sum is wrong")
        return header

    def _words(self, size: int) -> bytes:
        if size > _WORDS:
            raise Cut("the archive has a name that is too long")
        data = self._take(size)
        self._take(-size % _BLOCK)
        return data

    def _take(self, size: int) -> bytes:
        pieces = []
        while size:
            piece = self._some(size)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _some(self, most: int) -> bytes:
        """At least one byte, at most so many."""
        while not self._buffer:
            try:
                self._buffer = next(self._chunks)
            except StopIteration:
                raise Cut("the archive ends too early") from None
            self._left -= len(self._buffer)
            if self._left < 0:
                raise Cut("the archive is too large")
        data, self._buffer = self._buffer[:most], self._buffer[most:]
        return data


def _entry(header: bytes, size: int, words: dict[bytes, bytes]) -> Entry:
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and (prefix := _text(header[345:500])):
        name = prefix + b"/" + name
    kind = _KINDS.get(header[156:157], "other")
    if any(key.startswith(b"GNU.sparse.") for key in words):
        raise Cut("the archive holds a file with holes")
    size = _decimal(words[b"size"]) if b"size" in words else size
    name = words.get(b"path", name)
    if header[156:157] in (b"0", b"\0") and name.endswith(b"/"):  # as before 1988
        kind = "folder"
    # Only files have bytes. A size that stands elsewhere is read by some programs and not by others: no honest one.
    if size and kind != "file":
        raise Cut("the archive has an entry with bytes that is no file")
    return Entry(name, kind, _number(header[100:108]), size, words.get(b"linkpath", _text(header[157:257])))


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    """Octal, or binary when the first bit is set (GNU)."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if text and not (text.isdigit() and not set(text) & set(b"89")):
        raise Cut("the archive is damaged: no number")
    return int(text or b"0", 8)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise Cut("the archive is damaged: no number")
    return int(text)


def _records(data: bytes) -> dict[bytes, bytes]:
    """Lines `length key=value` of a pax header, where the length counts itself."""
    found: dict[bytes, bytes] = {}
    while data:
        digits, space, _ = data[:12].partition(b" ")
        length = _decimal(digits) if space else 0
        record = data[:length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if length <= len(digits) + 2 or length > len(data) or record[-1:] != b"\n" or not equals:
            raise Cut("the archive is damaged: a pax header")
        found[key] = value
        data = data[length:]
    return found

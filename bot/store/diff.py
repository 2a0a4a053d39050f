"""Changes and their bytes -> a patch that `git apply` takes, and counts of lines.

Written by our own code because git of the host never reads bytes that an agent could write.
Format: git's documentation of diff-generate-patch ("Generating patch text with -p") and of binary patches.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import Match, SequenceMatcher
from pathlib import Path

from bot.blobs import read_blob
from bot.types.sandbox import Blob, Changes, FileChange

CONTEXT = 3
WORK = 2_000_000
"""Pairs of equal lines that a comparison may look at; above it, time grows out of hand and one hunk replaces all."""
LINES = 40_000
BINARY_PROBE = 8_000
"""Bytes in which git looks for NUL to tell binary from text."""
_NOTHING = b"/dev/null"
_ESCAPES = {7: b"\\a", 8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 12: b"\\f", 13: b"\\r", 34: b'\\"', 92: b"\\\\"}

Edit = tuple[str, int, int, int, int]
"""`equal` or `replace`, then the ranges of lines in the old and in the new text."""


def unified_patch(changes: Changes, blobs: Path) -> bytes:
    """All changes as one patch in git's format, binary files included. Raises TaskError when bytes are missing."""
    return b"".join(_file(change, blobs) for change in changes.files)


def with_counts(changes: Changes, blobs: Path) -> Changes:
    """The same changes with added and deleted lines counted; binary files stay without."""
    return changes.changed(files=tuple(_counted(change, blobs) for change in changes.files))


def _counted(change: FileChange, blobs: Path) -> FileChange:
    old, new = _bytes(change.old, blobs), _bytes(change.new, blobs)
    if is_binary(old) or is_binary(new):
        return change
    edits = [edit for edit in compare(_lines(old), _lines(new)) if edit[0] != "equal"]
    added, deleted = sum(edit[4] - edit[3] for edit in edits), sum(edit[2] - edit[1] for edit in edits)
    return change.changed(added=added, deleted=deleted)


def _file(change: FileChange, blobs: Path) -> bytes:
    old, new = change.old, change.new
    if old and new and "120000" in (old.mode, new.mode) and old.mode != new.mode:
        # git has no patch from a file to a link: one goes, the other comes.
        return _file(change.changed(new=None), blobs) + _file(change.changed(old=None), blobs)
    before, after = _bytes(old, blobs), _bytes(new, blobs)
    lines = [b"diff --git " + quoted(b"a/", change.path) + b" " + quoted(b"b/", change.path), *_modes(old, new)]
    if before != after or not (old and new):
        suffix = f" {old.mode}" if old and new and old.mode == new.mode else ""
        lines.append(f"index {_git_id(old, before)}..{_git_id(new, after)}{suffix}".encode())
    if before == after:
        return b"\n".join(lines) + b"\n"
    if is_binary(before) or is_binary(after):
        return b"\n".join([*lines, b"GIT binary patch", *_literal(after), b"", *_literal(before), b""]) + b"\n"
    lines.append(b"--- " + (_name(b"a/", change.path) if old else _NOTHING))
    lines.append(b"+++ " + (_name(b"b/", change.path) if new else _NOTHING))
    return b"\n".join(lines) + b"\n" + b"".join(_hunks(_lines(before), _lines(after)))


def _bytes(blob: Blob | None, blobs: Path) -> bytes:
    return read_blob(blobs, blob) if blob is not None else b""


def _modes(old: Blob | None, new: Blob | None) -> list[bytes]:
    if old is None or new is None:
        one, word = (new, "new file") if old is None else (old, "deleted file")
        return [f"{word} mode {one.mode}".encode()] if one else []
    return [] if old.mode == new.mode else [f"old mode {old.mode}".encode(), f"new mode {new.mode}".encode()]


def _git_id(blob: Blob | None, data: bytes) -> str:
    """Git's id of a blob, needed in full before a binary patch."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() if blob else "0" * 40


def is_binary(data: bytes) -> bool:
    """Whether git would take it for binary."""
    return b"\0" in data[:BINARY_PROBE]


def _lines(data: bytes) -> list[bytes]:
    """Lines with their ends; only LF ends a line."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def quoted(prefix: bytes, path: str) -> bytes:
    """A name as git writes it: in C's notation where it holds anything but plain ASCII."""
    name = prefix + path.encode("utf-8", "surrogateescape")
    body = b"".join(_ESCAPES.get(byte) or (bytes([byte]) if 32 <= byte < 127 else b"\\%03o" % byte) for byte in name)
    return b'"' + body + b'"' if body != name else name


def _name(prefix: bytes, path: str) -> bytes:
    """A name behind `---` or `+++`; a tab ends one that holds spaces."""
    name = quoted(prefix, path)
    return name + b"\t" if b" " in name and not name.startswith(b'"') else name


def _literal(data: bytes) -> Iterator[bytes]:
    """Bytes as git's base 85, up to 52 a line, each line after a letter for its length."""
    yield b"literal %d" % len(data)
    packed = zlib.compress(data, 6)
    for start in range(0, len(packed), 52):
        chunk = packed[start : start + 52]
        letter = chr(ord("A") + len(chunk) - 1) if len(chunk) <= 26 else chr(ord("a") + len(chunk) - 27)
        yield letter.encode() + base64.b85encode(chunk, pad=True)


def compare(old: Sequence[bytes], new: Sequence[bytes]) -> list[Edit]:
    """Which lines stay and which are replaced, in order."""
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    first, second = old[start : len(old) - end], new[start : len(new) - end]
    edits: list[Edit] = [("equal", 0, start, 0, start)] if start else []
    for kind, a, b, c, d in _middle(first, second):
        edits.append(("equal" if kind == "equal" else "replace", a + start, b + start, c + start, d + start))
    if end:
        edits.append(("equal", len(old) - end, len(old), len(new) - end, len(new)))
    return edits


def _common(old: Sequence[bytes], new: Sequence[bytes]) -> int:
    for index, (one, other) in enumerate(zip(old, new, strict=False)):
        if one != other:
            return index
    return min(len(old), len(new))


def _middle(old: Sequence[bytes], new: Sequence[bytes]) -> list[Edit]:
    if not old and not new:
        return []
    counts = Counter(new)
    work = sum(counts[line] for line in old)
    if not old or not new or work > WORK or max(len(old), len(new)) > LINES:
        return [("replace", 0, len(old), 0, len(new))]
    try:
        return list(_Bounded(None, old, new).get_opcodes())
    except _TooMuch:
        return [("replace", 0, len(old), 0, len(new))]


class _TooMuch(Exception):
    """The lines are so mixed up that a comparison would take minutes."""


class _Bounded(SequenceMatcher[bytes]):
    """A comparison that gives up: shuffled lines make it look at all of them once for every few that match."""

    looks = WORK

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        self.looks -= (ahi or 0) - alo
        if self.looks < 0:
            raise _TooMuch
        return super().find_longest_match(alo, ahi, blo, bhi)


def _hunks(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[bytes]:
    group: list[Edit] = []
    for edit in compare(old, new):
        kind, a, b, c, d = edit
        if kind == "equal" and group and b - a > 2 * CONTEXT:
            yield _hunk([*group, (kind, a, a + CONTEXT, c, c + CONTEXT)], old, new)
            group = []
        if kind == "equal" and not group:
            skip = max(b - a - CONTEXT, 0)
            edit = (kind, a + skip, b, c + skip, d)
        group.append(edit)
    if any(edit[0] != "equal" for edit in group):
        kind, a, b, c, d = group[-1]
        if kind == "equal":
            group[-1] = (kind, a, min(b, a + CONTEXT), c, min(d, c + CONTEXT))
        yield _hunk(group, old, new)


def _hunk(edits: Sequence[Edit], old: Sequence[bytes], new: Sequence[bytes]) -> bytes:
    header = f"@@ -{_span(edits[0][1], edits[-1][2])} +{_span(edits[0][3], edits[-1][4])} @@\n".encode()
    body: list[bytes] = []
    for kind, a, b, c, d in edits:
        if kind == "equal":
            body += [_marked(b" ", line) for line in old[a:b]]
        else:
            body += [_marked(b"-", line) for line in old[a:b]]
            body += [_marked(b"+", line) for line in new[c:d]]
    return header + b"".join(body)


def _span(start: int, end: int) -> str:
    """A range of lines counted from 1; an empty one names the line before it."""
    return f"{start + 1 if end > start else start},{end - start}"


def _marked(sign: bytes, line: bytes) -> bytes:
    return sign + line if line.endswith(b"\n") else sign + line + b"\n\\ No newline at end of file\n"

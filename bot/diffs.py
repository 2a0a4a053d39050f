"""A unified diff -> its files, their hunks, and the lines of these with their numbers in the head.

Source: git-diff, "Generating patch text with -p", and quote_c_style for names. The diff may be cut anywhere and its
text is a stranger's: a file whose hunks can't be read has none, and no other suffers from it. Names are read here,
because a library's reader gives up a whole diff for one of them.
"""

from __future__ import annotations

import re
from io import StringIO
from itertools import pairwise
from typing import NamedTuple

from unidiff import PatchSet, UnidiffParseError

_FILE = re.compile(r"^diff --git ", re.MULTILINE)
"""Lines of contents begin with a space, a sign or a backslash, so that none of them can look like this."""
_HUNK = re.compile(r"^@@ ", re.MULTILINE)
_OLD = re.compile(r"^--- (.*)$", re.MULTILINE)
_HEAD = re.compile(r"^\+\+\+ (.*)$", re.MULTILINE)
_MOVED = re.compile(r"^(?:rename|copy) to (.*)$", re.MULTILINE)
_BINARY = re.compile(r"^(?:Binary files .* differ|GIT binary patch)$", re.MULTILINE)
_DELETED = re.compile(r"^deleted file mode ", re.MULTILINE)
_ESCAPE = re.compile(rb'\\([abtnvfr"\\]|[0-7]{3})')
_LETTERS = dict(zip(b"abtnvfr", b"\a\b\t\n\v\f\r", strict=True))


class DiffLine(NamedTuple):
    """One line of a hunk."""

    sign: str
    """`+` added, `-` taken away, a space for one that stays."""
    number: int | None
    """Its number in the head; None where the head lacks it."""
    text: str
    """The line without its end."""


class Hunk(NamedTuple):
    """Lines that follow each other."""

    head: range
    """Numbers of the head's lines that it shows, without a gap; empty where all of them are gone."""
    lines: tuple[DiffLine, ...]


class FileDiff(NamedTuple):
    """What becomes of one file."""

    path: str
    """Its name in the head, else the one that it had; empty where the diff's header can't be read."""
    hunks: tuple[Hunk, ...]
    """Where its text changes; none where it is binary, only renamed, or unreadable."""
    deleted: bool
    """Whether the head lacks it."""
    binary: bool
    """Whether git takes it for data."""
    broken: bool
    """Whether it has hunks that can't be read."""


def files_of(diff: str) -> tuple[FileDiff, ...]:
    """The diff's files in their order; one that stands there twice comes twice."""
    starts = [each.start() for each in _FILE.finditer(diff)]
    return tuple(_file(diff[start:end]) for start, end in pairwise([*starts, len(diff)]))


def _file(text: str) -> FileDiff:
    first = _HUNK.search(text)
    header = text[: first.start()] if first else text
    new, old = _HEAD.search(header), _OLD.search(header)
    path = _path(new[1], "b/") if new else _moved(header)
    deleted = bool(_DELETED.search(header)) or (new is not None and not path)
    if deleted and not path and old:
        path = _path(old[1], "a/")
    hunks = _hunks(text[first.start() :]) if first else ()
    return FileDiff(
        path=path,
        hunks=hunks or (),
        deleted=deleted,
        binary=bool(_BINARY.search(header)),
        broken=first is not None and not hunks,
    )


def _moved(header: str) -> str:
    """The head's name from a header without one of its own lines: that of a rename, or what stands there twice."""
    if found := _MOVED.search(header):
        return _unquoted(found[1]) if found[1].startswith('"') else found[1]
    both = header.partition("\n")[0].removeprefix("diff --git ")
    left, right = both[: len(both) // 2], both[len(both) // 2 + 1 :]
    if left.startswith('"') and right.startswith('"'):
        left, right = _unquoted(left), _unquoted(right)
    return right[2:] if left.startswith("a/") and right.startswith("b/") and left[2:] == right[2:] else ""


def _hunks(text: str) -> tuple[Hunk, ...]:
    try:
        # Header lines of our own: those of the diff were read above, and can hold anything.
        patch = PatchSet(StringIO(f"--- a/x\n+++ b/x\n{text}"))
    except (UnidiffParseError, ValueError):  # a ValueError is a number that is too long to be one
        return ()
    if len(patch) != 1:
        return ()
    return tuple(
        Hunk(
            range(each.target_start, each.target_start + each.target_length),
            tuple(
                DiffLine(line.line_type, line.target_line_no, line.value.removesuffix("\n"))
                for line in each
                if line.line_type in ("+", "-", " ")
            ),
        )
        for each in patch[0]
    )


def _path(name: str, prefix: str) -> str:
    """The name behind `+++ ` or `--- `: without git's prefix and quotes; empty for a file that is not there."""
    # Git ends a name that holds spaces by a tab.
    name = _unquoted(name) if name.startswith('"') else name.partition("\t")[0]
    return name[len(prefix) :] if name.startswith(prefix) else ""


def _unquoted(name: str) -> str:
    """A name in C's quotes: octal escapes are bytes of UTF-8."""
    inner = name[1:].rpartition('"')[0].encode("utf-8", "replace")

    def byte(found: re.Match[bytes]) -> bytes:
        code = found[1]
        if len(code) == 3:
            return bytes([int(code, 8) & 0xFF])
        return bytes([_LETTERS.get(code[0], code[0])])

    return _ESCAPE.sub(byte, inner).decode("utf-8", "replace")

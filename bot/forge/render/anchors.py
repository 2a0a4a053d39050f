"""A pull request's unified diff -> for each file of the head the lines on which a comment may stand, hunk by hunk.

Source: git-diff, "Generating patch text with -p", and quote_c_style for names. The diff may be cut anywhere and its
text is a stranger's: a file whose hunks can't be read has no lines, and no other suffers from it. Names are read here,
because a library's reader gives up a whole diff for one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from io import StringIO
from itertools import pairwise

from unidiff import PatchSet, UnidiffParseError

Hunks = tuple[range, ...]
"""Lines of the head that each hunk shows: unchanged and added ones, which follow each other without a gap."""

_FILE = re.compile(r"^diff --git ", re.MULTILINE)
"""Lines of contents begin with a space, a sign or a backslash, so that none of them can look like this."""
_HUNK = re.compile(r"^@@ ", re.MULTILINE)
_HEAD = re.compile(r"^\+\+\+ (.*)$", re.MULTILINE)
_ESCAPE = re.compile(rb'\\([abtnvfr"\\]|[0-7]{3})')
_LETTERS = dict(zip(b"abtnvfr", b"\a\b\t\n\v\f\r", strict=True))


def anchors(diff: str) -> Mapping[str, Hunks]:
    """Path in the head -> its hunks. Files without any are left out: deleted, binary, only renamed, unreadable."""
    found: dict[str, Hunks] = {}
    starts = [each.start() for each in _FILE.finditer(diff)]
    for start, end in pairwise([*starts, len(diff)]):
        for path, hunks in _file(diff[start:end]):
            found[path] = found.get(path, ()) + hunks
    return found


def _file(text: str) -> Iterator[tuple[str, Hunks]]:
    """The head's name and hunks of one file, nothing where it has none."""
    first = _HUNK.search(text)
    name = _HEAD.search(text, 0, first.start()) if first else None
    path = _path(name[1]) if name else ""
    if first and path and (hunks := _hunks(text[first.start() :])):
        yield path, hunks


def _hunks(text: str) -> Hunks:
    try:
        # Header lines of our own: those of the diff were read above, and can hold anything.
        patch = PatchSet(StringIO(f"--- a/x\n+++ b/x\n{text}"), metadata_only=True)
    except (UnidiffParseError, ValueError):  # a ValueError is a number that is too long to be one
        return ()
    if len(patch) != 1:
        return ()
    return tuple(
        range(each.target_start, each.target_start + each.target_length) for each in patch[0] if each.target_length
    )


def _path(name: str) -> str:
    """The name behind `+++ `: without git's prefix and quotes; empty for a file that the head lacks."""
    # Git ends a name that holds spaces by a tab.
    name = _unquoted(name) if name.startswith('"') else name.partition("\t")[0]
    return name[2:] if name.startswith("b/") else ""


def _unquoted(name: str) -> str:
    """A name in C's quotes: octal escapes are bytes of UTF-8."""
    inner = name[1:].rpartition('"')[0].encode("utf-8", "replace")

    def byte(found: re.Match[bytes]) -> bytes:
        code = found[1]
        if len(code) == 3:
            return bytes([int(code, 8) & 0xFF])
        return bytes([_LETTERS.get(code[0], code[0])])

    return _ESCAPE.sub(byte, inner).decode("utf-8", "replace")

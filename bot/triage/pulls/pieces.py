"""Files of a diff -> pieces that fit into one question each: whole files together, a large file by its hunks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bot.diffs import DiffLine, FileDiff, Hunk
from bot.visible import visible, without_ansi

LINE = 500
"""Characters of a line that are shown."""
_SIGNS = {"+": "+", "-": "-", " ": "|"}
_TEST = re.compile(r"(?:^|/)(?:tests?|spec|__tests__|testing)/|(?:^|/)test_|_test\.|\.(?:test|spec)\.", re.IGNORECASE)
_PROSE = re.compile(r"(?:^|/)docs?/|\.(?:md|rst|txt|adoc|json|ya?ml|toml|cfg|ini|lock)$", re.IGNORECASE)


class Piece(NamedTuple):
    """What is asked about at once."""

    paths: tuple[str, ...]
    """Files that it shows, wholly or in part."""
    text: str
    """Their hunks, each line with its number."""


def pieces_of(files: Sequence[FileDiff], size: int) -> tuple[Piece, ...]:
    """Pieces of at most `size` characters: code first, then tests, then prose, since the last ones may be left out."""
    ordered = sorted(files, key=lambda each: _rank(each.path))  # stable: else the diff's own order
    done: list[Piece] = []
    for path, text in (part for file in ordered for part in _parts(file, size)):
        if done and len(done[-1].text) + len(text) + 1 <= size:
            paths = tuple(dict.fromkeys((*done[-1].paths, path)))
            done[-1] = Piece(paths, f"{done[-1].text}\n{text}")
        else:
            done.append(Piece((path,), text))
    return tuple(done)


def _rank(path: str) -> int:
    return 2 if _PROSE.search(path) else 1 if _TEST.search(path) else 0


def _parts(file: FileDiff, size: int) -> Iterator[tuple[str, str]]:
    """A file as one text, or as several that each begin with its name."""
    head = f"file: {visible(file.path)}"
    room = max(size - len(head) - 1, 2 * LINE)
    text = ""
    for block in (block for hunk in file.hunks for block in _blocks(hunk, room)):
        if text and len(text) + len(block) + 1 > room:
            yield file.path, f"{head}\n{text}"
            text = ""
        text = f"{text}\n{block}" if text else block
    if text:
        yield file.path, f"{head}\n{text}"


def _blocks(hunk: Hunk, size: int) -> Iterator[str]:
    """A hunk's lines behind a ruler, cut between lines where they are too many."""
    block = "..."
    for line in map(_shown, hunk.lines):
        if len(block) + len(line) + 1 > size:
            yield block
            block = "..."
        block = f"{block}\n{line}"
    yield block


def _shown(line: DiffLine) -> str:
    """A line with its number, without what nobody can see."""
    text = visible(without_ansi(line.text[: 4 * LINE]))
    text = text if len(text) <= LINE else text[: LINE - 1] + "…"
    number = "" if line.number is None or line.sign == "-" else str(line.number)
    return f"{number:>6} {_SIGNS[line.sign]}{text}".replace("\n", " ")

"""Added lines of a diff -> what is wrong with them for certain, without a model: three things that nobody means.

Conflicts that were committed, keys that give themselves away, and characters that make code look like other code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bot.diffs import DiffLine, FileDiff
from bot.redaction import SHAPES
from bot.triage.pulls.review_shape import Issue

MOST = 20
"""Findings of each kind in one hunk."""
LINE = 1_000
"""Characters of a line that are looked at."""
TEXT = 2_000_000
"""Characters of added lines that are looked at in all; a larger diff is no work of people."""
_OURS, _MIDDLE, _THEIRS = re.compile(r"<{7} \S"), re.compile(r"={7}$"), re.compile(r">{7} \S")
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX 9)."""


def certain_issues(files: Sequence[FileDiff]) -> tuple[Issue, ...]:
    """Of all files that have text, also of those that nobody reviews."""
    found: list[Issue] = []
    room = TEXT
    for path, hunk in ((file.path, hunk) for file in files if not file.deleted for hunk in file.hunks):
        added = [line._replace(text=line.text[:LINE]) for line in hunk.lines if line.sign == "+"]
        room -= sum(len(line.text) for line in added)
        if room < 0:
            break
        for kind in (_conflicts, _secrets, _turned):
            found += list(kind(path, added))[:MOST]
    return tuple(found)


def _conflicts(path: str, added: Sequence[DiffLine]) -> Iterator[Issue]:
    """All three marks in their order: one alone may be a heading."""
    start: DiffLine | None = None
    middle = False
    for line in added:
        if _OURS.match(line.text):
            start, middle = line, False
        elif start and _MIDDLE.match(line.text):
            middle = True
        elif start and middle and _THEIRS.match(line.text):
            text = "Conflict markers of a merge were committed. Decide for one side, or join both."
            yield Issue(
                path=path, line=start.number, category="bug", severity="critical", text=text, effort="low", certain=True
            )
            start = None


def _secrets(path: str, added: Sequence[DiffLine]) -> Iterator[Issue]:
    """By the shapes by which secrets are kept out of what we publish."""
    text = "\n".join(line.text for line in added)
    for kind, shape in SHAPES.items():
        for found in shape.finditer(text):
            line = added[text.count("\n", 0, found.start())]
            words = (
                f"This looks like a {kind}. Take it back where it was issued and read it from the environment: "
                "what was pushed once counts as known."
            )
            yield Issue(path=path, line=line.number, category="security", severity="critical", text=words, certain=True)


def _turned(path: str, added: Sequence[DiffLine]) -> Iterator[Issue]:
    for line in added:
        if _TURNS.search(line.text):
            text = (
                "This line holds characters that change the direction of text, so that it reads as other code than it "
                "is. Take them out, or write them as escapes."
            )
            yield Issue(
                path=path,
                line=line.number,
                category="security",
                severity="high",
                text=text,
                effort="low",
                certain=True,
            )

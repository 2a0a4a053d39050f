"""Added lines of a diff -> what is wrong with them for certain, without a model: three things that nobody means.

Conflicts that were committed, keys that give themselves away, and characters that make code look like other code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bot.diffs import DiffLine, FileDiff, Hunk
from bot.redaction import SHAPES
from bot.triage.pulls.review_shape import Issue

MOST = 20
"""Findings of each kind in one file."""
_OURS, _MIDDLE, _THEIRS = re.compile(r"<{7} \S"), re.compile(r"={7}$"), re.compile(r">{7} \S")
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX 9)."""


def certain_issues(files: Sequence[FileDiff]) -> tuple[Issue, ...]:
    """Of all files that have text, also of those that nobody reviews."""
    return tuple(
        issue
        for file in files
        if not file.deleted
        for hunk in file.hunks
        for kind in (_conflicts, _secrets, _turned)
        for issue in list(kind(file.path, hunk))[:MOST]
    )


def _conflicts(path: str, hunk: Hunk) -> Iterator[Issue]:
    """All three marks in their order: one alone may be a heading."""
    start: DiffLine | None = None
    middle = False
    for line in hunk.lines:
        if line.sign != "+":
            continue
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


def _secrets(path: str, hunk: Hunk) -> Iterator[Issue]:
    """By the shapes by which secrets are kept out of what we publish."""
    added = [line for line in hunk.lines if line.sign == "+"]
    text = "\n".join(line.text for line in added)
    for kind, shape in SHAPES.items():
        for found in shape.finditer(text):
            line = added[text.count("\n", 0, found.start())]
            words = (
                f"This looks like a {kind}. Take it back where it was issued and read it from the environment: "
                "what was pushed once counts as known."
            )
            yield Issue(path=path, line=line.number, category="security", severity="critical", text=words, certain=True)


def _turned(path: str, hunk: Hunk) -> Iterator[Issue]:
    for line in hunk.lines:
        if line.sign == "+" and _TURNS.search(line.text):
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

"""Findings of several answers -> one list without repetitions, worst first, and what speaks against merging. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.triage.pulls.review_shape import SEVERITIES, Improvement, Issue
from bot.triage.pulls.severity import heavier

NEAR = 2
"""Lines that two findings may lie apart and yet be the same."""
ALIKE = 0.6
"""Share of common words from which on two texts about the same lines say the same."""
MOST_BLOCKERS = 10
SENTENCE = 200

_WORD = re.compile(r"[^\W\d_]{3,}")


def merged_issues(issues: Sequence[Issue]) -> tuple[Issue, ...]:
    """Each once. Of two that say the same the first one stays, with the worse severity; what is certain comes first."""
    kept: list[Issue] = []
    for each in sorted(issues, key=lambda issue: not issue.certain):
        at = next((at for at, known in enumerate(kept) if _same(known, each)), None)
        if at is None:
            kept.append(each)
        else:
            kept[at] = kept[at].changed(severity=heavier(kept[at].severity, each.severity))
    return tuple(sorted(kept, key=lambda each: (SEVERITIES.index(each.severity), each.path, each.line or 0)))


def merged_improvements(found: Sequence[Improvement]) -> tuple[Improvement, ...]:
    """Each once."""
    return tuple({(each.path, _words(each.text)): each for each in reversed(found)}.values())[::-1]


def reasons_against(issues: Sequence[Issue], said: Sequence[str]) -> tuple[str, ...]:
    """What has to be done before it may be merged: every heavy issue, and what the model named besides."""
    heavy = [f"{place_of(each)}: {_sentence(each.text)}" for each in issues if each.is_heavy]
    covered = [_words(each.text) for each in issues if each.is_heavy]
    others = {_words(each): each[:2_000] for each in said}
    more = [text for words, text in others.items() if not any(_alike(words, known) for known in covered)]
    return tuple((*heavy, *more)[:MOST_BLOCKERS])


def place_of(issue: Issue) -> str:
    """`path:line`, as far as it is known."""
    return (f"{issue.path}:{issue.line}" if issue.line else issue.path) or "the change as a whole"


def _same(one: Issue, other: Issue) -> bool:
    if one.path != other.path:
        return False
    near = one.line is None or other.line is None or abs(one.line - other.line) <= NEAR
    words, others = _words(one.text), _words(other.text)
    if words == others:
        return near
    return near and one.category == other.category and _alike(words, others)


def _words(text: str) -> frozenset[str]:
    """Its words; of a text in a script without spaces, or of digits alone, the text itself."""
    return frozenset(_WORD.findall(text.casefold())) or frozenset((text.casefold().strip(),))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= ALIKE * max(1, len(one | other))


def _sentence(text: str) -> str:
    first = re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0]
    return first if len(first) <= SENTENCE else first[: SENTENCE - 1] + "…"

"""Judged issues -> a list for people: the most urgent first, with what is in it counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import Field

from bot.types.result import Failure, Usage
from bot.types.triage import PRIORITIES, Chosen, Triage
from bot.types.value import Value


class Row(Value):
    """One issue of a backlog and what became of it."""

    number: int = Field(ge=1)
    """Its number."""
    title: str
    """A stranger's text."""
    updated_at: str = ""
    """Its last change, as far as it is taken into account here."""
    labels: tuple[str, ...] = ()
    """Labels that it had."""
    found: Triage | None = None
    """The judgement, None where there is none."""
    put_on: tuple[str, ...] = ()
    """Labels that were put on, or would have been."""
    comment: bool = False
    """Whether a comment was written, or would have been."""
    written: bool = False
    """Whether that was done; else it was only proposed."""
    left: str = ""
    """Why nothing is written to it, in words."""
    failure: Failure | None = None
    """Why it could not be judged, or not be written to."""


class Totals(Value):
    """What is in a list."""

    issues: int = 0
    failed: int = 0
    written: int = 0
    types: tuple[tuple[str, int], ...] = ()
    """Type -> how many, most first; so are the others."""
    priorities: tuple[tuple[str, int], ...] = ()
    """Most urgent first."""
    labels: tuple[tuple[str, int], ...] = ()
    """Labels that were put on, or would have been."""
    by: tuple[tuple[str, int], ...] = ()
    """Who judged."""
    usage: Usage = Usage()
    """What the model cost, over all that is in the list."""


def priority_of(row: Row) -> str:
    """Its priority, `failed` where there is no judgement."""
    return row.found.priority if row.found else "failed"


def in_order(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Most urgent first, vulnerabilities before the rest, spam last; of equals the newest; failures at the end."""
    return tuple(sorted(rows, key=_rank))


def _rank(row: Row) -> tuple[int, bool, bool, int]:
    if row.found is None:
        return len(PRIORITIES), False, False, -row.number
    return PRIORITIES.index(row.found.priority), row.found.spam, not row.found.security, -row.number


def totals(rows: Sequence[Row]) -> Totals:
    """Counts over a list."""
    usage = Usage()
    for row in rows:
        usage = usage.plus(row.found.usage) if row.found else usage
    ranks = Counter(priority_of(row) for row in rows)
    return Totals(
        issues=len(rows),
        failed=sum(row.failure is not None for row in rows),
        written=sum(row.written and bool(row.put_on or row.comment) for row in rows),
        types=_most(row.found.type or "unclear" for row in rows if row.found),
        priorities=tuple((name, ranks[name]) for name in (*PRIORITIES, "failed") if ranks[name]),
        labels=_most(label for row in rows for label in row.put_on),
        by=_most(row.found.by for row in rows if row.found),
        usage=usage,
    )


def _most(words: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(words).items(), key=lambda pair: (-pair[1], pair[0])))


def proposed(row: Row) -> tuple[Chosen, ...]:
    """Labels that were found and that are neither on it nor put on."""
    there = {each.casefold() for each in (*row.labels, *row.put_on)}
    return tuple(each for each in row.found.labels if each.label.casefold() not in there) if row.found else ()


def sureness(row: Row) -> float | None:
    """How sure the surest label is that came from a model."""
    given = [each.confidence for each in row.found.labels if each.by != "rule"] if row.found else []
    return max(given, default=None)

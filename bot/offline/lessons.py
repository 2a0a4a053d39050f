"""Past issues -> lessons: what people, and no bots, said about each by the labels that they gave and took."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from bot.types.event import Actor
from bot.types.triage import LabelEvent, Lesson, PastIssue

SOON = timedelta(days=30)
"""Whoever changes a label within that time of another's word corrects it; later the issue itself has changed."""


def lessons_of(issues: Iterable[PastIssue], *, bots: Collection[int] = (), prefix: str = "bot:") -> tuple[Lesson, ...]:
    """Of every issue that people labelled, oldest first. Labels that begin with `prefix` start tasks and say nothing.

    A label is given when it stands and a person put it on last; what a bot put on and nobody touched says nothing.
    `bots`: ids of accounts that look like people, such as our own.
    """
    found = (lesson_of(each, bots, prefix.casefold()) for each in issues)
    return tuple(sorted((each for each in found if each), key=lambda each: (each.created_at, int(each.id))))


def lesson_of(issue: PastIssue, bots: Collection[int], prefix: str) -> Lesson | None:
    """What one issue teaches; None where no person said anything."""
    standing = {name.casefold(): name for name in issue.labels if not name.casefold().startswith(prefix)}
    told: dict[str, list[LabelEvent]] = {}
    for event in sorted(issue.label_events, key=lambda each: moment(each.at)):
        if not event.label.casefold().startswith(prefix):
            told.setdefault(event.label.casefold(), []).append(event)
    given = tuple(name for key, name in standing.items() if is_given(told.get(key, ()), bots))
    refused = tuple(each[-1].label for key, each in told.items() if key not in standing and is_refused(each, bots))
    if not given and not refused:
        return None
    return Lesson(
        id=str(issue.number),
        title=issue.title,
        body=issue.body,
        created_at=issue.created_at,
        labels=given,
        refused=refused,
        corrected=any(is_corrected(each, bots) for each in told.values()),
    )


def is_given(events: Sequence[LabelEvent], bots: Collection[int]) -> bool:
    """Whether a person put it on last."""
    put = [each for each in events if each.added]
    return bool(put) and is_person(put[-1].actor, bots)


def is_refused(events: Sequence[LabelEvent], bots: Collection[int]) -> bool:
    """Whether a person took it off soon after it was put on."""
    last = events[-1]
    before = [each for each in events[:-1] if each.added]
    return bool(before) and not last.added and is_person(last.actor, bots) and soon(before[-1], last)


def is_corrected(events: Sequence[LabelEvent], bots: Collection[int]) -> bool:
    """Whether a person soon took back what somebody or something else had said."""
    return any(
        was.added != now.added and is_person(now.actor, bots) and not same(was.actor, now.actor) and soon(was, now)
        for was, now in pairwise(events)
    )


def is_person(actor: Actor | None, bots: Collection[int]) -> bool:
    """An account of a person; of one that is gone nobody knows."""
    if actor is None or actor.type != "User" or actor.id in bots:
        return False
    return not actor.login.casefold().endswith("[bot]")


def same(one: Actor | None, other: Actor | None) -> bool:
    """Whether both are the same account; two that are gone may be."""
    return (one and one.id) == (other and other.id)


def soon(was: LabelEvent, now: LabelEvent) -> bool:
    """Whether one came within thirty days of the other."""
    return timedelta() <= moment(now.at) - moment(was.at) <= SOON


def moment(text: str) -> datetime:
    """An ISO time; one that can't be read is the oldest."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)

"""Lessons -> what is wanted of each and how much it counts: the types' columns and the labels'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bot.issuetypes import type_of_label
from bot.types.triage import ISSUE_TYPES, IssueType, Lesson

Array = NDArray[np.float64]

MOST_LESSONS = 1_500
"""The newest: time and memory of the fit grow with the square of their number and more."""
MOST_LABELS = 30
ENOUGH = 5
"""Lessons that a label needs to be learned."""
RIGHT, WRONG = 1.0, -0.5
"""Wanted of the columns of types: of three equally likely ones the mean is 0."""
FEW = 10
"""Lessons of a type below which one of them counts no more than if there were as many."""
DOUBT = 3.0
"""Lessons for and against a type that its prior is worth."""
CORRECTED = 2.0
"""Weight of a lesson in which a person corrected somebody: that mistake was made once."""


@dataclass(frozen=True)
class Targets:
    """What is wanted."""

    kinds: tuple[IssueType | None, ...]
    """Type of each lesson, None where its labels name none or more than one."""
    types: Array
    """A column for each type."""
    type_trust: Array
    """Weight of each lesson there; 0 teaches nothing."""
    evidence: Array
    """Of each type, which share of what the prior leaves open is learned; 0 of one that no lesson has."""
    names: tuple[str, ...]
    """Labels that were seen often enough, most frequent first."""
    labels: Array
    """A column for each: 1 or -1."""
    label_trust: Array
    """Weight of each lesson there."""


def newest(lessons: Sequence[Lesson]) -> tuple[Lesson, ...]:
    """As many as are learned from, in an order that does not depend on the caller's; of equal texts the newest.

    A lesson whose twin stays is not left out by leaving it out: what is measured then would be too good.
    """
    ordered = sorted(lessons, key=lambda each: (each.created_at, each.id), reverse=True)
    single: dict[tuple[str, str], Lesson] = {}
    for each in ordered:
        single.setdefault((each.title, each.body), each)
    return tuple(single.values())[:MOST_LESSONS]


def targets_of(lessons: Sequence[Lesson], types: Mapping[str, IssueType] | None) -> Targets:
    """What the lessons want. A label that stands for a type is learned twice: as the type and under its own name."""
    kinds = tuple(_kind(each, types) for each in lessons)
    wanted = np.array([_types(each, kind, types) for each, kind in zip(lessons, kinds, strict=True)]).reshape(-1, 3)
    spread = Counter(label for each in lessons for label in set(each.labels))
    names = sorted((label for label, number in spread.items() if number >= ENOUGH), key=lambda x: (-spread[x], x))
    names = [name for name in names if spread[name] < len(lessons)][:MOST_LABELS]
    labels = np.array([[1.0 if name in each.labels else -1.0 for name in names] for each in lessons])
    return Targets(
        kinds=kinds,
        types=wanted,
        type_trust=_type_trust(lessons, kinds, wanted),
        evidence=_evidence(kinds),
        names=tuple(names),
        labels=labels.reshape(len(lessons), len(names)),
        label_trust=np.array([CORRECTED if each.corrected or each.refused else 1.0 for each in lessons]),
    )


def _kind(lesson: Lesson, types: Mapping[str, IssueType] | None) -> IssueType | None:
    found = {kind for label in lesson.labels if (kind := type_of_label(label, types)) is not None}
    return found.pop() if len(found) == 1 else None


def _types(lesson: Lesson, kind: IssueType | None, types: Mapping[str, IssueType] | None) -> list[float]:
    """Where only a refusal is known, the refused types are wrong and the others are a little more likely."""
    if kind is not None:
        return [RIGHT if each == kind else WRONG for each in ISSUE_TYPES]
    refused = {type_of_label(label, types) for label in lesson.refused} - {None}
    if not refused or len(refused) == len(ISSUE_TYPES):
        return [0.0] * len(ISSUE_TYPES)
    left = -WRONG * len(refused) / (len(ISSUE_TYPES) - len(refused))
    return [WRONG if each in refused else left for each in ISSUE_TYPES]


def _evidence(kinds: Sequence[IssueType | None]) -> Array:
    """Lessons of one type alone tell it from nothing: what counts is how many there are for it and against it.

    Of a type that no lesson has all are silent, which is no evidence against it: the prior keeps the word.
    """
    number = np.array([kinds.count(each) for each in ISSUE_TYPES], np.float64)
    told = np.minimum(number, number.sum() - number)
    return np.asarray(told / (told + DOUBT))


def _type_trust(lessons: Sequence[Lesson], kinds: Sequence[IssueType | None], wanted: Array) -> Array:
    """Rare types count more, by the root of how rare they are; none at all if only one type was ever seen.

    A repository that labels nothing but its bugs does not teach that everything is a bug.
    """
    spread = Counter(kind for kind in kinds if kind is not None)
    if len(spread) < 2:
        return np.zeros(len(lessons))
    fair = sum(spread.values()) / len(spread)
    return np.array(
        [
            (min((fair / max(spread[kind], FEW)) ** 0.5, 3.0) if kind is not None else 0.5 * float(bool(row.any())))
            * (CORRECTED if each.corrected else 1.0)
            for each, kind, row in zip(lessons, kinds, wanted, strict=True)
        ]
    )

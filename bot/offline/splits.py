"""Lessons -> parts to learn from and parts to measure on: folds by chance, cuts in time, and few of each type.

All keep the shares of the types. A split in time learns from the earlier part of each type and measures on its rest,
for in most sets the types lie in different years, and a date would tell the type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bot.types.triage import IssueType

Places = NDArray[np.intp]
Split = tuple[Places, Places]
"""Indices to learn from, and to measure on."""


def folds(kinds: Sequence[IssueType | None], count: int, seed: int) -> Iterator[Split]:
    """Each lesson is measured on once."""
    random = np.random.default_rng(seed)
    part = np.empty(len(kinds), np.intp)
    for places in _by_kind(kinds):
        part[random.permutation(places)] = np.arange(len(places)) % count
    for number in range(count):
        yield np.flatnonzero(part != number), np.flatnonzero(part == number)


def cuts(kinds: Sequence[IssueType | None], times: Sequence[str], count: int) -> Iterator[Split]:
    """From the earlier half of each type on, in even steps; with four after 50, 60, 70 and 80 percent."""
    for share in np.linspace(0.5, 0.8, count):
        learn, rest = [], []
        for places in _by_kind(kinds):
            ordered = sorted(places, key=lambda each: (times[each], each))
            end = round(len(ordered) * float(share))
            learn += ordered[:end]
            rest += ordered[end:]
        yield np.array(sorted(learn), np.intp), np.array(sorted(rest), np.intp)


def few(kinds: Sequence[IssueType | None], each: int, seed: int) -> Split:
    """So many of each type to learn from, the rest to measure on."""
    random = np.random.default_rng(seed)
    learn: list[int] = []
    for places in _by_kind(kinds):
        learn += random.permutation(places)[:each].tolist()
    chosen = np.array(sorted(learn), np.intp)
    return chosen, np.setdiff1d(np.arange(len(kinds)), chosen)


def _by_kind(kinds: Sequence[IssueType | None]) -> list[Places]:
    return [
        np.array([n for n, kind in enumerate(kinds) if kind == each], np.intp)
        for each in sorted(set(kinds), key=lambda kind: kind or "")
    ]

"""Probabilities of lessons that were left out -> how well the model knows its repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bot.offline.calibration import bins_of, ece
from bot.types.triage import ISSUE_TYPES, IssueType, LabelMeasure, Measured

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class LabelSeen:
    """A label with what was believed of each lesson."""

    name: str
    there: Mask
    chance: Array
    threshold: float | None


def measured_of(
    kinds: Sequence[IssueType | None], beliefs: Array, limit: float | None, labels: Sequence[LabelSeen]
) -> Measured:
    """`beliefs` has a row for each lesson, no columns if types were not learned; `limit` is the types' threshold."""
    rows = tuple(_label(each) for each in labels)
    known = [number for number, kind in enumerate(kinds) if kind is not None]
    if not known or not beliefs.shape[1]:
        return Measured(lessons=len(kinds), labels=rows)
    truth = np.array([ISSUE_TYPES.index(kind) for kind in kinds if kind is not None])
    sure, said = beliefs[known].max(axis=1), beliefs[known].argmax(axis=1)
    above = sure >= (2.0 if limit is None else limit)
    types = tuple(
        _row(kind, truth == number, said == number, limit, above & (said == number))
        for number, kind in enumerate(ISSUE_TYPES)
    )
    return Measured(
        lessons=len(kinds),
        types=types,
        labels=rows,
        confusion={
            kind: {other: int(((truth == one) & (said == two)).sum()) for two, other in enumerate(ISSUE_TYPES)}
            for one, kind in enumerate(ISSUE_TYPES)
        },
        f1=macro(truth, said),
        ece=ece(sure, truth == said),
        bins=bins_of(sure, truth == said),
        coverage=float(above.mean()),
        error=float((truth != said)[above].mean()) if above.any() else None,
    )


def macro(truth: NDArray[np.intp], said: NDArray[np.intp]) -> float:
    """Mean F1 of the types that occur."""
    found = [f1_of(truth == each, said == each)[2] for each in range(len(ISSUE_TYPES)) if (truth == each).any()]
    return float(np.mean(found)) if found else 0.0


def f1_of(there: Mask, said: Mask) -> tuple[float, float, float]:
    """Precision, recall and their harmonic mean; 0 where nothing is there or nothing was said."""
    both = float((there & said).sum())
    precision, recall = both / max(float(said.sum()), 1.0), both / max(float(there.sum()), 1.0)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


def _label(seen: LabelSeen) -> LabelMeasure:
    above = seen.chance >= (2.0 if seen.threshold is None else seen.threshold)
    return _row(seen.name, seen.there, seen.chance >= 0.5, seen.threshold, above)


def _row(name: str, there: Mask, said: Mask, limit: float | None, above: Mask) -> LabelMeasure:
    precision, recall, f1 = f1_of(there, said)
    return LabelMeasure(
        label=name,
        lessons=int(there.sum()),
        precision=precision,
        recall=recall,
        f1=f1,
        threshold=limit,
        coverage=float(above.mean()),
        error=float((~there)[above].mean()) if above.any() else None,
    )

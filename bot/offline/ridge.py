"""A kernel matrix and wanted values -> weights of the lessons, and what each lesson would get if it were left out.

Kernel ridge regression: with M = (K + s D^-1)^-1, where D holds the lessons' weights, the weights of the sum are M y,
and the residual of a lesson that was left out is (M y)_i / M_ii. So the strength s of the penalty, the calibration and
the thresholds all come from one decomposition, without a second fit. Source: "Rifkin, Lippert: Notes on Regularized
Least Squares" (2007), the closed form for leave-one-out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STRENGTHS = tuple(float(each) for each in 10.0 ** np.arange(-1.5, 1.6, 0.25))
"""Penalties that are tried; weaker ones only ever learned the lessons by heart."""


@dataclass(frozen=True)
class Fit:
    """What was learned."""

    weights: Array
    """A row for each lesson, a column for each wanted value."""
    left_out: Array
    """What each lesson would have got without itself."""
    strength: float
    """The penalty that was best by leave-one-out."""


def ridge(kernel: Array, wanted: Array, trust: Array, strengths: Sequence[float] = STRENGTHS) -> Fit:
    """Fit all columns with one penalty. `trust` weighs the lessons; one of weight 0 teaches nothing."""
    root = np.sqrt(trust)
    values, basis = np.linalg.eigh(kernel * root[:, None] * root)
    values = np.maximum(values, 0.0)
    turned = basis.T @ (wanted * root[:, None])
    taught = trust > 0
    best: tuple[float, float, Array, Array] | None = None
    for strength in strengths:
        shrunk = 1.0 / (values + strength)
        solved = basis @ (turned * shrunk[:, None])
        own = np.square(basis) @ shrunk
        residual = np.zeros_like(wanted)
        residual[taught] = solved[taught] / (own * root)[taught, None]
        error = float((trust[:, None] * np.square(residual)).sum())
        if best is None or error < best[0]:
            best = (error, strength, solved * root[:, None], wanted - residual)
    if best is None:
        raise ValueError("no strength to try")
    return Fit(weights=best[2], left_out=best[3], strength=best[1])

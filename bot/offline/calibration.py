"""Scores of lessons that were left out -> probabilities that mean what they say, and from where on to act on them.

The views' scores, each by its own scale, go through one softmax (types) or logistic function (labels). Scales and
shifts are fitted to the truth, held near the usual by a penalty, so that ten lessons cannot claim certainty. Sources:
"Wolpert: Stacked Generalization" (1992); "Guo et al.: On Calibration of Modern Neural Networks" (2017) for the scale
and the expected calibration error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SCALE = 5.0
"""Usual sum of the views' scales for scores that differ by 1.5 between sure and impossible."""
HOLD = 1.0
"""Penalty on the square by which a view's scale differs from the usual."""
SHIFT_HOLD = 2.0
"""The same of the shifts."""
SLIPS = 0.0225
"""Share of labels that nothing in the text explains: nobody is surer than that leaves room for."""
LESSONS = 90
"""Fewer prove no threshold: with 60 the measured error was twice the wanted one."""
FEWEST = 10
"""Lessons that have to lie above a threshold."""
LEAST = 0.5
"""No threshold lies below: whoever is surer of the contrary does not act."""
BINS = 10


@dataclass(frozen=True)
class Curve:
    """Scores -> probabilities."""

    scale: tuple[float, ...]
    """One for each view."""
    shift: tuple[float, ...]
    """One for each column."""

    def types(self, scores: Array) -> Array:
        """Scores by text, view and type -> rows of probabilities that add up to one."""
        sure = softmax(np.einsum("nvc,v->nc", scores, np.array(self.scale)) + np.array(self.shift))
        return np.asarray((1 - SLIPS) * sure + SLIPS / sure.shape[1])

    def chance(self, scores: Array) -> Array:
        """Scores by text and view of one label -> its probabilities."""
        return np.asarray((1 - SLIPS) * _logistic(scores @ np.array(self.scale) + self.shift[0]) + SLIPS / 2)


def softmax(scores: Array) -> Array:
    """Rows that add up to one."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def curve_of(scores: Array, truth: Array) -> Curve:
    """Fit to scores by text, view and column, by Newton's method.

    `truth` has 1 where a column is right; one column alone is a yes-or-no label.
    """
    _, views, columns = scores.shape
    hold = np.diag([HOLD] * views + [SHIFT_HOLD] * columns)
    usual = np.array([SCALE / views] * views + [0.0] * columns)
    outer = _outer(scores)
    found = usual.copy()
    for _ in range(30):
        inner = outer @ found
        slope, bend = _derivatives(outer, truth, softmax(inner) if columns > 1 else _logistic(inner))
        step = np.linalg.solve(bend + hold, slope + hold @ (found - usual))
        found = found - np.clip(step, -2.0, 2.0)
        # No view is believed the other way round.
        found[:views] = np.maximum(found[:views], 0.1)
        if float(np.abs(step).max()) < 1e-6:
            break
    return Curve(tuple(found[:views].tolist()), tuple(found[views:].tolist()))


def _logistic(scores: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * scores)))


def _outer(scores: Array) -> Array:
    """What each number that is fitted is multiplied by: for every text and column."""
    rows, views, columns = scores.shape
    outer = np.zeros((rows, columns, views + columns))
    outer[:, :, :views] = scores.transpose(0, 2, 1)
    outer[:, :, views:] = np.eye(columns)
    return outer


def _derivatives(outer: Array, truth: Array, guess: Array) -> tuple[Array, Array]:
    """First and second derivatives of the log loss by scales and shifts."""
    columns = guess.shape[1]
    slope = np.einsum("nc,nck->k", guess - truth, outer)
    if columns == 1:
        spread = (guess * (1 - guess))[:, :, None]
    else:
        spread = guess[:, :, None] * np.eye(columns) - guess[:, :, None] * guess[:, None, :]
    return slope, np.einsum("nck,ncd,ndl->kl", outer, spread, outer)


def bins_of(confidence: Array, right: Mask) -> tuple[tuple[float, float, int], ...]:
    """Mean confidence, share that is right, and count, of each of ten equal bins that holds anything."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    found = []
    for each in range(BINS):
        inside = place == each
        if inside.any():
            found.append((float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum())))
    return tuple(found)


def ece(confidence: Array, right: Mask) -> float:
    """Expected calibration error: by how much confidence and truth differ, on average over the bins."""
    total = max(len(confidence), 1)
    return sum(abs(sure - true) * count for sure, true, count in bins_of(confidence, right)) / total


def threshold(confidence: Array, error: float) -> float | None:
    """The lowest confidence above which few enough are expected to be wrong; None with too few lessons, or above it.

    What is expected comes from the calibrated confidence itself: counting the mistakes among so few says less.
    """
    sure = -np.sort(-confidence)
    number = np.arange(1, len(sure) + 1)
    expected = np.cumsum(1 - sure) / number
    last = np.append(sure[1:] < sure[:-1], True)[: len(sure)]  # of equal ones all or none
    # Where most are certain, the mean would bear a few that are more likely wrong than right: never those.
    fit = np.flatnonzero((expected <= error) & last & (number >= FEWEST) & (sure >= LEAST))
    if not len(fit) or len(sure) < LESSONS:
        return None
    # Half way to the next lesson that would not do: among lessons that are all alike, a new one differs a little.
    end = fit[-1]
    following = float(sure[end + 1]) if end + 1 < len(sure) else LEAST
    return (float(sure[end]) + max(following, LEAST)) / 2

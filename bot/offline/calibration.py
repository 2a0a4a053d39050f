"""Scores of lessons that were left out -> probabilities that mean what they say, and from where on to act on them.

The scores go through a softmax (types) or a logistic function (labels) whose scale and shifts are fitted to the truth,
held near a usual scale by a penalty, so that ten lessons cannot claim certainty. Source: "Guo et al.: On Calibration
of Modern Neural Networks" (2017) for temperature scaling and the expected calibration error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SCALE = 4.0
"""Usual scale for scores that differ by 1.5 between sure and impossible."""
HOLD = 5.0
"""How many lessons' worth the usual scale weighs."""
MARGIN = 0.75
"""Share of the wanted error that is aimed at: on new issues it comes out higher than on the lessons."""
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

    scale: float
    shift: tuple[float, ...]
    """One for each column."""

    def types(self, scores: Array) -> Array:
        """Rows of scores -> rows of probabilities that add up to one."""
        return softmax(self.scale * scores + np.array(self.shift))

    def chance(self, scores: Array) -> Array:
        """A column of scores -> probabilities."""
        return np.asarray(0.5 * (1 + np.tanh(0.5 * (self.scale * scores + self.shift[0]))))


def softmax(scores: Array) -> Array:
    """Rows that add up to one."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def curve_of(scores: Array, truth: Array) -> Curve:
    """Fit by Newton's method. `truth` has 1 where a column is right; one column alone is a yes-or-no label."""
    columns = scores.shape[1]
    hold = np.diag([HOLD / SCALE**2] + [HOLD / 10] * columns)
    usual = np.array([SCALE] + [0.0] * columns)
    found = usual.copy()
    for _ in range(30):
        inner = found[0] * scores + found[1:]
        guess = softmax(inner) if columns > 1 else 0.5 * (1 + np.tanh(0.5 * inner))
        slope, bend = _derivatives(scores, truth, guess)
        step = np.linalg.solve(bend + hold, slope + hold @ (found - usual))
        found = found - np.clip(step, -2.0, 2.0)
        found[0] = max(found[0], 0.1)
        if float(np.abs(step).max()) < 1e-6:
            break
    return Curve(float(found[0]), tuple(float(each) for each in found[1:]))


def _derivatives(scores: Array, truth: Array, guess: Array) -> tuple[Array, Array]:
    """First and second derivatives of the log loss by scale and shifts."""
    rows, columns = scores.shape
    outer = np.zeros((rows, columns, columns + 1))
    outer[:, :, 0] = scores
    outer[:, :, 1:] = np.eye(columns)
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
    fit = np.flatnonzero((expected <= MARGIN * error) & last & (number >= FEWEST) & (sure >= LEAST))
    if not len(fit) or len(sure) < LESSONS:
        return None
    # Half way to the next lesson that would not do: among lessons that are all alike, a new one differs a little.
    end = fit[-1]
    following = float(sure[end + 1]) if end + 1 < len(sure) else LEAST
    return (float(sure[end]) + max(following, LEAST)) / 2

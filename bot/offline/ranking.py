"""Several opinions on the same rows -> one order.

Source: "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods" (Cormack and others, 2009).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]

DAMPING = 10
"""What is added to a rank. The paper's 60 is for the judgement of thousands of rows; here the first five are shown."""


def fuse(opinions: Sequence[tuple[float, Scores]]) -> NDArray[np.float64]:
    """Weight and scores of each opinion -> the fused score of each row. On a row without a positive score it is silent.

    Equal scores have equal ranks, so that the order of the rows decides nothing.
    """
    total = np.zeros(len(opinions[0][1]))
    for weight, scores in opinions:
        total += np.where(scores > 0, weight / (DAMPING + ranks(scores)), 0)
    return total


def ranks(scores: Scores) -> NDArray[np.intp]:
    """1 for the highest; equal ones share the best rank that they could have."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    places = np.arange(1, len(scores) + 1)
    places[1:][ordered[1:] == ordered[:-1]] = 0
    result = np.empty(len(scores), np.intp)
    result[order] = np.maximum.accumulate(places)
    return result


def best(fused: Scores, first: Scores, most: int) -> NDArray[np.intp]:
    """Rows with a positive fused score, highest first, and among equals by `first`, then the later row."""
    count = min(most, int(np.count_nonzero(fused > 0)))
    if count <= 0:
        return np.zeros(0, np.intp)
    floor = np.partition(fused, len(fused) - count)[len(fused) - count]
    rows = np.flatnonzero(fused >= floor)
    return rows[np.lexsort((rows, first[rows], fused[rows]))[::-1]][:count]

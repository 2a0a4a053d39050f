"""Texts -> how alike they are to the lessons: by their words, by their signs, and by what they mean; added up.

Words count linearly (cosine of TF-IDF rows), so that a term's weight needs no lesson kept; signs and meaning fall off
smoothly with the distance, and there the lessons' own numbers are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bot.offline.features import NAMES, features
from bot.offline.prior import Vectors
from bot.offline.text import spoken, written
from bot.offline.tfidf import Counts, Rows, Vocabulary, counts, rows, vocabulary

Floats = NDArray[np.float32]
Array = NDArray[np.float64]

SIGNS = 1.0
MEANING = 2.0
"""Weights of the three likenesses; that of words is 1, and a constant 1 stands for what all have in common."""
FAR = 3.0
"""Standard deviations beyond which a sign is not stranger still."""
WIDTH = 384


@dataclass(frozen=True)
class Seen:
    """What is looked at in texts."""

    words: tuple[Counts, ...]
    signs: Floats
    """A row of features for each."""
    meant: Floats
    """A row of the encoder's first view for each; no columns without encoder."""


@dataclass(frozen=True)
class Space:
    """Where the lessons lie."""

    known: Vocabulary
    usual: Floats
    """Mean of each sign over the lessons."""
    spread: Floats
    """Standard deviation of each and a tenth, so that a rare sign does not outweigh all."""
    signs: Floats
    """The lessons' signs by both."""
    middle: Floats
    """Mean of the lessons' vectors; empty without encoder."""
    meant: NDArray[np.float16]
    """The lessons' vectors from there, of length 1; no columns without encoder."""


@dataclass(frozen=True)
class Learned:
    """What was learned about each wanted value, a column each."""

    words: Floats
    """A row for each term."""
    lessons: Floats
    """A row for each lesson."""


def see(texts: Sequence[tuple[str, str]], vectors: Vectors | None) -> Seen:
    """Titles and bodies as what is looked at. Never raises for a text."""
    meant = np.empty((len(texts), 0), np.float32)
    if vectors is not None and texts:
        meant = vectors.views([spoken(*each) for each in texts])[:, 0]
    signs = [features(*each) for each in texts]
    return Seen(
        words=tuple(counts(written(*each)) for each in texts),
        signs=np.array(signs, np.float32).reshape(len(texts), len(NAMES)),
        meant=meant,
    )


def space_of(seen: Seen) -> tuple[Space, Rows]:
    """The space that the lessons span, and their rows of words, which only fitting needs."""
    known = vocabulary(seen.words)
    usual = seen.signs.mean(axis=0)
    spread = seen.signs.std(axis=0) + np.float32(0.1)
    middle = seen.meant.mean(axis=0)
    space = Space(
        known=known,
        usual=usual,
        spread=spread,
        signs=_standard(seen.signs, usual, spread),
        middle=middle,
        meant=_unit(seen.meant - middle).astype(np.float16),
    )
    return space, rows(known, seen.words)


def kernel_of(space: Space, words: Rows) -> Array:
    """How alike every two lessons are."""
    return words.likeness() + _smooth(space, space.signs, space.meant.astype(np.float32))


def learned_of(words: Rows, weights: Array) -> Learned:
    """The lessons' weights, and from them the terms'."""
    return Learned(words.summed(weights).astype(np.float32, order="C"), weights.astype(np.float32, order="C"))


def scores_of(space: Space, learned: Learned, seen: Seen) -> Array:
    """A row for each text, a column for each wanted value. Without vectors meaning counts as neutral."""
    meant = _unit(seen.meant - space.middle) if seen.meant.shape[1] else np.zeros((len(seen.signs), 0), np.float32)
    result = _smooth(space, _standard(seen.signs, space.usual, space.spread), meant) @ learned.lessons
    words = rows(space.known, seen.words)
    for span, dense in words.blocks():
        result += dense @ learned.words[span]
    return np.asarray(result, dtype=np.float64)


def _smooth(space: Space, signs: Floats, meant: Floats) -> Array:
    apart = np.square(signs).sum(axis=1)[:, None] + np.square(space.signs).sum(axis=1) - 2 * signs @ space.signs.T
    result = 1.0 + SIGNS * np.exp(-np.maximum(apart, 0) / (2.0 * len(NAMES)))
    if space.meant.shape[1]:
        alike = meant @ space.meant.astype(np.float32).T if meant.shape[1] else np.float32(0)
        result = result + MEANING * np.exp(alike - np.float32(1))
    return np.asarray(result, dtype=np.float64)


def _standard(signs: Floats, usual: Floats, spread: Floats) -> Floats:
    return np.asarray(np.clip((signs - usual) / spread, -FAR, FAR), dtype=np.float32)


def _unit(x: Floats) -> Floats:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9), dtype=np.float32)

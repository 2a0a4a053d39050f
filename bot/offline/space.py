"""Texts -> how alike they are to the lessons, in three views: by their words, by their signs, and by what they mean.

Words count linearly (cosine of TF-IDF rows), so that a term's weight needs no lesson kept; signs and meaning fall off
smoothly with the distance, and there the lessons' own numbers are kept. Each view learns for itself: what the views
say is weighed only afterwards (`calibration`), and where they disagree, little is certain.
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

COMMON = 1.0
"""What all texts have in common, beside the likeness of any two, which is 1 for equal ones."""
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
    level: Floats
    """What words say of a text without any known term."""
    signs: Floats
    """A row for each lesson."""
    meant: Floats
    """A row for each lesson; no rows without encoder."""


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


def kernels_of(space: Space, words: Rows) -> tuple[Array, ...]:
    """How alike every two lessons are, in each view: two without encoder, three with it."""
    found = [COMMON + words.likeness(), _by_signs(space, space.signs)]
    if space.meant.shape[1]:
        found.append(_by_meaning(space, space.meant.astype(np.float32)))
    return tuple(found)


def learned_of(words: Rows, weights: Sequence[Array]) -> Learned:
    """The lessons' weights in each view, and from those of the words the terms'."""
    by_words, by_signs, *others = weights
    by_meaning = others[0] if others else np.empty((0, by_words.shape[1]))
    return Learned(
        words=words.summed(by_words).astype(np.float32, order="C"),
        level=(COMMON * by_words.sum(axis=0)).astype(np.float32),
        signs=by_signs.astype(np.float32, order="C"),
        meant=by_meaning.astype(np.float32, order="C"),
    )


def scores_of(space: Space, learned: Learned, seen: Seen) -> Array:
    """For each text, view and wanted value. Without vectors meaning says nothing: 0, where it was learned."""
    by_words = np.repeat(learned.level[None].astype(np.float64), len(seen.signs), axis=0)
    for span, dense in rows(space.known, seen.words).blocks():
        by_words += dense @ learned.words[span]
    found = [by_words, _by_signs(space, _standard(seen.signs, space.usual, space.spread)) @ learned.signs]
    if space.meant.shape[1]:
        there = bool(seen.meant.shape[1])
        meant = _by_meaning(space, _unit(seen.meant - space.middle)) @ learned.meant if there else 0.0 * by_words
        found.append(meant)
    return np.stack(found, axis=1).astype(np.float64)


def _by_signs(space: Space, signs: Floats) -> Array:
    apart = np.square(signs).sum(axis=1)[:, None] + np.square(space.signs).sum(axis=1) - 2 * signs @ space.signs.T
    return np.asarray(COMMON + np.exp(-np.maximum(apart, 0) / (2.0 * len(NAMES))), dtype=np.float64)


def _by_meaning(space: Space, meant: Floats) -> Array:
    alike = meant @ space.meant.astype(np.float32).T
    return np.asarray(COMMON + 2.0 * np.exp(alike - np.float32(1)), dtype=np.float64)


def _standard(signs: Floats, usual: Floats, spread: Floats) -> Floats:
    return np.asarray(np.clip((signs - usual) / spread, -FAR, FAR), dtype=np.float32)


def _unit(x: Floats) -> Floats:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9), dtype=np.float32)

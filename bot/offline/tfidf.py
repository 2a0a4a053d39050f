"""Texts -> weighed counts of their words, signs and neighbouring pairs of them, as sparse rows of unit length.

A term is kept as a 32-bit digest: what is learned holds nobody's sentences and stays small. The weight is the usual
(1 + log count) * inverse document frequency, smoothed.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Counts = Mapping[int, int]
"""Digest of a term -> how often it occurs."""

MOST_TERMS = 16_000
"""Terms that are kept: those that most texts have."""
AT_ONCE = 2_048
"""Terms whose dense columns are in memory together."""
_TERM = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Vocabulary:
    """The terms that count."""

    terms: NDArray[np.uint32]
    """Their digests, ascending."""
    rarity: Floats
    """Inverse document frequency of each."""


@dataclass(frozen=True)
class Rows:
    """A sparse matrix, one row a text, in the order of its columns."""

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    value: Floats
    shape: tuple[int, int]

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Dense blocks of columns, one after the other."""
        for start in range(0, self.shape[1], AT_ONCE):
            end = min(start + AT_ONCE, self.shape[1])
            low, high = np.searchsorted(self.column, (start, end))
            dense = np.zeros((self.shape[0], end - start), np.float32)
            dense[self.row[low:high], self.column[low:high] - start] = self.value[low:high]
            yield slice(start, end), dense

    def likeness(self) -> NDArray[np.float64]:
        """Cosine of every two rows."""
        result = np.zeros((self.shape[0], self.shape[0]))
        for _, dense in self.blocks():
            result += dense @ dense.T
        return result

    def summed(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """A row of `weights` for each text -> a row for each term."""
        result = np.zeros((self.shape[1], weights.shape[1]))
        for span, dense in self.blocks():
            result[span] = dense.T @ weights
        return result


def counts(text: str) -> Counter[int]:
    """What a text is made of."""
    words = [word[:40] for word in _TERM.findall(text.lower())]
    found = Counter(zlib.crc32(word.encode("utf-8", "replace")) for word in words)
    found.update(zlib.crc32(f"{one} {two}".encode("utf-8", "replace")) for one, two in pairwise(words))
    return found


def vocabulary(texts: Sequence[Counts]) -> Vocabulary:
    """The terms that at least two texts have."""
    spread = Counter(term for each in texts for term in each)
    often = sorted((term for term, number in spread.items() if number > 1), key=lambda term: (-spread[term], term))
    terms = np.array(sorted(often[:MOST_TERMS]), np.uint32)
    known = np.array([spread[int(term)] for term in terms], np.float64)
    return Vocabulary(terms, (np.log((1 + len(texts)) / (1 + known)) + 1).astype(np.float32))


def rows(known: Vocabulary, texts: Sequence[Counts]) -> Rows:
    """The texts by the terms that count."""
    parts = [_row(known, each) for each in texts]
    row = np.repeat(np.arange(len(parts)), [len(column) for column, _ in parts])
    column = np.concatenate([np.empty(0, np.intp), *(column for column, _ in parts)])
    value = np.concatenate([np.empty(0, np.float32), *(value for _, value in parts)])
    order = np.argsort(column, kind="stable")
    return Rows(row[order], column[order], value[order], (len(texts), len(known.terms)))


def _row(known: Vocabulary, text: Counts) -> tuple[NDArray[np.intp], Floats]:
    terms = np.fromiter(text.keys(), np.int64, len(text))
    often = np.fromiter(text.values(), np.float64, len(text))
    place = np.searchsorted(known.terms, terms)
    place[place == len(known.terms)] = 0
    found = known.terms[place] == terms if len(known.terms) else np.zeros(len(terms), bool)
    place, often = place[found], often[found]
    value = (1 + np.log(often)) * known.rarity[place]
    return place, (value / max(float(np.linalg.norm(value)), 1e-12)).astype(np.float32)

"""Past issues -> those that are like a new one: the same rare words, or the same meaning in other words.

Three opinions are fused by reciprocal rank: BM25, the encoder on title and text, and the encoder on the title alone.
Without an encoder BM25 speaks alone. What is found is advice for people. Only issues created strictly earlier are
named: every hint points back in time, so hints can't go in a circle, and no issue is named for itself.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.errors import ConfigurationError
from bot.offline.bm25 import Bm25, counts_of, names_of
from bot.offline.ranking import best, fuse
from bot.offline.tensors import Tensors, read_tensors, write_tensors
from bot.offline.text import spoken
from bot.offline.vectors import VectorCache
from bot.offline.weights import WIDTH, Floats

LIKE = 1
"""The cache's view that tells what a text is about."""
WORDS, TEXT, TITLE = 1.0, 1.0, 0.5
"""What each opinion weighs; the title is in both others already."""
SAME, SAME_WORDS = 0.55, 0.4
"""Score from which on an issue is named as a possible duplicate, with an encoder and without one. Measured on two
trackers: of issues that have a duplicate every third is then shown it, of others every fifteenth (without an encoder
every eleventh) is shown one that is merely close. One that doesn't have any version, number, host or file of the
query's title is never named: the next version's upgrade is another issue.
"""
FORMAT = 1
HEAD_BYTES, WORDS_KEPT = 20_000_000, 2_000_000
"""Of a kept index: bytes of its page of JSON, and different words; a larger one is built anew."""
BLOCK = 2048
"""Issues that are encoded, or whose bytes are widened, at once."""


@dataclass(frozen=True)
class Entry:
    """One issue as the index takes it."""

    id: str
    """Unique in its index."""
    title: str
    """A stranger's text."""
    body: str = ""
    """A stranger's text."""
    created_at: str = ""
    """ISO time; an issue without one is never known to be earlier."""


@dataclass(frozen=True)
class Hit:
    """An issue that is like the query."""

    id: str
    """Of the entry."""
    score: float
    """0 to 1, which is the same words and meaning; comparable within one index."""
    candidate: bool
    """Whether it is alike enough to be named as a possible duplicate."""


class Index:
    """Issues that can be searched; they come, change and go one by one."""

    def __init__(self, vectors: VectorCache | None) -> None:
        self.vectors = vectors
        self.words = Bm25()
        self.rows: dict[str, int] = {}
        """Id -> row, of those that are in it."""
        self.ids: list[str] = []
        self.alive = bytearray()
        """Row -> id, and whether it is still in it."""
        self.times = array("d")
        """Row -> seconds since 1970, NaN where unknown."""
        self.codes = np.zeros((0, 2, WIDTH), np.int8)
        self.scales = np.zeros((0, 2), np.float32)
        """Row -> meaning of the whole text and of the title: bytes and what they are multiplied with."""

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: object) -> bool:
        return name in self.rows

    def add(self, entries: Iterable[Entry], *, done: Callable[[int], None] = lambda count: None) -> None:
        """Put issues in; one whose id is there already is replaced. `done` hears how many more texts are encoded."""
        new = list({each.id: each for each in entries}.values())
        self.remove(each.id for each in new)
        if self.vectors is not None and new:
            packed = [
                _packed(each) for each in _meanings(self.vectors, [(each.title, each.body) for each in new], done)
            ]
            self.codes = np.concatenate([self.codes, *(codes for codes, _ in packed)])
            self.scales = np.concatenate([self.scales, *(scales for _, scales in packed)])
        for entry in new:
            self.rows[entry.id] = self.words.add(counts_of(entry.title, entry.body))
            self.ids.append(entry.id)
            self.alive.append(1)
            self.times.append(seconds_of(entry.created_at))

    def remove(self, ids: Iterable[str]) -> None:
        """Take issues out; ids that are not in it are no error."""
        for each in ids:
            row = self.rows.pop(each, None)
            if row is not None:
                self.words.remove(row)
                self.alive[row] = 0

    def search(
        self, title: str, body: str, *, before: str = "", exclude: Collection[str] = (), most: int = 5
    ) -> tuple[Hit, ...]:
        """The issues most like this text, best first; only those created strictly before `before`, if it is given."""
        wanted = np.frombuffer(self.alive, np.bool_).copy()
        wanted[[self.rows[each] for each in exclude if each in self.rows]] = False
        if before:
            wanted &= np.frombuffer(self.times, np.float64) < seconds_of(before)  # never so for NaN
        rows = np.flatnonzero(wanted)
        if not len(rows):
            return ()
        counts = counts_of(title, body)
        words = self.words.scores(counts)[rows]
        shared = np.clip(words / np.float32(max(self.words.own(counts), 1e-9)), 0, 1)
        if self.vectors is None:
            scores, order, floor = shared, best(words, words, most), SAME_WORDS
        else:
            alike = np.clip(self._alike(next(_meanings(self.vectors, [(title, body)]))[0]), 0, 1)[rows]
            scores, floor = (shared + alike.mean(axis=1)) / 2, SAME
            order = best(fuse([(WORDS, words), (TEXT, alike[:, 0]), (TITLE, alike[:, 1])]), scores, most)
        names = names_of(title)
        return tuple(
            Hit(self.ids[row], round(score, 4), score >= floor and (not names or self.words.has(row, names)))
            for row, score in zip(rows[order].tolist(), scores[order].tolist(), strict=True)
        )

    def dump(self) -> bytes:
        """What `load` makes the same index of; about 800 bytes an issue and five for each of its words."""
        ids = list(self.rows)
        rows = np.array([self.rows[each] for each in ids], np.intp)
        words, texts = self.words.dump(rows)
        head = {"format": FORMAT, "encoder": _mark(self.vectors), "ids": ids, "words": words}
        arrays: Tensors = {
            "head": np.frombuffer(json.dumps(head).encode(), np.uint8),
            "times": np.frombuffer(self.times, np.float64)[rows],
            **texts,
        }
        if self.vectors is not None:
            arrays |= {"codes": self.codes[rows], "scales": self.scales[rows]}
        return write_tensors(arrays)

    def _alike(self, meaning: Floats) -> Floats:
        """Cosine of each row's text and title to the query's."""
        result = np.empty(self.scales.shape, np.float32)
        for start in range(0, len(result), BLOCK):
            span = slice(start, start + BLOCK)
            for part in (0, 1):
                result[span, part] = self.codes[span, part].astype(np.float32) @ meaning[part]
        return result * self.scales


def load(data: bytes, vectors: VectorCache | None) -> Index:
    """A dumped index. Raises ConfigurationError `index_damaged`, and `index_stale` for one by another encoder."""
    index = Index(vectors)
    try:
        found = read_tensors(data)
        if len(found["head"]) > HEAD_BYTES:
            raise ValueError("its page is too long")
        head = json.loads(found["head"].tobytes())
        if head["format"] != FORMAT or head["encoder"] != _mark(vectors):
            raise ConfigurationError("index_stale", "the index was made in another way", hint="build it anew")
        ids = head["ids"]
        if len(set(ids)) < len(ids) or not all(isinstance(each, str) for each in ids):
            raise ValueError("its ids are not distinct texts")
        if found["sizes"].shape != (len(ids),) or len(head["words"]) > WORDS_KEPT:
            raise ValueError("not as many texts as ids, or too many words")
        index.words.load(head["words"], found)
        index.rows = {each: row for row, each in enumerate(ids)}
        index.ids, index.alive = ids, bytearray(b"\1" * len(ids))
        index.times = array("d", _shaped(found["times"], (len(ids),), np.float64))
        if vectors is not None:
            index.codes = _shaped(found["codes"], (len(ids), 2, WIDTH), np.int8).copy()
            index.scales = _shaped(found["scales"], (len(ids), 2), np.float32).copy()
    except ConfigurationError as error:
        raise error if error.code == "index_stale" else _damaged(error.message) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(str(error)) from None
    return index


def _damaged(what: str) -> ConfigurationError:
    return ConfigurationError("index_damaged", f"the index of past issues is damaged: {what}", hint="build it anew")


def _shaped(array: NDArray[Any], shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """The array as it has to be. Raises ValueError."""
    if array.shape != shape or array.dtype != dtype:
        raise ValueError("an array has another shape or type")
    if dtype == np.float32 and not np.isfinite(array).all():
        raise ValueError("an array holds what is no number")
    return array


def _mark(vectors: VectorCache | None) -> str:
    return "" if vectors is None else vectors.mark


def seconds_of(time: str) -> float:
    """An ISO time as seconds since 1970, in UTC unless it says otherwise; NaN for what is none."""
    try:
        moment = datetime.fromisoformat(time.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _meanings(
    vectors: VectorCache, texts: Sequence[tuple[str, str]], done: Callable[[int], None] = lambda count: None
) -> Iterator[Floats]:
    """(n, 2, 384), block by block: of each whole text and of its title."""
    for start in range(0, len(texts), BLOCK):
        block = texts[start : start + BLOCK]
        both = [each for title, body in block for each in (spoken(title, body), spoken(title, ""))]
        yield vectors.views(both, done=done)[:, LIKE].reshape(-1, 2, WIDTH)


def _packed(meanings: Floats) -> tuple[NDArray[np.int8], Floats]:
    """In eight bits, with a scale for each vector."""
    scales = np.maximum(np.abs(meanings).max(axis=2), np.float32(1e-12)) / np.float32(127)
    return np.rint(meanings / scales[:, :, None]).astype(np.int8), scales

"""Texts -> an inverted index that grows and shrinks one text at a time, and the texts that share a query's rare words.

Source: "The Probabilistic Relevance Framework: BM25 and Beyond" (Robertson, Zaragoza), the title as a weighted field.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bot.offline.filewords import PART

Floats = NDArray[np.float32]

K1, B = 1.5, 0.75
TITLE = 3
"""How often a word of the title counts."""
HEAD, BODY = 1_000, 6_000
"""Characters of the title and of the body that are indexed."""
MOST = 255
"""Of one word in one text."""
QUERY = 100
"""Words of a query that are looked up, rarest first."""
LONGEST = 60
"""Characters of a word; what is longer is a hash or a blob, and is cut."""
_WORD = re.compile(r"\d+(?:\.\d+)+|\w+")
_NUMBER = re.compile(r"\d+(?:\.\d+)*")
_DOTTED = re.compile(r"\b[^\W\d]\w*(?:\.[^\W\d]\w*)+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2,}")


def words_of(text: str) -> Iterator[str]:
    """Lower-case words; an identifier as a whole and its parts, and two neighbours each where nothing parts words."""
    for found in _WORD.finditer(text):
        word = found[0][:LONGEST]
        if _CJK.search(word):
            yield from (word[at : at + 2] for at in range(len(word) - 1))
            continue
        parts = PART.findall(word)
        yield _stem(word.lower())
        if len(parts) > 1 and not word[0].isdigit():
            yield from (_stem(each.lower()) for each in parts if len(each) > 1)


def counts_of(title: str, body: str) -> Mapping[str, int]:
    """Word -> how often, the title's several times, at most 255."""
    counts: Counter[str] = Counter(words_of(body[:BODY]))
    for word in words_of(title[:HEAD]):
        counts[word] += TITLE
    return {word: min(count, MOST) for word, count in counts.items()}


def names_of(title: str) -> frozenset[str]:
    """Words of a title that tell it from its like: versions, numbers, and of hosts and files a part."""
    found = {max(each[0].split(".")[:-1], key=len) for each in _DOTTED.finditer(title[:HEAD])}
    return frozenset(_stem(each.lower()) for each in found | {each[0] for each in _NUMBER.finditer(title[:HEAD])})


class Bm25:
    """Word -> rows that have it. A row is a text's number, given in order and never used again."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._rows: list[array[int]] = []
        self._tfs: list[array[int]] = []
        self._df: list[int] = []
        """By the word's number: rows that have it, how often, and in how many texts that were not removed it is."""
        self._texts: list[array[int]] = []
        """Row -> its words' numbers."""
        self._lengths = array("f")
        self._total, self._alive = 0.0, 0

    def __len__(self) -> int:
        """Rows ever given, removed ones among them."""
        return len(self._lengths)

    def add(self, counts: Mapping[str, int]) -> int:
        """Put a text in; returns its row."""
        row = len(self)
        numbers = array("I", [self._numbers.setdefault(word, len(self._numbers)) for word in counts])
        for _ in range(len(self._numbers) - len(self._rows)):
            self._rows.append(array("I"))
            self._tfs.append(array("B"))
            self._df.append(0)
        for number, count in zip(numbers, counts.values(), strict=True):
            self._rows[number].append(row)
            self._tfs[number].append(count)
            self._df[number] += 1
        self._texts.append(numbers)
        self._lengths.append(sum(counts.values()))
        self._total += self._lengths[row]
        self._alive += 1
        return row

    def remove(self, row: int) -> None:
        """Take a text out: it counts for nothing from now on, and its score means nothing."""
        for number in self._texts[row]:
            self._df[number] -= 1
        self._texts[row] = array("I")
        self._total -= self._lengths[row]
        self._alive -= 1

    def dump(self, rows: NDArray[np.intp]) -> tuple[list[str], dict[str, NDArray[Any]]]:
        """Words, and three arrays: of each of these rows how many words, and of each of those its number and count."""
        sizes = np.array([len(self._texts[row]) for row in rows], np.uint32)
        numbers = np.concatenate(
            [np.zeros(0, np.uint32), *(np.frombuffer(self._texts[row], np.uint32) for row in rows)]
        )
        owners = np.repeat(rows, sizes)
        counts = np.zeros(len(numbers), np.uint8)
        order = np.lexsort((owners, numbers))  # as the lists are: by word, then by row
        alive = np.zeros(len(self), np.bool_)
        alive[rows] = True
        lists = zip(self._rows, self._tfs, strict=True)
        kept = (np.frombuffer(tfs, np.uint8)[alive[np.frombuffer(at, np.uint32)]] for at, tfs in lists)
        counts[order] = np.concatenate([np.zeros(0, np.uint8), *kept])
        return list(self._numbers), {"sizes": sizes, "numbers": numbers, "counts": counts}

    def load(self, words: Sequence[str], found: Mapping[str, NDArray[Any]]) -> None:
        """Take in what `dump` gave. Raises ValueError, KeyError."""
        sizes, numbers, counts = (found[each] for each in ("sizes", "numbers", "counts"))
        if [each.dtype.str for each in (sizes, numbers, counts)] != ["<u4", "<u4", "|u1"]:
            raise ValueError("its words are of other types")
        if numbers.shape != counts.shape or numbers.ndim != 1 or int(sizes.sum(dtype=np.int64)) != len(numbers):
            raise ValueError("its words don't add up")
        if len(set(words)) < len(words) or (len(numbers) and int(numbers.max()) >= len(words)):
            raise ValueError("a word has no name, or two the same")
        order = np.argsort(numbers, kind="stable")
        rows, tfs = np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)[order], counts[order]
        self._df = np.bincount(numbers, minlength=len(words)).tolist()
        self._rows, self._tfs = _split(rows, self._df), _split(tfs, self._df)
        self._texts = _split(numbers, sizes)
        lengths = np.bincount(np.repeat(np.arange(len(sizes)), sizes), counts, minlength=len(sizes))
        self._lengths = array("f", lengths.astype(np.float32).tobytes())
        self._numbers = {word: number for number, word in enumerate(words)}
        self._total, self._alive = float(lengths.sum()), len(sizes)

    def scores(self, counts: Mapping[str, int]) -> Floats:
        """One score for each row, 0 for those that share no word."""
        result = np.zeros(len(self), np.float32)
        damp = _damp(np.frombuffer(self._lengths, np.float32), self._total / max(self._alive, 1))
        for word, weight in self._weighted(counts):
            number = self._numbers[word]
            rows = np.frombuffer(self._rows[number], np.uint32)
            tfs = np.frombuffer(self._tfs[number], np.uint8).astype(np.float32)
            result[rows] += np.float32(weight) * tfs / (tfs + damp[rows])
        return result

    def has(self, row: int, words: Collection[str]) -> bool:
        """Whether that text has one of the words."""
        numbers = {self._numbers[word] for word in words if word in self._numbers}
        return not numbers.isdisjoint(self._texts[row])

    def own(self, counts: Mapping[str, int]) -> float:
        """The score that a text with the same words would have."""
        damp = float(_damp(np.array([sum(counts.values())], np.float32), self._total / max(self._alive, 1))[0])
        return sum(
            weight * counts[word] / (counts[word] + damp) for word, weight in self._weighted(counts, known=False)
        )

    def _weighted(self, counts: Mapping[str, int], *, known: bool = True) -> list[tuple[str, float]]:
        """The rarest words, only those that somebody has or all, and what sharing each is worth."""
        found = []
        for word in counts:
            df = self._df[self._numbers[word]] if word in self._numbers else 0
            if df > 0 or not known:
                found.append((word, float(np.log1p((self._alive - df + 0.5) / (df + 0.5)))))
        return sorted(found, key=lambda each: (-each[1], each[0]))[:QUERY]


def _damp(lengths: Floats, mean: float) -> Floats:
    """By how much a word's count is damped in texts of these lengths, where texts have this length in the mean."""
    return np.float32(K1) * (1 - np.float32(B) + np.float32(B / max(mean, 1.0)) * lengths)


def _split(values: NDArray[Any], sizes: Sequence[int] | NDArray[Any]) -> list[array[int]]:
    """Consecutive parts of these sizes."""
    parts = np.split(values, np.cumsum(sizes)[:-1]) if len(sizes) else []
    kind = "B" if values.dtype == np.uint8 else "I"
    return [array(kind, each.tobytes()) for each in parts]


def _stem(word: str) -> str:
    """Singular and plural are one word."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word

"""Paths and texts of a checkout -> an index, and a question -> the files that it is most likely about.

Source: BM25F (Zaragoza and others, "Microsoft Cambridge at TREC-13"): words of the path and of the text are two fields
of one document. Files that the question names come first. Works with paths alone.
"""

from __future__ import annotations

import os
import stat
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.offline.filekinds import PRIORS, Kind, kind_by_content, kind_of
from bot.offline.filewords import identifiers_of, parts_of, words_of_path, words_of_question
from bot.offline.mentions import Names
from bot.types.triage import RelevantFile

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Read = Callable[[str], bytes | None]

FILE_LIMIT = 256 * 1024
"""Bytes of the largest file whose text is read."""
TOTAL_LIMIT = 40 * 1024 * 1024
"""Bytes of all texts that are read."""
FILES = 20_000
"""Files that are indexed."""
WORDS = 4_000
"""Distinct identifiers of a file that are kept, most frequent first."""
PATH_WEIGHT = 12.0
"""How often a word of the path counts; it and the numbers below were chosen on the histories of six repositories."""
K1, B = 2.0, 0.35
MENTIONED = 1.0
"""What a plain mention is worth, in best scores by words."""
UNREAD: frozenset[Kind] = frozenset(("binary", "lock", "vendored"))
"""Kinds of which only the path is indexed."""


@dataclass(frozen=True)
class FileIndex:
    """Words of files, ready to be asked."""

    paths: tuple[str, ...]
    """Path of each row."""
    priors: Floats
    """How likely work happens there at all, 0 to 1."""
    lengths: Floats
    """Words of each text."""
    identifiers: Mapping[str, Sequence[int]]
    """Word -> numbers of the identifiers that have it as a part. They are put together only when they are asked for."""
    starts: NDArray[np.int64]
    """Number of an identifier -> where its entries begin in the two below."""
    rows: Rows
    """Row of each entry."""
    often: Floats
    """How often the row's text has the identifier."""
    named: Mapping[str, tuple[array[int], array[float]]]
    """Word -> rows whose path has it, and how often."""
    names: Names
    """Where names of files lead."""


@dataclass(frozen=True)
class FileWords:
    """What is kept of a file."""

    kind: Kind
    """What kind it is."""
    counts: Mapping[bytes, int]
    """Identifier -> how often."""


def build(paths: Iterable[str], read: Read) -> FileIndex:
    """An index of the paths and of the texts that `read` gives; None of it leaves a file with its path alone."""
    shown = [path for path in paths if path and _is_utf8(path)]
    # Where there is too much, programs matter more than what lies beside them.
    chosen = sorted(dict.fromkeys(shown), key=lambda path: -PRIORS[kind_of(path)])[:FILES]
    left, words = TOTAL_LIMIT, dict[str, FileWords]()
    for path in chosen:
        kind = kind_of(path)
        data = read(path) if left > 0 and kind not in UNREAD else None
        left -= len(data or b"")
        words[path] = words_of_file(kind, data)
    return index_of([(path, words[path]) for path in dict.fromkeys(shown) if path in words])


def words_of_file(kind: Kind, data: bytes | None) -> FileWords:
    """What is kept of a file's text; nothing of one that is too large or that nobody wrote."""
    if data is None or len(data) > FILE_LIMIT:
        return FileWords(kind, {})
    kind = kind_by_content(kind, data)
    if kind in ("binary", "generated"):
        return FileWords(kind, {})
    counts = identifiers_of(data)
    return FileWords(kind, dict(counts.most_common(WORDS)) if len(counts) > WORDS else dict(counts))


def index_of(rows: Sequence[tuple[str, FileWords]]) -> FileIndex:
    """An index of files whose words are known; a path may come with several texts."""
    numbers: defaultdict[bytes, int] = defaultdict()
    numbers.default_factory = numbers.__len__  # a new identifier gets the next number
    entries, often = array("i"), array("f")
    named: dict[str, tuple[array[int], array[float]]] = {}
    for row, (path, words) in enumerate(rows):
        entries.extend(map(numbers.__getitem__, words.counts))
        often.extend(words.counts.values())
        for word, count in words_of_path(path).items():
            at, counts = named.setdefault(word, (array("i"), array("f")))
            at.append(row)
            counts.append(count)
    identifiers: dict[str, list[int]] = {}
    for name, number in numbers.items():
        for word in parts_of(name.decode("ascii")):
            identifiers.setdefault(word, []).append(number)
    flat = np.frombuffer(entries, np.int32) if entries else np.zeros(0, np.int32)
    order = np.argsort(flat, kind="stable")
    sizes = [len(words.counts) for _, words in rows]
    return FileIndex(
        paths=tuple(path for path, _ in rows),
        priors=np.array([PRIORS[words.kind] for _, words in rows], dtype=np.float32),
        lengths=np.array([sum(words.counts.values()) for _, words in rows], dtype=np.float32),
        identifiers=identifiers,
        starts=np.searchsorted(flat[order], np.arange(len(numbers) + 1)),
        rows=np.repeat(np.arange(len(rows), dtype=np.int32), sizes)[order],
        often=np.array(often, dtype=np.float32)[order],
        named=named,
        names=Names([path for path, _ in rows]),
    )


def search(
    index: FileIndex, title: str, body: str, *, most: int = 5, among: NDArray[np.bool_] | None = None
) -> tuple[RelevantFile, ...]:
    """The files that a question is most likely about, best first; `among` says which rows exist. Never raises."""
    alive = np.ones(len(index.paths), dtype=np.bool_) if among is None else among
    if not alive.any() or most < 1:
        return ()
    scores = _by_words(index, words_of_question(title, body), alive) * index.priors
    scores /= max(float(scores.max()), 1e-6)
    for row, strength in index.names.mentioned(title, body, lambda row: bool(alive[row])).items():
        # Who names a test or a page means it, though less often than a program.
        scores[row] += MENTIONED * strength * (1 + float(index.priors[row])) / 2
    order = sorted(np.flatnonzero((scores > 0) & alive).tolist(), key=lambda row: (-scores[row], index.paths[row]))
    return tuple(RelevantFile(path=index.paths[row], score=round(float(scores[row]), 4)) for row in order[:most])


def _by_words(index: FileIndex, words: Mapping[str, float], alive: NDArray[np.bool_]) -> Floats:
    scores = np.zeros(len(index.paths), dtype=np.float32)
    count = int(alive.sum())
    norm = 1 - B + B * index.lengths / max(float(index.lengths[alive].mean()), 1.0)
    for word, weight in words.items():
        often = (_in_texts(index, word) / norm + PATH_WEIGHT * _in_paths(index, word)) * alive
        having = int(np.count_nonzero(often))
        if having:
            rarity = np.log1p((count - having + 0.5) / (having + 0.5))
            scores += (weight * rarity * (K1 + 1) * often / (often + K1)).astype(np.float32)
    return scores


def _in_texts(index: FileIndex, word: str) -> NDArray[np.float64]:
    """How often each row's text has a word, in whichever identifiers."""
    spans = [slice(*index.starts[number : number + 2].tolist()) for number in index.identifiers.get(word, ())]
    if not spans:
        return np.zeros(len(index.paths))
    rows = np.concatenate([index.rows[span] for span in spans])
    often = np.concatenate([index.often[span] for span in spans])
    return np.bincount(rows, weights=often, minlength=len(index.paths)).astype(np.float64)


def _in_paths(index: FileIndex, word: str) -> NDArray[np.float64]:
    found = np.zeros(len(index.paths))
    if word in index.named:
        rows, counts = index.named[word]
        found[np.array(rows)] = np.array(counts)
    return found


def paths_of(folder: Path, *, most: int = 100_000) -> tuple[str, ...]:
    """Paths of the regular files below a folder, sorted, `.git` and links left out."""
    found: list[str] = []
    for place, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name.lower() != ".git")
        for name in sorted(names):
            path = Path(place, name)
            if name.lower() != ".git" and not path.is_symlink() and path.is_file():
                found.append(path.relative_to(folder).as_posix())
        if len(found) >= most:
            break
    return tuple(sorted(found)[:most])


def reader_of(folder: Path) -> Read:
    """How to read a checkout that a stranger filled: regular files up to 256 kB, no link followed, never `.git`."""

    def read(path: str) -> bytes | None:
        parts = path.split("/")
        if "\0" in path or any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
            return None
        try:
            return _read_inside(folder, parts)
        except OSError:  # gone, a link, a device, not ours to read: all the same, its path alone is indexed
            return None

    return read


def _read_inside(folder: Path, parts: Sequence[str]) -> bytes | None:
    """Every part is opened from the one before, so that no link on the way leads out, however fast it is put there."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        handle = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode) or state.st_size > FILE_LIMIT:
            return None
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(FILE_LIMIT + 1)
    finally:
        os.close(handle)
    return data if len(data) <= FILE_LIMIT else None


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True

"""Paths and texts of a checkout -> an index, and a question -> the files that it is most likely about.

Source: BM25F (Zaragoza and others, "Microsoft Cambridge at TREC-13"): words of the path and of the text are two fields
of one document. Files that the question names come first. Works with paths alone.
"""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.offline.filekinds import PRIORS, Kind, kind_by_content, kind_of
from bot.offline.filewords import words_of_path, words_of_program, words_of_question
from bot.offline.mentions import Names
from bot.types.triage import RelevantFile

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Read = Callable[[str], bytes | None]

FILE_LIMIT = 256 * 1024
"""Bytes of the largest file whose text is read."""
TOTAL_LIMIT = 64 * 1024 * 1024
"""Bytes of all texts that are read."""
FILES = 20_000
"""Files that are indexed."""
WORDS = 4_000
"""Distinct words of a file that are kept, most frequent first."""
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
    postings: Mapping[str, tuple[Rows, Floats, Floats]]
    """Word -> rows that have it, how often in the text, how often in the path."""
    names: Names
    """Where names of files lead."""


@dataclass(frozen=True)
class FileWords:
    """What is kept of a file."""

    kind: Kind
    """What kind it is."""
    counts: Mapping[str, int]
    """Word -> how often."""


def build(paths: Iterable[str], read: Read) -> FileIndex:
    """An index of the paths and of the texts that `read` gives; None of it leaves a file with its path alone."""
    shown = [path for path in paths if path and _is_utf8(path)]
    # Where there are too many, programs matter more than what lies beside them; the order of paths stays.
    chosen = sorted(sorted(shown, key=lambda path: -PRIORS[kind_of(path)])[:FILES]) if len(shown) > FILES else shown
    left, rows = TOTAL_LIMIT, list[tuple[str, FileWords]]()
    for path in dict.fromkeys(chosen):
        kind = kind_of(path)
        data = read(path) if left > 0 and kind not in UNREAD else None
        left -= len(data or b"")
        rows.append((path, words_of_file(kind, data)))
    return index_of(rows)


def words_of_file(kind: Kind, data: bytes | None) -> FileWords:
    """What is kept of a file's text; nothing of one that is too large or that nobody wrote."""
    if data is None or len(data) > FILE_LIMIT:
        return FileWords(kind, {})
    kind = kind_by_content(kind, data)
    if kind in ("binary", "generated"):
        return FileWords(kind, {})
    counts = words_of_program(data)
    return FileWords(kind, dict(counts.most_common(WORDS)) if len(counts) > WORDS else dict(counts))


def index_of(rows: Sequence[tuple[str, FileWords]]) -> FileIndex:
    """An index of files whose words are known; a path may come with several texts."""
    gathered: dict[str, tuple[array[int], array[float], array[float]]] = {}
    for row, (path, words) in enumerate(rows):
        named = words_of_path(path)
        for word in (*words.counts, *(each for each in named if each not in words.counts)):
            entry = gathered.get(word)
            if entry is None:
                entry = gathered[word] = (array("i"), array("f"), array("f"))
            entry[0].append(row)
            entry[1].append(words.counts.get(word, 0))
            entry[2].append(named.get(word, 0))
    return FileIndex(
        paths=tuple(path for path, _ in rows),
        priors=np.array([PRIORS[words.kind] for _, words in rows], dtype=np.float32),
        lengths=np.array([sum(words.counts.values()) for _, words in rows], dtype=np.float32),
        postings={
            word: (np.frombuffer(at, np.int32), np.frombuffer(text, np.float32), np.frombuffer(path, np.float32))
            for word, (at, text, path) in gathered.items()
        },
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
        posting = index.postings.get(word)
        if posting is None:
            continue
        rows, texts, paths = posting
        kept = alive[rows]
        having = int(kept.sum())
        if not having:
            continue
        rarity = np.log1p((count - having + 0.5) / (having + 0.5))
        often = texts / norm[rows] + PATH_WEIGHT * paths
        scores[rows] += np.where(kept, weight * rarity * often * (K1 + 1) / (often + K1), 0).astype(np.float32)
    return scores


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
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_size > FILE_LIMIT:
            return None
        data = file.read(FILE_LIMIT + 1)
    return data if len(data) <= FILE_LIMIT else None


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True

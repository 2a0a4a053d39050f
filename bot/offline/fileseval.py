"""A repository's small fixes -> how often the files that they changed are found by what their messages say.

The query is a commit's message without trailers and numbers; searched is the tree of its parent, so that the fix
itself is not there; only files that were there already count. A message may name the file, as reports do: `subjects`
gives the figures for the first lines alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bot.offline.filekinds import Kind, kind_of
from bot.offline.files import UNREAD, FileWords, index_of, search

SOURCES = 3
"""Most source files that a small fix changes."""
CHANGED = 12
"""Most files of any kind that it changes."""
LOOKED_AT = 10
"""How far down the file is looked for; below it counts as not found."""
SUBJECT, LINE = 200, 1_000
"""Characters of a subject, and of a line below it."""
_FIX = re.compile(
    r"(?i)\b(?:fix(?:e[sd]|ing)?|bugs?|bugfix|hotfix|crash\w*|errors?|exceptions?|regress\w*|broken|break(?:s"
    r"|ing|age)?|wrong|"
    r"incorrect\w*|fail(?:s|ed|ing|ures?)?|avoid|prevent\w*|handle[sd]?|leak\w*|race|deadlock|hang\w*|panic\w*"
    r"|missing|"
    r"correct(?:ly|s|ed)?|don't|do not|ensure|raise[sd]?|invalid|segfault\w*|overflow|workaround)\b"
)
_CLOSES = re.compile(
    r"(?i)\b(?:clos(?:e[sd]?|ing)|fix(?:e[sd])?|resolv(?:e[sd]?|ing)|issue|bug"
    r"|gh)[ :-]*(?:[\w./-]*#|https?://\S+/issues/|gh-)\d+"
)
_ELSE = re.compile(
    r"(?i)^(?:revert|merge|bump|release|prepare|version|upgrade|v?\d+\.\d+"
    r"|(?:docs?|chore|ci|style|build|tests?|deps|refactor|lint|feat)(?:\([^)]*\))?!?:)"
    r"|\b(?:typos?|spelling|changelog|release notes|version bump|bump version|javadocs?|docstrings?|comments?"
    r"|formatting|indentation|whitespace|lint(?:er|ing)?|pre-commit|flake8|pylint|mypy|ruff|clippy|error[ -]?prone)\b"
)
"""Subjects of changes that no report asks for."""
_TRAILER = re.compile(
    r"(?i)^(?:[A-Z][A-Za-z]+(?:-[A-Za-z]+)+:\s|(?:pr-url|cc|refs?|reviewed|fixes|closes"
    r"|resolves|see also|see):?\s+\S*#?\d*\s*$|git-svn-id:|\(cherry picked)"
)
_NUMBER = re.compile(
    r"(?i)\(?(?:\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?|issue|pr|gh"
    r"|bug)\b[ :-]*)?(?:[\w.-]+/[\w.-]+)?#\d+\)?|\bgh-\d+|https?://\S+"
)


class Past(NamedTuple):
    """A commit as it is judged."""

    sha: str
    """Its name."""
    parent: str
    """The commit whose tree is searched."""
    message: str
    """Subject and body."""


class Query(NamedTuple):
    """A small fix as a question."""

    parent: str
    """The commit whose tree is searched."""
    title: str
    """The subject, cleaned."""
    body: str
    """The rest, cleaned."""
    files: frozenset[str]
    """Source files that it changed and that were there before."""


class Score(NamedTuple):
    """How well the files of a set of queries were found."""

    hit1: float
    """Share of queries with one of its files at the first place."""
    hit5: float
    """Share with one among the first five."""
    mrr: float
    """Mean of one by the place of the first found file, nothing below place ten."""
    p95_ms: float
    """Milliseconds that 95 of 100 searches take at most."""


def is_small_fix(message: str) -> bool:
    """Whether a commit's message speaks of a fix, or of an issue that it closes."""
    subject = message.partition("\n")[0][:SUBJECT]
    return not _ELSE.search(subject) and bool(_FIX.search(subject) or _CLOSES.search(message[:5_000]))


def query_of(commit: Past, changed: Sequence[tuple[str, str]]) -> Query | None:
    """The question that a commit answers; None where it changed too much, or nothing that counts.

    `changed` has the path of each file and git's letter for what happened to it.
    """
    sources = [(path, status) for path, status in changed if kind_of(path) == "source"]
    files = frozenset(path for path, status in sources if status in ("M", "D"))
    if not files or len(sources) > SOURCES or len(changed) > CHANGED:
        return None
    title, body = cleaned(commit.message)
    return Query(commit.parent, title, body, files) if len(title.split()) >= 2 else None


def cleaned(message: str) -> tuple[str, str]:
    """Subject and body without trailers, addresses and numbers of issues and pull requests."""
    subject, _, rest = message[:20_000].partition("\n")
    short = (line.strip()[:LINE] for line in rest.split("\n"))
    lines = (_NUMBER.sub(" ", line) for line in short if not _TRAILER.match(line))
    body = "\n".join(" ".join(line.split()) for line in lines).strip()
    return " ".join(_NUMBER.sub(" ", subject[:SUBJECT]).split()), body


def blobs_of(trees: Iterable[Mapping[str, str]]) -> dict[str, set[Kind]]:
    """Blob -> the kinds that its paths say it has, of all blobs whose text is worth reading."""
    found: dict[str, set[Kind]] = {}
    for path, blob in {entry for tree in trees for entry in tree.items()}:
        kind = kind_of(path)
        if kind not in UNREAD:
            found.setdefault(blob, set()).add(kind)
    return found


class Versions:
    """All versions of all files that any of the searched trees has, indexed once."""

    def __init__(self, trees: Mapping[str, Mapping[str, str]], words: Mapping[tuple[str, Kind], FileWords]) -> None:
        entries = sorted({entry for tree in trees.values() for entry in tree.items()})
        self._trees = trees
        self._rows = {entry: row for row, entry in enumerate(entries)}
        rows = ((path, blob, kind_of(path)) for path, blob in entries)
        self._index = index_of([(path, words.get((blob, kind)) or FileWords(kind, {})) for path, blob, kind in rows])

    def ranks(self, queries: Sequence[Query], *, subjects: bool = False) -> Iterator[tuple[int, float]]:
        """The place of the first found file of each query, 0 for none, and the milliseconds that the search took."""
        for query in queries:
            alive = np.zeros(len(self._rows), dtype=np.bool_)
            alive[[self._rows[entry] for entry in self._trees[query.parent].items()]] = True
            start = time.perf_counter()
            found = search(self._index, query.title, "" if subjects else query.body, most=LOOKED_AT, among=alive)
            elapsed = (time.perf_counter() - start) * 1_000
            yield next((at for at, each in enumerate(found, 1) if each.path in query.files), 0), elapsed


def score(ranks: Sequence[tuple[int, float]]) -> Score:
    """The figures of places and times; there is at least one."""
    places = [place for place, _ in ranks]
    return Score(
        hit1=sum(place == 1 for place in places) / len(places),
        hit5=sum(1 <= place <= 5 for place in places) / len(places),
        mrr=sum(1 / place for place in places if place) / len(places),
        p95_ms=float(np.percentile([elapsed for _, elapsed in ranks], 95)),
    )

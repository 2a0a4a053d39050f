"""`sandpiper triage files-eval REPO` -> how well the files of past small fixes are found by their messages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from bot.cli.output import json_option, print_json, say, table
from bot.errors import ConfigurationError
from bot.forge.local import history
from bot.offline.filekinds import Kind
from bot.offline.files import FILE_LIMIT, FILES, FileWords, words_of_file
from bot.offline.fileseval import Past, Query, Score, Versions, blobs_of, is_small_fix, query_of, score

if TYPE_CHECKING:
    from rich.progress import Progress

LOOKED_AT = 50_000
"""Commits of the history that are looked at, newest first."""
GROUP = 200
"""Commits whose changes are asked for at once."""


@click.command("files-eval")
@click.argument("repo", type=click.Path(path_type=Path))
@click.option(
    "--commits", type=click.IntRange(1, 2_000), default=200, show_default=True, help="Small fixes to look at."
)
@json_option
def files_eval(repo: Path, commits: int, as_json: bool) -> None:
    """Measure on the git history of REPO how well the files of a report are found.

    Each of the newest small fixes (one to three source files) becomes a query: its message, without trailers and
    numbers, is looked up in the files as they were before the fix.
    """
    start = time.monotonic()
    folder = history.open_history(repo)
    with _progress() as progress:
        queries = _queries(folder, commits, progress)
        versions = _versions(folder, queries, progress)
        whole = _score(versions, queries, progress, subjects=False)
        subjects = _score(versions, queries, progress, subjects=True)
    seconds = time.monotonic() - start
    if as_json:
        print_json(
            {**_fields(whole), "commits": len(queries), "seconds": round(seconds, 2), "subjects": _fields(subjects)}
        )
        return
    rows = [("query", "hit@1", "hit@5", "MRR", "p95"), _row("message", whole), _row("subject alone", subjects)]
    say(f"{len(queries)} small fixes, {seconds:.1f} s\n\n{table(rows)}")


def _queries(folder: Path, most: int, progress: Progress) -> list[Query]:
    task = progress.add_task("Looking for small fixes", total=most)
    found: list[Query] = []
    for group in _groups(folder):
        changed = history.changes(folder, [commit.sha for commit in group])
        for commit in group:
            query = query_of(commit, changed.get(commit.sha, ()))
            if query is not None and len(found) < most:
                found.append(query)
        progress.update(task, completed=len(found))
        if len(found) >= most:
            break
    if not found:
        hint = "its history was cut: run `git fetch --unshallow`" if history.is_shallow(folder) else ""
        hint = hint or "commits count that change one to three source files and whose subject speaks of a fix"
        raise ConfigurationError("no_small_fixes", "there is no small fix in the history to measure with", hint=hint)
    return found


def _groups(folder: Path) -> Iterator[list[Past]]:
    group: list[Past] = []
    for commit in history.commits(folder, most=LOOKED_AT):
        if is_small_fix(commit.message):
            group.append(Past(commit.sha, commit.parent, commit.message))
        if len(group) >= GROUP:
            yield group
            group = []
    if group:
        yield group


def _versions(folder: Path, queries: list[Query], progress: Progress) -> Versions:
    trees: dict[str, dict[str, str]] = {}
    parents = list(dict.fromkeys(query.parent for query in queries))
    for parent in progress.track(parents, description="Reading trees"):
        tree = history.tree(folder, parent)
        trees[parent] = dict(sorted(tree.items())[:FILES])
    kinds = blobs_of(trees.values())
    words: dict[tuple[str, Kind], FileWords] = {}
    texts = history.texts(folder, sorted(kinds), limit=FILE_LIMIT)
    for blob, data in progress.track(texts, total=len(kinds), description="Reading files"):
        for kind in kinds[blob]:
            words[blob, kind] = words_of_file(kind, data)
    return Versions(trees, words)


def _score(versions: Versions, queries: list[Query], progress: Progress, *, subjects: bool) -> Score:
    ranks = versions.ranks(queries, subjects=subjects)
    return score(list(progress.track(ranks, total=len(queries), description="Searching")))


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on standard error that goes away again; none where nobody watches."""
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def _fields(found: Score) -> dict[str, float]:
    return {
        "hit@1": round(found.hit1, 4),
        "hit@5": round(found.hit5, 4),
        "mrr": round(found.mrr, 4),
        "p95_ms": round(found.p95_ms, 2),
    }


def _row(name: str, found: Score) -> tuple[str, ...]:
    return name, f"{found.hit1:.3f}", f"{found.hit5:.3f}", f"{found.mrr:.3f}", f"{found.p95_ms:.1f} ms"

"""`sandpiper triage duplicates` -> for each query of a file the earlier issues most like it, and how many are right.

A query never finds itself nor what is not strictly earlier; with `dataset` in the lines, only its own data set.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from bot.cli.output import json_option, print_json, say, table
from bot.offline.corpus import Text, read_gold, read_texts
from bot.offline.encoder import chosen_encoder
from bot.offline.index import Hit, Index
from bot.offline.vectors import VectorCache
from bot.settings import load_settings

FILE = click.Path(path_type=Path, dir_okay=False)
DEPTHS = (1, 5, 10)
"""Of recall."""
PAUSE = 5.0
"""Seconds between two lines of progress."""


@dataclass(frozen=True)
class Answer:
    """What was found for one query."""

    query: Text
    """The query."""
    hits: tuple[Hit, ...]
    """Best first."""
    seconds: float
    """How long it took, the encoder's part included."""


@click.command()
@click.option("--corpus", type=FILE, required=True, help="Issues to search: JSON lines, also as .gz.")
@click.option("--queries", type=FILE, required=True, help="Issues to search for, in the same form.")
@click.option("--gold", type=FILE, help="Query id -> ids that are right, as JSON, to measure recall.")
@click.option("--encoder", type=click.Choice(["auto", "none", "minilm"]), help="Sentence encoder; else the setting.")
@click.option("--most", type=click.IntRange(1, 100), default=5, show_default=True, help="Issues for each query.")
@json_option
def duplicates(
    corpus: Path,
    queries: Path,
    gold: Path | None,
    encoder: Literal["auto", "none", "minilm"] | None,
    most: int,
    as_json: bool,
) -> None:
    """Rank possible duplicates for each query of a file.

    A line has id, title, body and created_at. Only issues created strictly before the query are ranked: a query
    without a time finds none.
    """
    settings = load_settings(os.environ, encoder=encoder)
    start = time.monotonic()
    texts, wanted, right = read_texts(corpus), read_texts(queries), read_gold(gold) if gold else None
    for name, those in (("queries", wanted), ("issues of the corpus", texts)):
        if timeless := sum(not each.entry.created_at for each in those):
            say(
                f"{timeless} of {len(those)} {name} have no created_at: nothing is earlier or later than they", err=True
            )
    opened = chosen_encoder(settings.encoder, path=settings.encoder_path, state=settings.state)
    vectors = None if opened is None else VectorCache(None, opened, most=0)
    answers = rank(texts, wanted, vectors, most=max(most, *DEPTHS) if right is not None else most)
    ids = {(each.dataset, each.entry.id): each.id for each in texts}
    result: dict[str, Any] = {
        "results": {
            str(each.query.id): [ids[each.query.dataset, hit.id] for hit in each.hits[:most]] for each in answers
        },
        "candidates": {
            str(each.query.id): [ids[each.query.dataset, hit.id] for hit in each.hits[:3] if hit.candidate]
            for each in answers
        },
        "seconds": round(time.monotonic() - start, 3),
        "p95_ms": round(1000 * percentile([each.seconds for each in answers], 0.95), 1),
        "encoder": "none" if vectors is None else vectors.name,
    }
    if right is not None:
        result |= recalls(answers, right)
    if as_json:
        print_json(result)
    else:
        _show(answers, texts, result, most)


def rank(
    corpus: Sequence[Text], queries: Sequence[Text], vectors: VectorCache | None, *, most: int
) -> tuple[Answer, ...]:
    """The answers, in the order of the queries."""
    indexes = {each: Index(vectors) for each in {text.dataset for text in corpus}}
    done = _progress("encoded", 2 * len(corpus)) if vectors is not None else lambda count: None
    for dataset, index in indexes.items():
        index.add((each.entry for each in corpus if each.dataset == dataset), done=done)
    asked = _progress("answered", len(queries))
    answers = []
    for query in queries:
        start = time.perf_counter()
        entry, index = query.entry, indexes.get(query.dataset, Index(None))
        hits: tuple[Hit, ...] = ()
        if entry.created_at:
            hits = index.search(entry.title, entry.body, before=entry.created_at, exclude={entry.id}, most=most)
        answers.append(Answer(query, hits, time.perf_counter() - start))
        asked(1)
    return tuple(answers)


def recalls(answers: Iterable[Answer], gold: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """Share of the queries in `gold` that find a right issue among the first 1, 5 and 10, in all and by data set."""
    rows = [(each, gold[each.query.entry.id]) for each in answers if each.query.entry.id in gold]
    datasets = sorted({each.query.dataset for each, _ in rows} - {""})

    def of(dataset: str | None) -> dict[str, Any]:
        those = [row for row in rows if dataset is None or row[0].query.dataset == dataset]
        found: dict[str, Any] = {"queries": len(those)}
        for depth in DEPTHS:
            hits = sum(any(hit.id in right for hit in each.hits[:depth]) for each, right in those)
            found[f"recall@{depth}"] = round(hits / len(those), 4) if those else None
        return found

    return {**of(None), "datasets": {each: of(each) for each in datasets}}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else 0.0


def _progress(verb: str, total: int) -> Callable[[int], None]:
    """Hears how many more are done, and says so now and then, on standard error."""
    count, said = 0, time.monotonic()

    def done(more: int) -> None:
        nonlocal count, said
        count += more
        if time.monotonic() - said > PAUSE:
            said = time.monotonic()
            say(f"{verb} {count} of {total} ({100 * count // max(total, 1)} %)", err=True)

    return done


def _show(answers: Iterable[Answer], texts: Iterable[Text], result: Mapping[str, Any], most: int) -> None:
    titles = {(each.dataset, each.entry.id): each.entry.title for each in texts}
    rows = [("query", "issue", "alike", "candidate", "title")]
    for each in answers:
        for hit in each.hits[:most]:
            title = titles[each.query.dataset, hit.id][:60]
            rows.append((each.query.entry.id, hit.id, f"{hit.score:.2f}", "yes" if hit.candidate else "", title))
    say(table(rows))
    say(f"\n{result['seconds']} s, 95 % of queries within {result['p95_ms']} ms, encoder {result['encoder']}")
    if "datasets" in result:
        parts = {"all": result, **result["datasets"]}
        heads = ("", "queries", *(f"recall@{depth}" for depth in DEPTHS))
        say(table([heads, *((name, *(str(part[head]) for head in heads[1:])) for name, part in parts.items())]))

"""`sandpiper triage eval` -> how well the offline model does on labelled issues of your own, as a table or as JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from bot.cli.output import json_option, print_json, say, table
from bot.errors import CallerError, ConfigurationError
from bot.offline.encoder import open_encoder
from bot.offline.evaluate import Floats, Looked, Setting, evaluate_splits
from bot.offline.evaluate import evaluate as measured
from bot.offline.labelled import read_labelled
from bot.offline.scores import Evaluation, Score
from bot.offline.splits import Split, cuts, few, folds
from bot.offline.vectors import VectorCache
from bot.settings import load_settings
from bot.telemetry.lines import inert
from bot.types.triage import ISSUE_TYPES

if TYPE_CHECKING:
    from rich.progress import Progress

FILE = click.Path(path_type=Path)
COLUMNS = ("repository", "lessons", "tested", "precision", "recall", "F1", *ISSUE_TYPES, "ECE", "coverage", "wrong")
SOURCES = {
    "pooled": "no lessons of their own, judged by those of all others together",
    "prior": "no lessons at all, judged by general experience alone",
}


@dataclass(frozen=True)
class Plan:
    """What is measured on where no file to test on is given."""

    folds: int | None
    repeats: int
    cuts: int | None
    few: int | None
    seed: int

    def rounds(self, known: Looked) -> Iterable[Sequence[Split]]:
        """Rounds of splits of one repository."""
        if self.folds:
            return [list(folds(known.kinds, self.folds, self.seed + each)) for each in range(self.repeats)]
        if self.cuts:
            times = [each.created_at for each in known.lessons]
            return [[each] for each in cuts(known.kinds, times, self.cuts)]
        return [[few(known.kinds, self.few or 0, self.seed + each)] for each in range(self.repeats)]


class Watched:
    """An encoder's memory that tells how many texts are ready."""

    def __init__(self, inner: VectorCache, ready: Callable[[int], None]) -> None:
        self.name, self.mark = inner.name, inner.mark
        self._inner, self._ready = inner, ready

    def views(self, texts: Sequence[str]) -> Floats:
        return self._inner.views(texts, done=self._ready)


@click.command("eval")
@click.option(
    "--train", type=FILE, required=True, help="CSV of issues to learn from; a header alone: the prior judges."
)
@click.option("--test", type=FILE, help="CSV of issues to measure on.")
@click.option(
    "--encoder",
    type=click.Choice(["auto", "none", "minilm"]),
    help="Sentence encoder; else the setting SANDPIPER_ENCODER.",
)
@click.option(
    "--error",
    type=click.FloatRange(0.001, 0.5),
    default=0.05,
    show_default=True,
    help="Wanted, of what is decided alone.",
)
@click.option("--folds", "fold", type=click.IntRange(2, 50), help="Without --test: cross-validation on --train.")
@click.option(
    "--cuts", "cut", type=click.IntRange(1, 20), help="Without --test: earlier issues teach, later ones test."
)
@click.option(
    "--few", type=click.IntRange(0, 10_000), help="Without --test: so many of each type teach, the rest test."
)
@click.option("--repeats", type=click.IntRange(1, 50), default=2, show_default=True, help="Of --folds and --few.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of --folds and --few.")
@json_option
def evaluate(
    train: Path,
    test: Path | None,
    encoder: str | None,
    error: float,
    fold: int | None,
    cut: int | None,
    few: int | None,
    repeats: int,
    seed: int,
    as_json: bool,
) -> None:
    """Measure the offline model on labelled issues.

    Columns repo, created_at, label, title and body, plain or gzip. Labels are told by their names (`type: bug`,
    `enhancement`, `kind/support` ...); issues whose labels name no type teach and test no type. A repository that
    --train does not have is judged by what the others teach together. The same files give the same figures.
    """
    if sum(each is not None for each in (test, fold, cut, few)) != 1:
        raise CallerError("which_test", "one of --test, --folds, --cuts and --few is needed", hint="--test FILE")
    known = read_labelled(train)
    tested = read_labelled(test) if test is not None else known
    with _progress() as progress:
        setting = _setting(encoder, error, progress)
        if test is not None:
            found = measured(known, tested, setting=setting)
        else:
            found = evaluate_splits(known, Plan(fold, repeats, cut, few, seed).rounds, setting=setting)
    if not found.repositories:
        message = f"no issue of {test or train} has a label that names a type"
        raise ConfigurationError("no_types", message, hint="labels such as bug, feature, question, type: bug")
    if as_json:
        print_json(found)
    else:
        _print(found)


def _setting(encoder: str | None, error: float, progress: Progress) -> Setting:
    settings = load_settings(os.environ)
    choice = encoder or settings.encoder
    opened = None if choice == "none" else open_encoder(path=settings.encoder_path, state=settings.state)
    task = progress.add_task("Reading", total=None)

    def watch(repository: str) -> None:
        progress.update(task, description=inert(f"Measuring {repository}"))

    if opened is not None:
        bar = progress.add_task("Texts encoded", total=None)
        vectors = Watched(VectorCache(None, opened), lambda more: progress.advance(bar, more))
        return Setting(vectors=vectors, fresh=lambda: VectorCache(None, opened), error=error, watch=watch)
    if choice == "minilm":
        hint = "run `sandpiper triage encoder --fetch`, or use --encoder none"
        raise ConfigurationError("encoder_missing", "the sentence encoder's weights are not here", hint=hint)
    return Setting(error=error, watch=watch)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Lines on standard error that go away again; none where nobody watches."""
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def _print(found: Evaluation) -> None:
    say(table(_rows(found)) + "\n")
    sure = "nothing would be decided alone"
    if found.wrong is not None:
        wanted = f"wanted {found.wanted_error:.1%}"
        sure = f"{found.coverage:.1%} would be decided alone, {found.wrong:.1%} of them wrong ({wanted})"
    say(f"calibration error {found.ece:.3f}; {sure}")
    say(
        f"encoder {found.encoder}; a repository's fit {found.fit_seconds:.2f} s CPU, "
        f"encoding {found.encode_seconds:.1f} s CPU, an issue within {found.p95_ms:.0f} ms (p95)"
    )
    for source, words in SOURCES.items():
        if names := [name for name, each in found.repositories.items() if each.source == source]:
            say(f"{words}: {', '.join(names)}")
    if found.other_labels:
        say(f"labels that name no type, not measured on: {', '.join(found.other_labels[:20])}")


def _rows(found: Evaluation) -> Iterator[tuple[str, ...]]:
    yield COLUMNS
    for name, each in found.repositories.items():
        kinds = [f"{each.types[kind].f1:.3f}" if kind in each.types else "-" for kind in ISSUE_TYPES]
        sizes = (name, str(each.lessons), str(each.tested))
        yield *sizes, *_figures(each), *kinds, *_sure(each.ece, each.coverage, each.wrong)
    yield "mean", "", "", *_figures(found.mean), "", "", "", *_sure(found.ece, found.coverage, found.wrong)


def _figures(score: Score) -> tuple[str, ...]:
    return tuple(f"{each:.3f}" for each in (score.precision, score.recall, score.f1))


def _sure(ece: float, coverage: float, error: float | None) -> tuple[str, ...]:
    return f"{ece:.3f}", f"{coverage:.1%}", "-" if error is None else f"{error:.1%}"

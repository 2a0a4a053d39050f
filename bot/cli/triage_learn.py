"""`sandpiper triage learn` -> a repository's past, read and learned now; stopped and called again, it goes on."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console

from bot.cli.output import json_option, print_json, say, table
from bot.cli.triage_open import at_repository
from bot.deps import Deps
from bot.forge.forge import checked_name
from bot.learning import Learned, open_knowledge
from bot.protocols import Observer
from bot.store.knowledge import MOST, folder_of
from bot.telemetry.display import is_log, watched_by
from bot.telemetry.lines import inert, split
from bot.types.run import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

PACE = 0.2
"""Seconds between two moves of the bar."""
LINES = 5.0
"""Seconds between two lines in a log."""


@click.command()
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--most", type=click.IntRange(1, MOST), default=MOST, show_default=True, help="Issues to read at most.")
@click.option("--encoder", type=click.Choice(["auto", "none", "minilm"]), help="Sentence encoder [SANDPIPER_ENCODER].")
@json_option
def learn(repository: str, most: int, encoder: str | None, as_json: bool) -> None:
    """Learn from a repository's past, now.

    Stopped half-way, it keeps what was read; called again, it goes on from there and reads what changed since.
    """
    start = time.monotonic()
    with at_repository(checked_name(repository), encoder=encoder) as (deps, place, settings), watching(deps) as watch:
        pace = LINES if watch is deps.watch else PACE
        known = open_knowledge(
            settings,
            place,
            deps.reader,
            watch=watch,
            most=most,
            fresh=0,
            slack=0,
            patience=math.inf,
            pace=pace,
            cancelled=deps.cancelled,
        )
        found = figures(known) | {
            "repository": place.full_name,
            "seconds": round(time.monotonic() - start, 1),
            "folder": str(folder_of(settings.state, place)),
        }
    if as_json:
        print_json(found)
    else:
        say(table((name.replace("_", " "), _shown(value)) for name, value in found.items()))
    if known.trouble is not None:
        raise known.trouble


def figures(known: Learned) -> dict[str, object]:
    """What was learned, in numbers; rates are None where too little is known to measure them."""
    measured = known.measured()
    return {
        "issues": len(known.past.issues),
        "complete": known.past.head.finished and known.trouble is None,
        "lessons": measured.lessons,
        "labels": len(measured.labels),
        "corrections": measured.corrections,
        "f1": measured.f1,
        "ece": measured.ece,
        "coverage": measured.coverage,
        "wrong": measured.error,
        "encoder": measured.encoder,
    }


def _shown(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3f}".rstrip("0").rstrip(".")
        case None | "":
            return "-"
        case int():
            return f"{value:,}"
        case _:
            return str(value)


@contextmanager
def watching(deps: Deps) -> Iterator[Observer]:
    """A bar on standard error where somebody watches it, lines elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, highlight=False)
    if is_log(console, os.environ):
        yield deps.watch
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        yield watched_by(Moving(bars), secrets=deps.secrets)


class Moving:
    """An Observer that moves a bar for each part of the work, and prints what is no part."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def notify(self, progress: Progress) -> None:
        """Show it."""
        part, done, of = (progress.facts.get(each) for each in ("part", "done", "of"))
        if not isinstance(part, str):
            for line in split(progress.text):
                self._bars.console.print(inert(line), markup=False)
            return
        if part not in self._tasks:
            self._tasks[part] = self._bars.add_task(part, total=None)
        self._bars.update(self._tasks[part], completed=float(done or 0), total=float(of or 0) or None)

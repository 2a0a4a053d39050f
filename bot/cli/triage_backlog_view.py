"""Issues as they are judged -> a bar with rate, time left and price, or lines in a log; at the end, tables."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bot.cli.sandbox_view import duration
from bot.telemetry.display import is_log
from bot.telemetry.lines import clean, inert
from bot.triage.listing import Row, Totals, in_order, priority_of, proposed, sureness, totals
from bot.triage.report import percent

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as Bar
    from rich.progress import TaskID
    from rich.table import Table

EVERY, SECONDS = 50, 15.0
"""A line of a log comes after so many issues, or seconds."""
LONG_WAIT = 3.0
"""Seconds of a wait that people are told of."""
STYLES = {"critical": "bold red", "high": "yellow", "failed": "red", "low": "dim", "info": "dim"}
SHOWN = 200
"""Rows of the table that are printed; all are in the page and in JSON."""


class Meter:
    """Shows how far the work is. As a context manager it owns the bottom line of a terminal."""

    def __init__(self, console: Console, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._total, self._clock = console, total, clock
        self._done, self._new, self._usd = 0, 0, 0.0
        self._began = self._told = clock()
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if not is_log(self._console, os.environ):
            self._bar = _bar(self._console)
            self._bar.start()
            self._task = self._bar.add_task("judging", total=self._total, more="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._done:
            self.say(self._words())

    def step(self, row: Row, *, new: bool, usd: float) -> None:
        """One issue is done; `usd` is what all cost so far."""
        self._done, self._new, self._usd = self._done + 1, self._new + new, usd
        if row.failure is not None:
            self.say(f"#{row.number}: {row.failure.message} [{row.failure.code}]")
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, more=self._words())
        elif self._done % EVERY == 0 or self._clock() - self._told >= SECONDS:
            self.say(self._words())

    def say(self, text: str) -> None:
        """A line above the bar, or one of the log."""
        self._told = self._clock()
        if self._bar is not None:
            self._bar.console.print(clean(text), markup=False)
        else:
            self._console.file.write(inert(text) + "\n")
            self._console.file.flush()

    def _words(self) -> str:
        passed = max(self._clock() - self._began, 1e-6)
        parts = [] if self._bar is not None else [f"{self._done:,} of {self._total:,} issues"]
        if self._new:
            rate = self._new / passed
            parts.append(f"{rate:.1f}/s")
            if self._done < self._total:
                parts.append(f"{duration((self._total - self._done) / rate)} left")
        if self._usd:
            parts.append(f"{self._usd:.2f} USD")
        return ", ".join(parts)


def _bar(console: Console) -> Bar:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TextColumn("{task.fields[more]}"), console=console, transient=True)


# --- at the end -------------------------------------------------------------------------------------------------


def backlog_parts(rows: Sequence[Row], *, dry_run: bool, most: int = SHOWN) -> Iterator[RenderableType]:
    """The table and its totals."""
    from rich.rule import Rule
    from rich.text import Text

    if not rows:
        yield Text("no open issue was judged")
        return
    yield _table(in_order(rows)[:most], dry_run=dry_run)
    if len(rows) > most:
        yield Text(f"... and {len(rows) - most:,} more, which --html and --json have", style="dim")
    yield Rule("totals", style="dim")
    for name, value in _totals(totals(rows), dry_run=dry_run):
        yield Text.assemble((f"{name:<12}", "bold"), clean(value))


def _totals(counts: Totals, *, dry_run: bool) -> Iterator[tuple[str, str]]:
    def listed(pairs: Sequence[tuple[str, int]]) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in pairs[:15]) or "none"

    yield "issues", f"{counts.issues:,}" + (f", {counts.failed:,} failed" if counts.failed else "")
    yield "priority", listed(counts.priorities)
    yield "type", listed(counts.types)
    yield "would label" if dry_run else "labelled", listed(counts.labels)
    if not dry_run:
        yield "written to", f"{counts.written:,} issues"
    yield "judged by", listed(counts.by)
    yield "cost", f"{counts.usage.usd:.4f} USD, {counts.usage.steps:,} calls of a model"


def _table(rows: Sequence[Row], *, dry_run: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    columns: tuple[tuple[str, dict[str, Any]], ...] = (
        ("issue", {"justify": "right", "no_wrap": True}),
        ("title", {"ratio": 5, "min_width": 20}),
        ("type", {"no_wrap": True}),
        ("priority", {"no_wrap": True}),
        ("would label" if dry_run else "labelled", {"ratio": 2, "min_width": 10}),
        ("proposed", {"ratio": 2, "min_width": 10}),
        ("sure", {"justify": "right", "no_wrap": True}),
        ("like", {"min_width": 8}),
        ("missing", {"ratio": 3, "min_width": 12}),
        ("by", {"no_wrap": True}),
    )
    lines = [(f"#{row.number}", _title(row), *_found(row)) for row in rows]
    used = [at for at in range(len(columns)) if any(line[at] for line in lines)]  # there is little room on a terminal
    for at in used:
        made.add_column(columns[at][0], **columns[at][1])
    for row, line in zip(rows, lines, strict=True):
        style = STYLES.get(priority_of(row), "")
        made.add_row(*(Text(clean(line[at]), style=style if at == 3 else "") for at in used))
    return made


def _title(row: Row) -> str:
    title = " ".join(row.title.split())
    marks = [word for word, is_so in (("[security]", row.found and row.found.security),
                                      ("[spam]", row.found and row.found.spam),
                                      ("[failed]", row.failure)) if is_so]  # fmt: skip
    return " ".join([*marks, title if len(title) <= 100 else f"{title[:99]}…"])


def _found(row: Row) -> tuple[str, ...]:
    found = row.found
    if found is None:
        return "-", "failed", "", "", "", "", "", "-"
    return (
        found.type or "-",
        found.priority,
        ", ".join(row.put_on),
        ", ".join(each.label for each in proposed(row)[:4]),
        "" if sureness(row) is None else percent(sureness(row), digits=0),
        " ".join(f"#{each.number}" for each in found.duplicates),
        ", ".join(found.missing[:4]),
        found.by,
    )

"""What the offline model measured of itself -> tables and bars for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.telemetry.lines import clean
from bot.triage.report import (
    MEASURE_HEAD,
    NOT_LEARNED,
    applied,
    bar,
    confusion_rows,
    headline,
    measure_cells,
    percent,
    policy_snippet,
    words,
)
from bot.types.triage import ISSUE_TYPES, LabelMeasure, Measured

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def report_parts(repository: str, measured: Measured, *, policy_path: str) -> Iterator[RenderableType]:
    """The whole report, part by part."""
    from rich.rule import Rule
    from rich.text import Text

    yield Rule(f"what the offline model knows of {clean(repository)}", style="dim")
    if not measured.lessons:
        yield Text(NOT_LEARNED)
        yield Text(f"Label some issues, then run: sandpiper triage learn {clean(repository)}")
        return
    for name, value, more in headline(measured):
        yield Text.assemble((f"{name:<22}", "bold"), f"{value:>8}  ", (more, "dim"))
    yield from _tables(measured)
    yield Rule("if it put labels on by itself", style="dim")
    for row in applied(measured):
        yield Text(words(row))
    yield Text(f"\nTo let it, paste this into {policy_path}; without `thresholds` they are measured anew:\n")
    yield Text("\n".join(map(clean, policy_snippet(measured).splitlines())), style="cyan")


def _tables(measured: Measured) -> Iterator[RenderableType]:
    from rich.text import Text

    if measured.types:
        yield Text("\ntypes", style="bold")
        yield _measures("type", measured.types, columns=4)
    if any(sum(row) for _, row in confusion_rows(measured)):
        yield Text("confusion: what it was (rows), what the model said (columns)", style="bold")
        yield _confusion(measured)
    if measured.bins:
        yield Text("calibration: how sure it was, and how often it was right", style="bold")
        yield _calibration(measured)
    if measured.labels:
        yield Text("labels", style="bold")
        yield _measures("label", measured.labels, columns=7)


def _table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def _measures(first: str, rows: tuple[LabelMeasure, ...], *, columns: int) -> Table:
    from rich.text import Text

    made = _table()
    made.add_column(first, overflow="fold", min_width=8)
    for name in MEASURE_HEAD[:columns]:
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("decided alone" if columns > 4 else "", no_wrap=True)
    for each in rows:
        drawn = Text(bar(each.coverage if columns > 4 else each.f1, 12), style="green")
        made.add_row(Text(clean(each.label)), *measure_cells(each)[:columns], drawn)
    return made


def _confusion(measured: Measured) -> Table:
    from rich.text import Text

    made = _table()
    made.add_column("")
    for name in ISSUE_TYPES:
        made.add_column(name, justify="right")
    for true, counts in confusion_rows(measured):
        whole = sum(counts) or 1
        cells = (
            Text(f"{count:,} {percent(count / whole, digits=0):>6}", style="green" if said == true else "")
            for said, count in zip(ISSUE_TYPES, counts, strict=True)
        )
        made.add_row(Text(true, style="bold"), *cells)
    return made


def _calibration(measured: Measured) -> Table:
    from rich.text import Text

    made = _table()
    made.add_column("sure", justify="right", no_wrap=True)
    made.add_column("right", justify="right", no_wrap=True)
    made.add_column("issues", justify="right", no_wrap=True)
    made.add_column("how often it was right", no_wrap=True, width=24)
    for sure, right, count in measured.bins:
        style = "red" if right < sure - 0.1 else "green"
        made.add_row(percent(sure), percent(right), f"{count:,}", Text(bar(right, 24), style=style))
    return made

"""What triage found about pull requests, diffs and texts -> lines on a terminal; inert for a job's log.

Strangers' and models' words are shown as they are, without control characters, and never as markup.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bot.telemetry.display import is_log
from bot.telemetry.lines import clean, inert
from bot.triage.pulls.answering import Step
from bot.triage.pulls.comment import SIGNS, counted
from bot.triage.pulls.loop import ENDINGS, Journey
from bot.triage.pulls.merging import place_of
from bot.triage.pulls.review_shape import DiffReview
from bot.types.pull import PullTriage

COLOURS = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "info": "dim",
    "ready_to_merge": "green",
    "merged": "magenta",
    "closed": "dim",
    "blocked": "bold red",
    "needs_work": "yellow",
    "needs_ci": "cyan",
    "needs_review": "blue",
    "passing": "green",
    "failing": "red",
    "pending": "cyan",
    "dim": "dim",
}
SHOWN = 12
"""Remarks, issues and files of each kind that are shown; `--json` has all."""
WORDS = 160
"""Characters of a reviewer's remark that are shown."""

Fact = tuple[str, str, str]
"""Name, value, and the word whose colour it has."""


def facts(console: Console, rows: Iterable[Fact]) -> None:
    """Names and values, a line each."""
    out(console, [grid(rows)])


def grid(rows: Iterable[Fact]) -> RenderableType:
    """Names and values in two columns; long values wrap in theirs."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value, colour in rows:
        table.add_row(name, Text(_flat(value), style=COLOURS.get(colour, "")))
    return table


def out(console: Console, parts: Iterable[RenderableType]) -> None:
    """Print; in a job's log every line is inert for GitHub's runner."""
    if not is_log(console, os.environ):
        for part in parts:
            console.print(part)
        return
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    for line in captured.get().splitlines():
        console.file.write(inert(line).rstrip() + "\n")
    console.file.flush()


def pull_parts(found: PullTriage) -> list[RenderableType]:
    """Where a pull request stands, what is in the way, what is next, what reviewers still want."""
    status = f"{SIGNS[found.status]} {found.status.replace('_', ' ')}{' (draft)' if found.draft else ''}"
    head: list[Fact] = [
        (f"#{found.number}", found.title, ""),
        ("status", status, found.status),
        ("checks", found.checks, found.checks),
        ("size", found.size, ""),
        ("feedback", counted(found), ""),
    ]
    parts = [grid(head)]
    if found.blockers:
        parts += [_heading("in the way"), grid((each.kind, each.text, "") for each in found.blockers)]
    parts += [_heading("next"), grid((each.who, each.text, "") for each in found.next_actions)]
    still = [each for each in found.feedback if each.status == "unaddressed"]
    if still:
        rows = [
            (each.severity, f"{_place(each.path, each.line)}{each.author or 'ghost'}: {_cut(each.text)}", each.severity)
            for each in still[:SHOWN]
        ]
        parts += [_heading("open remarks"), grid(rows), *_more(len(still))]
    return parts


def review_parts(found: DiffReview) -> list[RenderableType]:
    """What a review of a diff says."""
    ready = "ready to merge" if found.ready_to_merge else "not ready to merge"
    cost = f", ${found.usage.usd:.4f}" if found.usage.usd else ""
    head: list[Fact] = [
        ("review", f"{ready} ({found.files} files{cost})", "passing" if found.ready_to_merge else "needs_work"),
        ("overall", found.assessment, ""),
    ]
    parts = [grid(head)]
    if found.issues:
        rows = [
            (each.severity, f"{place_of(each)} [{each.category}, effort {each.effort}] {each.text}", each.severity)
            for each in found.issues[:SHOWN]
        ]
        parts += [_heading("issues"), grid(rows), *_more(len(found.issues))]
    if found.improvements:
        better = [
            (each.effort, f"{f'{each.path}: ' if each.path else ''}{each.text}", "") for each in found.improvements
        ]
        parts += [_heading("could be better (effort)"), grid(better[:SHOWN]), *_more(len(better))]
    if found.merge_blockers:
        parts += [_heading("before it is merged"), grid(("-", each, "") for each in found.merge_blockers)]
    if found.left_out:
        left = [("-", f"{each.path or '?'}: {each.reason}", "dim") for each in found.left_out]
        parts += [_heading("not looked at"), grid(left[:SHOWN]), *_more(len(left))]
    return parts


def plan_parts(steps: Sequence[Step]) -> list[RenderableType]:
    """What the bot would do, in order, and what it leaves to people."""
    rows = [("bot" if each.kind != "for_person" else "people", each.text, "") for each in steps]
    return [_heading("plan"), grid(rows or [("-", "Nothing is to be done.", "dim")])]


def journey_parts(journey: Journey) -> list[RenderableType]:
    """What was done, round by round, what each remark got, and why it ended."""
    rows: list[Fact] = []
    places = {each.id: f"{_place(each.path, each.line)}{each.author}" for each in journey.triage.feedback}
    for one in journey.rounds:
        for work in one.worked:
            end = f"commit {work.commit[:12]}" if work.commit else "answered" if work.ok else f"failed: {work.trouble}"
            rows.append((f"round {one.number}", f"{work.step.text} {end}", "passing" if work.ok else "failing"))
            rows += [
                ("", f"{places.get(each.feedback, each.feedback)}: {each.kind}. {_cut(each.text)}", "")
                for each in work.answers
            ]
    return [_heading("work"), grid([*rows, ("end", ENDINGS[journey.ending], "")])]


def _heading(text: str) -> RenderableType:
    return Text(f"\n{text}", style="bold underline")


def _more(number: int) -> list[RenderableType]:
    return [Text(f"and {number - SHOWN} more", style="dim")] if number > SHOWN else []


def _place(path: str, line: int | None) -> str:
    return f"{path}{f':{line}' if line else ''} " if path else ""


def _cut(text: str) -> str:
    flat = _flat(text)
    return flat if len(flat) <= WORDS else flat[: WORDS - 1] + "…"


def _flat(text: str) -> str:
    return " ".join(clean(line) for line in text.splitlines() if line.strip())

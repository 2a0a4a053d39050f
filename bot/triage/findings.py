"""What an analysis of a conversation says: the values, and how they become Markdown and issues."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from pydantic import Field

from bot.marks import marker
from bot.types.output import NewIssue
from bot.types.result import Usage
from bot.types.triage import PRIORITIES, Priority
from bot.types.value import Value
from bot.visible import visible, without_ansi

MOST = 40
"""Entries of a list."""
MOST_ISSUES = 20
"""Issues that one analysis may open."""

BY_RULES = (
    "This is a digest by rules, not a judgement: it lists what the text marks as done or to do and the errors at its "
    "end, and understands none of it."
)


UNSAID = "Nobody said how one can tell: agree on it first."


class Outstanding(Value):
    """Something that is left to do."""

    title: str
    """An imperative line."""
    summary: str = ""
    """What and where."""
    priority: Priority = "medium"
    """How urgent."""
    blocked_by: tuple[str, ...] = ()
    """What must come first."""
    acceptance: tuple[str, ...] = ()
    """How one can tell that it is done."""


class Analysis(Value):
    """Where a piece of work stands. Texts in it are a model's or a stranger's, without hidden characters."""

    summary: str = ""
    """What was wanted and where it stands."""
    completed: tuple[str, ...] = ()
    """What is done."""
    outstanding: tuple[Outstanding, ...] = ()
    """What is not, most urgent first."""
    blockers: tuple[str, ...] = ()
    """What stands in the way."""
    recommendations: tuple[str, ...] = ()
    """What to do next."""
    by: Literal["model", "rules"] = "rules"
    """A language model, or a digest by rules."""
    reason: str = ""
    """Why rules had to do, in words."""
    usage: Usage = Field(default_factory=Usage)
    """What the model cost."""


def as_line(value: Any, limit: int) -> str:
    """A text as one line without hidden characters; nothing for what is no text."""
    if not isinstance(value, str):
        return ""
    line = " ".join(visible(without_ansi(value)).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def safe(found: Analysis, *, title: Callable[[str], str], text: Callable[[str], str]) -> Analysis:
    """The same with every text made safe to post: `title` makes one plain line of it, `text` Markdown.

    Piece by piece, so that the headings around them stay what they are.
    """

    def several(items: Sequence[str]) -> tuple[str, ...]:
        return tuple(made for each in items if (made := text(each)))

    tasks = (
        each.changed(
            title=title(each.title),
            summary=text(each.summary),
            blocked_by=several(each.blocked_by),
            acceptance=several(each.acceptance),
        )
        for each in found.outstanding
    )
    return found.changed(
        summary=text(found.summary),
        completed=several(found.completed),
        outstanding=tuple(each for each in tasks if each.title),
        blockers=several(found.blockers),
        recommendations=several(found.recommendations),
        reason=title(found.reason),
    )


def report_markdown(found: Analysis, source: str, *, text: Callable[[str], str]) -> str:
    """The report of an analysis that was made safe; `text` makes Markdown of titles, which are plain."""
    lines = [f"# Where it stands: {source}", ""]
    if found.by == "rules":
        lines += [f"*{BY_RULES}*" + (f" ({found.reason})" if found.reason else ""), ""]
    lines += ["## Summary", "", found.summary or "Nothing can be said.", ""]
    lines += _section("Completed tasks", found.completed)
    lines += ["## Outstanding tasks", ""]
    for each in found.outstanding:
        heading = text(each.title)
        lines += ["### A task", "", heading] if "\n" in heading else [f"### {heading}"]
        lines += ["", *_task(each)]
    lines += [] if found.outstanding else ["None.", ""]
    lines += _section("Blockers", found.blockers)
    lines += _section("Recommendations", found.recommendations)
    return "\n".join(lines).rstrip() + "\n"


def _section(heading: str, items: Sequence[str]) -> list[str]:
    return [f"## {heading}", "", _bullets(items) or "None.", ""]


def _task(task: Outstanding) -> Iterator[str]:
    yield f"Priority: {task.priority}"
    if task.summary:
        yield from ("", task.summary)
    if task.blocked_by:
        yield from ("", "Blocked by:", "", _bullets(task.blocked_by))
    if task.acceptance:
        yield from ("", "Done when:", "", _bullets(task.acceptance, "- [ ] "))
    yield ""


def new_issues(found: Analysis, source: str) -> tuple[NewIssue, ...]:
    """An issue for each task that is left in an analysis that was made safe, most urgent first, at most 20.

    The marker is made of the source and the title, so that a second run finds what the first one opened.
    """
    made: dict[str, NewIssue] = {}
    for task in sorted(found.outstanding, key=lambda each: PRIORITIES.index(each.priority)):
        digest = hashlib.sha256(" ".join(task.title.casefold().split()).encode()).hexdigest()[:16]
        issue = NewIssue(
            key=f"issue:{digest}",
            marker=marker("task", f"{source}:{digest}"),
            title=task.title,
            body=issue_markdown(task),
            labels=(f"priority:{task.priority}",),
        )
        made.setdefault(issue.key, issue)
    return tuple(made.values())[:MOST_ISSUES]


def issue_markdown(task: Outstanding) -> str:
    """The issue's text, of a task that was made safe."""
    parts = (
        ("Summary", task.summary or "As the title says."),
        ("Priority", task.priority),
        ("Blocked By", _bullets(task.blocked_by) or "Nothing that is known."),
        ("Acceptance Criteria", _bullets(task.acceptance or (UNSAID,), "- [ ] ")),
    )
    return "\n\n".join(f"## {heading}\n\n{text}" for heading, text in parts)


def _bullets(items: Sequence[str], mark: str = "- ") -> str:
    """A list; what has several lines stays one item."""
    return "\n".join(mark + each.replace("\n", "\n  ") for each in items)

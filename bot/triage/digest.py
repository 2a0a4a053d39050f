"""A conversation -> what can be said of it without understanding it: ticked and open items, last errors, last words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bot.triage.findings import MOST, Analysis, Outstanding, as_line

END = 0.2
"""The last part of a conversation, in which an error counts as not mended."""
LINES = 200_000
"""Lines that are looked at, from the end."""
LINE = 400

_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+\[([ xX])\]\s+(\S.*)")
_TODO = re.compile(r"(?:^|[\s#/*\-\[(])(?:TODO|FIXME|XXX)\b(?:\([^)\n]{0,40}\))?\s*:?[\s\]]*(\S.*)")
_ERROR = re.compile(
    r"\b(?:[A-Z][A-Za-z]{0,60}(?:Error|Exception)\b|error:|fatal:|panic:|FAILED\b|failed with|"
    r"permission denied|command not found|blocked (?:by|on)\b|cannot|could not)",
)
_URGENT = re.compile(r"\b(?:critical|urgent|security|vulnerab|data loss|crash)", re.IGNORECASE)


def digest(texts: Sequence[str], ended: str = "") -> Analysis:
    """Rules only. Of an item that comes several times the last state counts."""
    lines = [line for text in texts for line in text.splitlines()][-LINES:]
    states = dict(_items(lines))
    done = tuple(text for text, ticked in states.items() if ticked)
    left = [text for text, ticked in states.items() if not ticked]
    left += [text for text in dict.fromkeys(_todos(lines)) if text not in states]
    errors = tuple(dict.fromkeys(_errors(lines[-max(20, int(len(lines) * END)) :])))[-10:]
    return Analysis(
        summary=_summary(texts, ended, len(done), len(left)),
        completed=done[:MOST],
        outstanding=tuple(_task(text) for text in left[:MOST]),
        blockers=errors,
        recommendations=tuple(_advice(ended, left, errors)),
    )


def _items(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    for line in lines:
        if found := _ITEM.match(line[:LINE]):
            yield as_line(found[2], 200), found[1] != " "


def _todos(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if "TODO" in line or "FIXME" in line or "XXX" in line:
            found = _TODO.search(line[:LINE])
            if found and (text := as_line(found[1], 200)):
                yield text


def _errors(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if not _ITEM.match(line[:LINE]) and _ERROR.search(line[:LINE]) and (text := as_line(line, 300)):
            yield text


def _task(text: str) -> Outstanding:
    return Outstanding(title=text, priority="high" if _URGENT.search(text) else "medium")


def _summary(texts: Sequence[str], ended: str, done: int, left: int) -> str:
    last = next((line for text in reversed(texts) if (line := as_line(_first_lines(text), 400))), "")
    parts = [f"{len(texts)} messages, {done} items ticked, {left} open."]
    parts += [f"The run ended with: {ended}."] if ended else []
    parts += [f"The last message begins: {last}"] if last else []
    return " ".join(parts)


def _first_lines(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return " ".join(lines[:3])


def _advice(ended: str, left: Sequence[str], errors: Sequence[str]) -> Iterator[str]:
    if errors:
        yield "Look at the errors near the end first: nothing after them says that they were mended."
    if left:
        yield f"Decide on the {len(left)} open items, the first one being: {left[0]}"
    if ended and ended not in ("success", "neutral"):
        yield f"Find out why the run ended with {ended} before it is started again."
    if not (errors or left):
        yield "Read the end of the conversation: no item and no error in it shows what is left."

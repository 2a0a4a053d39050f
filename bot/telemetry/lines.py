"""A stranger's text -> lines that a terminal and the job log of GitHub only show, and never obey.

GitHub's runner (actions/runner, `ActionCommand.cs`) reads every line of a job's output twice: one parser trims leading
white space and looks for `::command::` at the start, the other looks for `##[command]` anywhere. It compares by the
rules of a language, which ignore control and zero-width characters; hence those go first, and whatever else is
invisible counts as nothing between the characters of a command.
"""

from __future__ import annotations

import re

from bot.visible import visible, without_ansi

LONGEST = 2_000
"""Characters of a line that are shown; a log is no place for a minified file."""

_HALF = re.compile("[\ud800-\udfff]")
"""Half of a pair: what Python makes of a byte in a file's name that is no UTF-8."""
_BRACKET = re.compile(r"(#[^ -~]*#)([^ -~]*)(?=\[)")
_COLONS = re.compile(r"^([^!-~]*:)([^!-~]*)(?=:)")


def clean(line: str) -> str:
    """One line without escape sequences and whatever else people can't see; tabs become spaces."""
    line = without_ansi(line).replace("\t", "    ").replace("\n", "")
    kept = visible(_HALF.sub("\ufffd", line))
    return kept if len(kept) <= LONGEST else kept[: LONGEST - 1] + "…"


def inert(line: str) -> str:
    """A clean line in which neither of the runner's parsers finds a command."""
    return _COLONS.sub(r"\1 \2", _BRACKET.sub(r"\1 \2", clean(line)))


def split(text: str) -> list[str]:
    """Clean lines of a text, split wherever any reader might see the end of a line."""
    return [clean(line) for line in text.splitlines()]

"""Output of failed commands -> remarks on lines of the checkout, as compilers, linters and tracebacks name them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence, Set
from typing import Literal, NamedTuple

from bot.errors import SandboxError, TaskError
from bot.protocols import Sandbox
from bot.types.result import Annotation, CommandReport
from bot.types.sandbox import WORKSPACE

LIMIT = 50
"""Remarks of one run; a checkout with more is not mended by reading them one by one."""
MESSAGE_CHARS = 500
FILES = 100_000
"""Files of a checkout among which a named path is looked up."""

_POINTED = re.compile(r"\s*(?P<path>[^\s:(][^:(\n]{0,400}):(?P<line>\d{1,7})(?::\d{1,7})?:? +(?P<message>\S.*)")
_BRACKETED = re.compile(r"\s*(?P<path>[^\s:(][^:(\n]{0,400})\((?P<line>\d{1,7})(?:,\d{1,7})?\): +(?P<message>\S.*)")
_ARROW = re.compile(r"\s*--> (?P<path>[^:\n]{1,400}):(?P<line>\d{1,7}):\d{1,7}\s*$")
_PYTHON_FRAME = re.compile(r'\s*File "(?P<path>[^"\n]{1,400})", line (?P<line>\d{1,7})')
_PYTEST_FRAME = re.compile(r"(?P<path>[^\s:][^:\n]{0,400}):(?P<line>\d{1,7}): in \S")
_PYTEST_ERROR = re.compile(r"E {1,7}(?P<message>\S.*)")
_BARE_NAME = re.compile(r"[\w.]+")


class Spot(NamedTuple):
    """A line that an output names, and what it says about it."""

    path: str
    line: int
    message: str


def remarks(reports: Sequence[CommandReport], sandbox: Sandbox) -> tuple[Annotation, ...]:
    """Remarks of the commands that failed, on files that are there. What `before` found is judged again by `after`.

    A remark is an extra, so nothing is raised: a sandbox that is gone has no files that it could be about.
    """
    texts = [report.output for report in reports if report.output and not report.ok and report.phase != "before"]
    if not texts:
        return ()
    try:
        known = frozenset(sandbox.list_files(limit=FILES))
    except (TaskError, SandboxError):
        return ()
    found: dict[Spot, Annotation] = {}
    for spot in (each for text in texts for each in spots_of(text, known)):
        if spot not in found and len(found) < LIMIT:
            found[spot] = Annotation(path=spot.path, line=spot.line, level=_level(spot.message), message=spot.message)
    return tuple(found.values())


def spots_of(text: str, known: Set[str]) -> Iterator[Spot]:
    """Every place in a known file that an output names, with what is said about it."""
    lines = text.split("\n")
    for path, line, message in (*_traced(lines, known), *_pointed(lines)):
        place, words = _inside(path), message.strip()[:MESSAGE_CHARS]
        if place in known and line >= 1 and words:
            yield Spot(place, line, words)


def _inside(path: str) -> str:
    return posixpath.normpath(path.strip().removeprefix(f"{WORKSPACE}/"))


def _level(message: str) -> Literal["notice", "warning", "failure"]:
    word = re.split(r"[^a-z]", message.lower(), maxsplit=1)[0]
    return "notice" if word in ("note", "help", "info") else "warning" if word == "warning" else "failure"


def _pointed(lines: Sequence[str]) -> Iterator[Spot]:
    """`path:line: message`, `path(line,column): message`, and `--> path:line:column` below its message."""
    heading = said = ""
    for line in lines:
        if error := _PYTEST_ERROR.match(line):
            said = said or error["message"]
        elif arrow := _ARROW.match(line):
            yield Spot(arrow["path"], int(arrow["line"]), heading)
        elif (match := _POINTED.match(line) or _BRACKETED.match(line)) and not _PYTEST_FRAME.match(line):
            yield Spot(match["path"], int(match["line"]), _with_reason(match["message"], said))
            said = ""
        if line[:1].strip():
            heading = line


def _with_reason(message: str, said: str) -> str:
    """pytest's long form names the error's class only; the lines above it said why."""
    if not said or not _BARE_NAME.fullmatch(message):
        return message
    return said if said.startswith(message) else f"{message}: {said}"


def _traced(lines: Sequence[str], known: Set[str]) -> Iterator[Spot]:
    """Python's and pytest's short tracebacks: the innermost frame that lies in the checkout, with the error below."""
    frame: tuple[str, int] | None = None
    for line in lines:
        error = _PYTEST_ERROR.match(line)
        if match := _PYTHON_FRAME.match(line) or _PYTEST_FRAME.match(line):
            frame = (match["path"], int(match["line"])) if _inside(match["path"]) in known else frame
        elif frame and (error or line[:1].strip()):
            yield Spot(*frame, error["message"] if error else line)
            frame = None

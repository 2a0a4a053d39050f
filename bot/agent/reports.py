"""Test reports that a task's commands wrote into the sandbox -> remarks on lines, and how many tests there were.

A report is an extra and comes from code that nobody trusts: whatever is wrong with it becomes a note, never an error.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from pathspec import GitIgnoreSpec

from bot.agent.junit import Case, UnreadableReport, read_junit
from bot.agent.places import Places
from bot.agent.remarks import FILES, LIMIT, MESSAGE_CHARS, remarks, spots_of
from bot.agent.text import clean
from bot.errors import SandboxError, TaskError
from bot.protocols import Sandbox
from bot.types.result import Annotation, Outcome
from bot.types.task import Task
from bot.visible import visible

REPORTS = 200
"""Report files of one run."""
REPORT_BYTES = 10_000_000
ALL_BYTES = 50_000_000
FAILED = 1_000
"""Failed tests whose places are looked for."""
NOTES = 5
"""Reports that are named as left out."""
TITLE_CHARS = 200

Digests = Mapping[str, bytes]
"""Path of a report -> digest of its bytes."""


class _Read(NamedTuple):
    """What the reports say."""

    cases: tuple[Case, ...]
    notes: tuple[str, ...]


def reports_before(task: Task, sandbox: Sandbox) -> Digests:
    """The reports that are there before the commands run: those that stay as they are tell nothing about them."""
    if not task.reports:
        return {}
    return {path: _digest(data) for path, data in _files(task, _listed(sandbox), sandbox, [])}


def annotated(outcome: Outcome, task: Task, sandbox: Sandbox, before: Digests) -> Outcome:
    """The outcome with remarks on lines from its commands' output and test reports, and a line that counts the tests.

    Raises nothing: a sandbox that is gone has no reports.
    """
    said = remarks(outcome.reports, sandbox)
    if not task.reports:
        return outcome.changed(annotations=said)
    files = _listed(sandbox)
    read = _read(task, files, sandbox, before)
    found = tuple(_remarks_of(read.cases, Places(files)))
    marked = {(each.path, each.line) for each in found}
    both = (*found, *(each for each in said if (each.path, each.line) not in marked))[:LIMIT]
    summary = "\n\n".join(part for part in (outcome.summary, _counted(read.cases), *read.notes) if part)
    return outcome.changed(annotations=both, summary=summary)


# --- files ------------------------------------------------------------------------------------------------------


def _listed(sandbox: Sandbox) -> tuple[str, ...]:
    try:
        return tuple(sandbox.list_files(limit=FILES))
    except (TaskError, SandboxError):
        return ()


def _files(task: Task, files: Sequence[str], sandbox: Sandbox, notes: list[str]) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of each report, as far as the bounds allow."""
    try:
        spec = GitIgnoreSpec.from_lines(task.reports)
    except ValueError as error:
        notes.append(f"No test report was read: `reports` of the task has a pattern that is none ({error}).")
        return
    room = ALL_BYTES
    for path in [each for each in files if spec.match_file(each)][:REPORTS]:
        try:
            data = sandbox.read_file(path, max_bytes=min(room, REPORT_BYTES))
        except (TaskError, SandboxError) as error:
            notes.append(_note(path, error.message))
            continue
        room = max(room - len(data), 1)
        yield path, data


def _read(task: Task, files: Sequence[str], sandbox: Sandbox, before: Digests) -> _Read:
    cases: list[Case] = []
    notes: list[str] = []
    for path, data in _files(task, files, sandbox, notes):
        if before.get(path) == _digest(data):
            continue
        try:
            cases += read_junit(data)
        except UnreadableReport as error:
            notes.append(_note(path, str(error)))
    more = [f"{len(notes) - NOTES} more test reports were left out."] if len(notes) > NOTES else []
    return _Read(tuple(cases), (*notes[:NOTES], *more))


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _note(path: str, reason: str) -> str:
    shown = _flat(path, 200).replace("`", "'")
    return f"The test report `{shown}` was left out: {_flat(reason, 200)}."


# --- remarks ----------------------------------------------------------------------------------------------------


def _remarks_of(cases: Sequence[Case], places: Places) -> Iterator[Annotation]:
    """One remark for each test that failed and whose place is known; a report that tells it twice is heard once."""
    done: set[tuple[str, int, str]] = set()
    for case in islice((each for each in cases if each.verdict == "failed"), FAILED):
        place = _place(case, places)
        title = _flat(case.name or case.classname, TITLE_CHARS)
        if place is None or (*place, title) in done:
            continue
        done.add((*place, title))
        yield Annotation(path=place[0], line=place[1], level="failure", message=_message(case), title=title)
        if len(done) >= LIMIT:
            return


def _place(case: Case, places: Places) -> tuple[str, int] | None:
    """Where it failed: a line of the test's own file if its text names one, else what the report or the text says."""
    own = places.file(case.file, case.classname) if case.file else None
    own = own or places.of_class(case.classname)
    traced = list(_traced(case, places))
    for path, line in traced:
        if path == own:
            return path, line
    if own and case.file and case.line:
        return own, case.line
    if traced:
        return traced[0]
    return (own, 1) if own else None


def _traced(case: Case, places: Places) -> Iterator[tuple[str, int]]:
    for text in (case.text, case.message):
        yield from ((spot.path, spot.line) for spot in spots_of(_clean(text), places.known))
        yield from places.frames(_clean(text), case.classname)


def _message(case: Case) -> str:
    """What the report says in a word, where it is one; a runner's bare `Failed` is followed by what it prints."""
    said, text = _clean(case.message).strip(), _clean(case.text).strip()
    if text and (not said or (len(said) < 20 and "\n" not in said)):
        said = "\n".join(part for part in (said, text) if part) if not text.startswith(said) else text
    return said[:MESSAGE_CHARS] or "The test failed."


def _counted(cases: Sequence[Case]) -> str:
    if not cases:
        return ""
    counts = Counter(case.verdict for case in cases)
    parts = [f"{counts[verdict]} {verdict}" for verdict in ("passed", "failed", "skipped") if counts[verdict]]
    return f"Tests in the reports: {', '.join(parts)}."


def _clean(text: str) -> str:
    return clean(text.encode("utf-8", "replace"))


def _flat(text: str, limit: int) -> str:
    """One visible line."""
    return " ".join(visible(text).split())[:limit]

"""What a model answered about a piece of a diff -> issues on lines that the diff shows, and a verdict.

Models put prose around JSON, use other words for the same, and name lines that are not there. What was meant is taken;
what points to a file that the diff does not have is dropped, and a line that it does not show is forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bot.diffs import FileDiff
from bot.triage.asking import Unusable
from bot.triage.issues.lenient import Found, objects_in
from bot.triage.issues.reading import enum, truth
from bot.triage.pulls.feedback import cleaned
from bot.triage.pulls.review_shape import CATEGORIES, EFFORTS, SEVERITIES, Category, Effort, Improvement, Issue
from bot.types.pull import Severity

ISSUES, IMPROVEMENTS, BLOCKERS = 40, 15, 10
"""How many are taken from one answer."""
TEXT = 1_500
SUGGESTION = 10_000
SEVERITY_WORDS: Mapping[str, Severity] = {
    **dict.fromkeys(("blocker", "severe", "fatal"), "critical"),
    **dict.fromkeys(("major", "error", "important"), "high"),
    **dict.fromkeys(("moderate", "warning", "normal"), "medium"),
    **dict.fromkeys(("minor", "trivial", "nit"), "low"),
    **dict.fromkeys(("informational", "note", "suggestion", "nitpick"), "info"),
}
CATEGORY_WORDS: Mapping[str, Category] = {
    **dict.fromkeys(("logic", "correctness", "error", "error handling", "concurrency", "race", "reliability"), "bug"),
    **dict.fromkeys(("privacy", "vulnerability", "secrets"), "security"),
    **dict.fromkeys(("efficiency", "memory", "speed"), "performance"),
    **dict.fromkeys(("api", "breaking", "breaking change", "portability"), "compatibility"),
    **dict.fromkeys(("maintainability", "architecture", "complexity", "readability", "refactor"), "design"),
    **dict.fromkeys(("tests", "testing", "coverage"), "test"),
    **dict.fromkeys(("docs", "doc", "comment", "comments"), "documentation"),
    **dict.fromkeys(("formatting", "naming", "lint"), "style"),
}


class Answer(NamedTuple):
    """What a model said about one piece."""

    issues: tuple[Issue, ...]
    improvements: tuple[Improvement, ...]
    assessment: str
    ready: bool
    blockers: tuple[str, ...]
    dropped: int
    """Issues on files that the diff does not have."""


def read_answer(text: str, files: Mapping[str, FileDiff]) -> Answer:
    """Raises Unusable."""
    found = _chosen(objects_in(text))
    rows = _dicts(_any(found.value, "issues", "findings", "problems"))
    if not found.whole and not rows:
        raise Unusable("it is cut off before its first issue; be shorter")
    issues = [_issue(each, files) for each in rows[:ISSUES]]
    better = [_improvement(each, files) for each in _listed(_any(found.value, "improvements", "suggestions"))]
    return Answer(
        issues=tuple(each for each in issues if each),
        improvements=tuple(each for each in better if each)[:IMPROVEMENTS],
        assessment=_text(_any(found.value, "assessment", "overall_assessment", "summary")),
        ready=found.whole and truth(_any(found.value, "ready_to_merge", "ready", "approve")) is True,
        blockers=tuple(filter(None, map(_text, _listed(_any(found.value, "merge_blockers", "blockers")))))[:BLOCKERS],
        dropped=sum(_text(_any(each, *_TEXTS)) != "" and not issue for each, issue in zip(rows, issues, strict=False)),
    )


_TEXTS = ("text", "description", "message", "comment", "body", "title")
_KEYS = ("issues", "findings", "assessment", "overall_assessment", "ready_to_merge")


def _chosen(objects: Sequence[Found]) -> Found:
    """The object that is the answer: the fullest. A bare list of issues is one, too."""
    whole = [each for each in objects if any(name in each.value for name in _KEYS)]
    if whole:
        return max(whole, key=lambda each: sum(name in each.value for name in _KEYS))
    bare = [each.value for each in objects if _any(each.value, "path", "file") and _any(each.value, *_TEXTS)]
    if bare:
        return Found({"issues": bare}, all(each.whole for each in objects))
    raise Unusable("there is no JSON object with `issues` in it")


def _issue(row: Mapping[str, Any], files: Mapping[str, FileDiff]) -> Issue | None:
    """None where it says nothing, or is about a file that the diff does not have."""
    text, path = _text(_any(row, *_TEXTS)), _path(row, files)
    if not text or path is None:
        return None
    line = _number(_any(row, "line", "line_number", "end_line", "start_line"))
    first = _number(_any(row, "first_line", "first", "start_line"))
    place = _placed(files[path], first, line) if path else None
    suggestion = _any(row, "suggestion", "suggested_fix", "fix")
    return Issue(
        path=path,
        line=place[1] if place else None,
        first=place[0] if place else None,
        category=enum(_any(row, "category", "type"), CATEGORIES, CATEGORY_WORDS) or "bug",
        severity=enum(_any(row, "severity", "priority"), SEVERITIES, SEVERITY_WORDS) or "medium",
        text=text,
        suggestion=suggestion if place and isinstance(suggestion, str) and len(suggestion) <= SUGGESTION else None,
        effort=enum(_any(row, "effort"), EFFORTS, {}) or "medium",
    )


def _improvement(row: Any, files: Mapping[str, FileDiff]) -> Improvement | None:
    if not isinstance(row, dict):
        return Improvement(text=text) if (text := _text(row)) else None
    text = _text(_any(row, *_TEXTS, "suggestion"))
    effort: Effort = enum(_any(row, "effort"), EFFORTS, {}) or "medium"
    return Improvement(text=text, path=_path(row, files) or "", effort=effort) if text else None


def _path(row: Mapping[str, Any], files: Mapping[str, FileDiff]) -> str | None:
    """A file of the diff, empty where none is named, None where another one is."""
    given = _any(row, "path", "file", "filename")
    if given in (None, ""):
        return ""
    name = str(given).strip().strip("`\"'")
    tries = (name, name.removeprefix("./"), name.removeprefix("/"), name[2:] if name[:2] in ("a/", "b/") else name)
    return next((each for each in tries if each in files), None)


def _placed(file: FileDiff, first: int | None, line: int | None) -> tuple[int | None, int] | None:
    """Lines that one hunk shows; of several the last one if the first lies elsewhere."""
    if line is None:
        line, first = first, None
    if line is not None and first is not None and first > line:
        first, line = line, first
    hunk = next((each.head for each in file.hunks if line in each.head), None)
    if hunk is None or line is None:
        return None
    return (first if first is not None and first != line and first in hunk else None), line


# --- words and numbers as models write them ---------------------------------------------------------------------


def _any(row: Mapping[str, Any], *names: str) -> Any:
    """The first of several names that is there, however it is spelled."""
    known = {str(key).lower().replace("-", "_").replace(" ", "_"): value for key, value in row.items()}
    known |= {key.replace("_", ""): value for key, value in known.items()}
    found = (known.get(name, known.get(name.replace("_", ""))) for name in names)
    return next((each for each in found if each is not None), None)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value in (None, "", {}) else [value]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in _listed(value) if isinstance(each, dict)]


def _text(value: Any) -> str:
    return cleaned(value, TEXT) if isinstance(value, str) else ""


def _number(value: Any) -> int | None:
    """A line's number: models write `12`, `"12"`, `12.0`, `"L12"` and `"12-15"`, of which the first counts."""
    if isinstance(value, str):
        digits = value.strip().lstrip("Ll#").partition("-")[0].strip()
        value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 1 <= value < 1e9 else None

"""An issue's text and the repository's forms -> the form that it was written by, and what it leaves open.

A form's answers become the issue's body, each below a heading `### <label>`; what was left empty reads
`_No response_` (GitHub Docs, "Syntax for issue forms"). Where no form fits, a short rule for bugs speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import re2

from bot.triage.issues.form_files import FormField, IssueForm, lines_of, normal
from bot.triage.issues.signals import (
    BODY_LIMIT,
    Parts,
    has_expectation,
    has_reproduction,
    has_version,
    is_buglike,
    parts_of,
)
from bot.visible import shown

MISSING = 10
"""Most names of missing things."""
NAME_LENGTH = 80
"""Characters of such a name."""
FITS = 0.5
"""Share of a form's headings that a text must have to count as written by it."""
VERSION, STEPS, EXPECTATION = "version", "steps to reproduce", "expected and actual behaviour"
"""What a bug's text needs where no form says so."""
_NOTHING = frozenset(
    (
        "",
        "no response",
        "n/a",
        "na",
        "none",
        "-",
        "--",
        "---",
        "nothing",
        "not applicable",
        "tbd",
        "todo",
        "…",
        "x",
        "/",
    )
)
_NEEDED = re2.compile(
    r"(?i)\bversions?\b|environment|re-?produc|\bsteps\b|\bexpected|\bactual|describe the (?:bug|issue)"
)
"""Headings of a Markdown template without which a bug can't be looked at; a template does not say what it requires."""
_EVIDENCE: Mapping[str, Callable[[Parts], bool]] = {
    r"(?i)\bversions?\b|environment": has_version,
    r"(?i)re-?produc|\bsteps\b": has_reproduction,
    r"(?i)\bexpected|\bactual": has_expectation,
}
"""A heading's pattern -> what shows that the thing was said all the same, under another heading."""


def form_for(body: str, forms: Sequence[IssueForm]) -> IssueForm | None:
    """The form whose headings the text has, None if it follows none. Never raises."""
    headings = set(_sections(body, None))
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen = None
    for at, form in enumerate(forms):
        wanted = {normal(field.name) for field in form.fields}
        found = len(wanted & headings)
        if not found or found < FITS * len(wanted) or (found < 2 <= len(wanted)):
            continue
        rank = (found / len(wanted), found, -at)
        if rank > best:
            best, chosen = rank, form
    return chosen


def labels_of_form(body: str, forms: Sequence[IssueForm]) -> tuple[str, ...]:
    """Labels that the text's form put on by itself, so that nobody thought about them."""
    form = form_for(body, forms)
    return form.labels if form else ()


def missing_fields(title: str, body: str, forms: Sequence[IssueForm], *, bug: bool | None = None) -> tuple[str, ...]:
    """Names of what the text should say and does not, at most 10. Never raises.

    `bug` says whether it is a bug, None lets its words decide; a text that follows no form is only asked for
    something if it is one.
    """
    form = form_for(body, forms)
    if form is None:
        parts = parts_of(title, body)
        return _lacking(parts) if (is_buglike(parts) if bug is None else bug) else ()
    names = [normal(field.name) for field in form.fields]
    sections = _sections(body, frozenset(names))
    parts = parts_of(title, _without_given(body, form, names))
    open_ones = (
        field.name
        for field, name in zip(form.fields, names, strict=True)
        if _is_needed(field) and not _is_answered(field, sections.get(name)) and not _is_said(field, parts)
    )
    return tuple(dict.fromkeys(_cut(name) for name in open_ones))[:MISSING]


def _lacking(parts: Parts) -> tuple[str, ...]:
    checks = ((VERSION, has_version(parts)), (STEPS, has_reproduction(parts)), (EXPECTATION, has_expectation(parts)))
    return tuple(name for name, given in checks if not given)


def _is_needed(field: FormField) -> bool:
    return bool(_NEEDED.search(field.name)) if field.kind == "section" else field.required


def _is_said(field: FormField, parts: Parts) -> bool:
    """Only for templates, where people move text around; a form's own field is either filled or not."""
    if field.kind != "section":
        return False
    return any(re2.search(pattern, field.name) and shows(parts) for pattern, shows in _EVIDENCE.items())


def _is_answered(field: FormField, lines: Sequence[str] | None) -> bool:
    if lines is None:
        return False
    if field.kind == "checkboxes":
        ticked = {normal(line.partition("]")[2]) for line in lines if line.lstrip(" -*+").lower().startswith("[x]")}
        return all(normal(option) in ticked for option in field.options)
    answer = [text for text in map(normal, lines) if text]
    if field.kind == "dropdown" and " ".join(answer) in {normal(option) for option in field.options}:
        return True  # an option may be called `None` or `N/A`
    return any(not _is_given(line, field.given) for line in answer)


def _is_given(line: str, given: Sequence[str]) -> bool:
    """Whether a line says nothing, or nothing but what the form put there; `OS:` is left of `OS: [e.g. iOS]`."""
    if line in _NOTHING or line in given or not any(char.isalnum() for char in line):
        return True
    if line[:2] in ("- ", "+ ") and line[2:].strip() in _NOTHING:
        return True
    return any(each.startswith(line) and each[len(line) :].lstrip()[:1] in ("[", "(", "<") for each in given)


def _sections(body: str, names: frozenset[str] | None) -> dict[str, list[str]]:
    """Heading -> the lines below it, up to the next heading that has one of the names; None takes every heading."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line, heading in lines_of(shown(body[:BODY_LIMIT].replace("\r\n", "\n"))):
        name = normal(heading) if heading is not None else ""
        if name and (names is None or name in names):
            lines = found.setdefault(name, [])
        elif not line.lstrip().startswith(("```", "~~~")):
            lines.append(line)
    return found


def _without_given(body: str, form: IssueForm, names: Sequence[str]) -> str:
    """What the author wrote: a template's own hints show nothing."""
    given = {line for field in form.fields for line in field.given} | set(names)
    return "\n".join(line for line in body[:BODY_LIMIT].splitlines() if not line.strip() or normal(line) not in given)


def _cut(name: str) -> str:
    name = " ".join(shown(name, code=False).split())
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1].rstrip()}…"

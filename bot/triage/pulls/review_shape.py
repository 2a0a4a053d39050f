"""The review of a diff as a value, and as the JSON schema that a model answers by."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, StringConstraints

from bot.triage.asking import closed_object
from bot.types.pull import Severity
from bot.types.result import Usage
from bot.types.value import Value

Category = Literal["bug", "security", "performance", "compatibility", "design", "test", "documentation", "style"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""Worst first."""
Effort = Literal["low", "medium", "high"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
NOTHING = "No changes to review"
Words = Annotated[str, StringConstraints(max_length=2_000)]


class Issue(Value):
    """Something that is wrong with a change."""

    path: str
    """File, as the head names it; empty for the change as a whole."""
    line: int | None = Field(default=None, ge=1)
    """The line, or the last of several, as the diff shows it; None where it belongs to no line that is shown."""
    first: int | None = Field(default=None, ge=1)
    """The first of several lines, in the same hunk."""
    category: Category = "bug"
    """Of what kind."""
    severity: Severity = "medium"
    """How bad."""
    text: Words
    """What goes wrong and when; a model's words, cleaned, or ours."""
    suggestion: str | None = Field(default=None, max_length=10_000)
    """What to put in the lines' place; None where there is none."""
    effort: Effort = "medium"
    """How much work it is to mend."""
    certain: bool = False
    """Whether it was found without a model, by what stands there."""

    @property
    def is_heavy(self) -> bool:
        return self.severity in ("critical", "high")


class Improvement(Value):
    """Something that could be better, and hurts nobody as it is."""

    text: Words
    """What; a model's words, cleaned."""
    path: str = ""
    """The file, empty for the change as a whole."""
    effort: Effort = "medium"
    """How much work it is."""


class LeftOut(Value):
    """A part of the diff that was not looked at."""

    path: str
    """The file."""
    reason: str
    """Why, in words of ours."""
    benign: bool = False
    """Whether nobody reviews such a file: it is made by a program, or has no text."""


class DiffReview(Value):
    """What a review of a diff says."""

    issues: tuple[Issue, ...] = ()
    """What is wrong, worst first."""
    improvements: tuple[Improvement, ...] = ()
    """What could be better."""
    assessment: str = NOTHING
    """The whole in a few sentences; a model's words, cleaned, or ours."""
    ready_to_merge: bool = False
    """Whether nothing was found that speaks against it, and everything was looked at."""
    merge_blockers: tuple[Words, ...] = ()
    """What speaks against it."""
    files: int = 0
    """Files that were looked at."""
    left_out: tuple[LeftOut, ...] = ()
    """What was not looked at, and why."""
    dropped: int = 0
    """Findings on files that the diff does not have."""
    usage: Usage = Usage()
    """What the model cost."""
    trouble: str = ""
    """Why the model said nothing at all: an error's code; empty where it did, or where there is none."""


def answer_schema() -> dict[str, Any]:
    """JSON schema of a model's answer about one part of a diff."""
    text = {"type": "string"}
    place = {"path": text, "line": {"type": "integer"}, "first_line": {"type": ["integer", "null"]}}
    issue = {
        **place,
        "category": {"enum": list(CATEGORIES)},
        "severity": {"enum": list(SEVERITIES)},
        "text": text,
        "suggestion": {"type": ["string", "null"]},
        "effort": {"enum": list(EFFORTS)},
    }
    better = {"path": text, "text": text, "effort": {"enum": list(EFFORTS)}}
    return closed_object(
        {
            "issues": {"type": "array", "items": closed_object(issue)},
            "improvements": {"type": "array", "items": closed_object(better)},
            "assessment": text,
            "ready_to_merge": {"type": "boolean"},
            "merge_blockers": {"type": "array", "items": text},
        }
    )

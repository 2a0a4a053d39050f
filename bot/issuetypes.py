"""A label's name -> the type of issue that it stands for, by what most repositories call it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.types.triage import IssueType

NAMES: Mapping[str, IssueType] = {
    **dict.fromkeys(
        ("bug", "bugs", "defect", "regression", "crash", "bug report", "bugreport", "confirmed bug"), "bug"
    ),
    **dict.fromkeys(("possible bug", "potential bug", "unconfirmed bug", "type bug", "kind bug", "error"), "bug"),
    **dict.fromkeys(
        ("feature", "features", "enhancement", "enhancements", "feature request", "improvement"), "feature"
    ),
    **dict.fromkeys(("feature requests", "new feature", "proposal", "suggestion", "idea", "wish", "rfe"), "feature"),
    **dict.fromkeys(("feat", "request", "improvements", "type feature", "kind feature"), "feature"),
    **dict.fromkeys(
        ("question", "questions", "support", "help", "usage", "how to", "howto", "user question"), "question"
    ),
    **dict.fromkeys(
        ("support request", "help request", "usage question", "type question", "kind question"), "question"
    ),
}
"""Folded name -> type. `help wanted` is no question: it asks for contributors."""

RANKS: Mapping[str, int] = {name: rank for rank, name in enumerate(NAMES)}
"""Name -> its place in that list, the most telling first."""
_PREFIX = re.compile(r"^(?:issue[ _-]?type|type|kind|category|cat|t|c|k|issue)\s*[:/=.|-]+\s*", re.IGNORECASE)
_OTHER = re.compile(r"[^\w]+|_")


def type_of_label(label: str, types: Mapping[str, IssueType] | None = None) -> IssueType | None:
    """By the given mapping where it has the label, else by name: `type: Bug`, `kind/bug`, `T-Defect` are all bugs."""
    if types and label in types:
        return types[label]
    return NAMES.get(_folded(label))


def rank_of_label(label: str) -> int:
    """Lower for names that tell a type more plainly: `bug` before `crash`."""
    return RANKS.get(_folded(label), len(RANKS))


def _folded(label: str) -> str:
    return _OTHER.sub(" ", _PREFIX.sub("", label.strip()[:100])).strip().lower()

"""An issue and what is known about it -> the one question to a model: two messages, a schema, and what its ids mean.

Ids stand for labels, earlier issues, files and fields, so that no word of an answer can become another one. JSON
delimits what strangers wrote: no text inside can end its own string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bot.redaction import redact
from bot.triage.issues.pack import LIMIT, SCAN, one_line, packed
from bot.triage.tasks import prompt
from bot.types.event import Subject
from bot.types.model import Message
from bot.types.triage import ISSUE_TYPES, PRIORITIES, SIZES, LabelInfo, Neighbour, Posterior

TOKENS = 3_200
"""The most that a question may have, its schema included."""
BYTES_PER_TOKEN = 3
"""Fewer than any common tokenizer packs into one; exact counts would need the provider's own."""
LABELS, NEIGHBOURS, FILES, BELIEFS = 40, 3, 5, 4
TITLE, DESCRIPTION, NEIGHBOUR_TITLE, PATH = 300, 48, 100, 120
LISTED = 100
"""Labels that a policy may list."""

_AREA = re.compile(
    r"(?:(?:feature )?areas?|components?|comp|modules?|mod|packages?|pkg|sig|subsystem|scope|topic|part|a)[/:_-]\s*\S",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Known:
    """What is known about an issue before a model is asked."""

    subject: Subject
    labels: Sequence[LabelInfo] = ()
    """Labels to choose from, most likely ones first."""
    posterior: Posterior | None = None
    neighbours: Sequence[Neighbour] = ()
    files: Sequence[str] = ()
    missing: Sequence[str] = ()
    """Fields that may be missing."""


@dataclass(frozen=True)
class Ids:
    """What the ids of a question stand for."""

    labels: Mapping[str, str] = field(default_factory=dict)
    areas: Sequence[str] = ()
    """Ids of the labels that name a part of the project."""
    neighbours: Mapping[str, Neighbour] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What a model is asked."""

    messages: tuple[Message, ...]
    schema: dict[str, Any]
    ids: Ids


@dataclass(frozen=True)
class _Plan:
    """How much of everything goes in."""

    neighbours: int = NEIGHBOURS
    files: int = FILES
    text: int = LIMIT
    description: int = DESCRIPTION
    labels: int = LISTED


def is_area(label: str) -> bool:
    """Whether a label names a part of the project, as `area/docs` or `component: parser` do."""
    return _AREA.match(label) is not None


def question_of(known: Known, *, tokens: int = TOKENS) -> Question:
    """The question, as complete as its budget allows: neighbours and files go first, then text, then labels."""
    # Before anything is cut, so that no half of a secret is left; and again, lest packing joined one up.
    body = redact(packed(redact(known.subject.body[:SCAN], ())), ())
    *plans, last = _plans()
    for plan in plans:
        asked = _asked(known, body, plan)
        if size_of(asked) <= tokens:
            return asked
    return _asked(known, body, last)


def size_of(question: Question) -> int:
    """Tokens of a question, rather too many than too few."""
    schema = json.dumps(question.schema, ensure_ascii=False, separators=(",", ":"))
    texts = (*(each.content for each in question.messages), schema)
    return sum(len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 1 for text in texts)


def _plans() -> Iterator[_Plan]:
    """From all to almost nothing; the last one fits whatever the texts are."""
    plan = _Plan()
    yield plan
    for files in (2, 0):
        yield (plan := replace(plan, files=files))
    for neighbours in (1, 0):
        yield (plan := replace(plan, neighbours=neighbours))
    for text in (3_200, 2_400, 1_600, 1_000):
        yield (plan := replace(plan, text=text))
    for description in (30, 0):
        yield (plan := replace(plan, description=description))
    for text, labels in ((700, 60), (500, 40), (400, 20), (200, 12)):
        yield (plan := replace(plan, text=text, labels=labels))


def _asked(known: Known, body: str, plan: _Plan) -> Question:
    labels = known.labels[: plan.labels]
    ids = Ids(
        labels={f"l{number}": each.name for number, each in enumerate(labels, 1)},
        areas=tuple(f"l{number}" for number, each in enumerate(labels, 1) if is_area(each.name)),
        neighbours={f"n{number}": each for number, each in enumerate(known.neighbours[: plan.neighbours], 1)},
        files={f"f{number}": each for number, each in enumerate(known.files[: plan.files], 1)},
        missing={f"m{number}": each for number, each in enumerate(known.missing[:10], 1)},
    )
    listed = [_label(f"l{number}", each, plan.description) for number, each in enumerate(labels, 1)]
    system = Message(role="system", content="\n".join([prompt("triage"), *(listed or ["(none)"])]))
    user = Message(
        role="user", content=_issue(known, body if plan.text >= LIMIT else packed(body, limit=plan.text), ids)
    )
    return Question((system, user), answer_schema(ids), ids)


def _label(key: str, label: LabelInfo, most: int) -> str:
    words = one_line(label.description, most)
    return f"{key} {one_line(label.name, 50)}" + (f": {words}" if words else "")


def _issue(known: Known, text: str, ids: Ids) -> str:
    """What is empty is left out."""
    subject = known.subject
    parts: dict[str, Any] = {
        "title": one_line(redact(one_line(subject.title, SCAN), ()), TITLE),
        "text": text,
        "has": [one_line(label, 50) for label in subject.labels[:10]],
        "offline": _offline(known.posterior, ids) if known.posterior else None,
        "similar": {key: _neighbour(each) for key, each in ids.neighbours.items()},
        "files": {key: one_line(each, PATH) for key, each in ids.files.items()},
        "missing": {key: one_line(each, 60) for key, each in ids.missing.items()},
    }
    filled = {key: value for key, value in parts.items() if value or key == "text"}
    return json.dumps(filled, ensure_ascii=False, separators=(",", ":"))


def _offline(posterior: Posterior, ids: Ids) -> dict[str, Any]:
    """The offline model's guess with its margin over the next type."""
    ranked = sorted((posterior.types.get(each, 0.0) for each in ISSUE_TYPES), reverse=True)
    keys = {name: key for key, name in ids.labels.items()}
    beliefs = {keys[each.label]: round(each.probability, 2) for each in posterior.labels if each.label in keys}
    guess = {
        "type": posterior.type,
        "p": round(ranked[0], 2),
        "margin": round(ranked[0] - ranked[1], 2),
        "sure": posterior.is_sure,
        "labels": dict(list(beliefs.items())[:BELIEFS]),
    }
    return guess if beliefs else {key: value for key, value in guess.items() if key != "labels"}


def _neighbour(each: Neighbour) -> dict[str, Any]:
    state = f"closed, {each.closed_for.replace('_', ' ')}" if each.closed_for else each.state
    labels = [one_line(label, 30) for label in each.labels[:3]]
    return {
        "title": one_line(redact(each.title, ()), NEIGHBOUR_TITLE),
        "state": state,
        **({"labels": labels} if labels else {}),
    }


def answer_schema(ids: Ids) -> dict[str, Any]:
    """An object keyed by ids instead of lists of names: a model can't invent one, nor repeat it."""
    text, truth = {"type": "string"}, {"type": "boolean"}
    asked: dict[str, Any] = {
        "type": _enum(ISSUE_TYPES),
        "why": text,
        "labels": _keyed(ids.labels, {"type": "number"}),
        "area": _enum(ids.areas) if ids.areas else None,
        "priority": _enum(PRIORITIES),
        "duplicates": _keyed(ids.neighbours, truth) if ids.neighbours else None,
        "files": _keyed(ids.files, truth) if ids.files else None,
        "missing": _keyed(ids.missing, truth) if ids.missing else None,
        "reproduction": truth,
        "security": truth,
        "spam": truth,
        "language": text,
        "size": _enum(SIZES),
        "agent": truth,
        "agent_why": text,
        "summary": text,
        "question": text,
    }
    properties = {key: value for key, value in asked.items() if value is not None}
    return {"type": "object", "required": ["type", "labels"], "properties": properties}


def _enum(values: Sequence[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def _keyed(ids: Mapping[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict.fromkeys(ids, value)}

"""A model's text and the ids it was asked about -> a Reading, or Unusable with what is wrong for the one repair.

Lenient in form and strict in meaning: whatever way an answer is written, only given ids, known words and cleaned text
come out of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import Field

from bot.triage.asking import Unusable
from bot.triage.issues.lenient import Found, objects_in
from bot.triage.issues.pack import one_line
from bot.triage.issues.question import Ids
from bot.types.triage import ISSUE_TYPES, PRIORITIES, SIZES, IssueType, Priority, Probability, Size
from bot.types.value import Value

SUMMARY, QUESTION, REASON = 500, 300, 160
"""Characters of the texts."""
SURE = 0.9
"""Confidence of a plain yes."""
CHOSEN = 0.5
"""Confidence from which on a label counts as chosen."""

_TYPES: Mapping[str, IssueType] = {
    **dict.fromkeys(("bug report", "defect", "error", "regression", "crash", "fix", "incident"), "bug"),
    **dict.fromkeys(("feature request", "enhancement", "improvement", "proposal", "feat", "request"), "feature"),
    **dict.fromkeys(("support", "help", "discussion", "usage", "how to", "usage question"), "question"),
}
_PRIORITIES: Mapping[str, Priority] = {
    **dict.fromkeys(("p0", "urgent", "blocker", "highest", "severe"), "critical"),
    **dict.fromkeys(("p1", "major", "important"), "high"),
    **dict.fromkeys(("p2", "normal", "moderate", "average"), "medium"),
    **dict.fromkeys(("p3", "minor", "trivial"), "low"),
    **dict.fromkeys(("p4", "none", "informational", "lowest"), "info"),
}
_SIZES: Mapping[str, Size] = {
    **dict.fromkeys(("extra small", "tiny", "trivial"), "xs"),
    "small": "s",
    "medium": "m",
    "large": "l",
    **dict.fromkeys(("extra large", "huge", "xxl"), "xl"),
}
_YES = frozenset({"true", "yes", "y", "1", "on", "t", "correct", "same"})
_NO = frozenset({"false", "no", "n", "0", "off", "f", "null", "none", ""})
_GRADES = {"certain": 0.95, "very high": 0.95, "high": 0.9, "medium": 0.6, "low": 0.3, "very low": 0.1}
_ALIASES = {
    "label": "labels", "kind": "type", "category": "type", "issue_type": "type", "duplicate": "duplicates",
    "duplicate_of": "duplicates", "similar": "duplicates", "missing_information": "missing", "severity": "priority",
    "reason": "why", "agent_reason": "agent_why", "agent_suitable": "agent", "has_reproduction": "reproduction",
    "is_spam": "spam", "security_sensitive": "security", "is_security": "security", "relevant_files": "files",
    "effort": "size", "component": "area",
}  # fmt: skip
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-ZÀ-Þ\"'(])")
Choice = TypeVar("Choice", bound=str)


class Reading(Value):
    """What a model said, so far as it said anything that counts. None means that it said nothing."""

    type: IssueType | None = None
    labels: Mapping[str, Probability] = Field(default_factory=dict)
    """Names of chosen labels."""
    refused: tuple[str, ...] = ()
    """Names of labels that were said not to fit."""
    priority: Priority | None = None
    area: str = ""
    """A label's name."""
    duplicates: Mapping[str, bool] = Field(default_factory=dict)
    """By id, as in files and missing: those it said nothing about are not there."""
    files: Mapping[str, bool] = Field(default_factory=dict)
    missing: Mapping[str, bool] = Field(default_factory=dict)
    reproduction: bool | None = None
    security: bool | None = None
    spam: bool | None = None
    language: str = ""
    size: Size | None = None
    agent: bool | None = None
    agent_why: str = ""
    why: str = ""
    summary: str = ""
    question: str = ""


def read_answer(text: str, ids: Ids) -> Reading:
    """What the answer says. Raises Unusable where no object in it tells a type or labels.

    Of several objects that do, the last whole one counts: a model that corrects itself does so later, and one that
    quotes the issue, or an example, does so before. One that was cut off counts where there is no whole one.
    """
    objects = [Found(fitting, each.whole) for each in objects_in(text) if (fitting := _fitting(each.value, 2))]
    if not objects:
        raise Unusable(_complaint(text))
    for each in reversed([each for each in objects if each.whole] or objects):
        reading = _reading(each.value, ids)
        if reading.type or reading.labels or _says_none(each.value.get("labels")):
            return reading
    raise Unusable("`type` must be bug, feature or question, and `labels` an object of ids from the list")


def _complaint(text: str) -> str:
    if not text.strip():
        return "it is empty"
    return "there is no JSON object with `type` and `labels` in it"


def _says_none(labels: Any) -> bool:
    """Whether labels were answered, and none chosen: an object of ids, or nothing at all in one or in a list."""
    if isinstance(labels, dict):
        return all(share(value) is not None or value is None for value in labels.values())
    return isinstance(labels, list) and not labels


def _fitting(value: Mapping[str, Any], depth: int) -> dict[str, Any] | None:
    """The object with its keys as ours, or the one inside it that has them; None where there is none."""
    folded = fold(value)
    if ("type" in folded and enum(folded["type"], ISSUE_TYPES, _TYPES)) or "labels" in folded:
        return folded
    for inner in value.values() if depth else ():
        inside = [inner] if isinstance(inner, dict) else []
        if isinstance(inner, str) and "{" in inner:
            inside = [each.value for each in objects_in(inner)]
        for each in inside:
            if found := _fitting(each, depth - 1):
                return found
    return None


def fold(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its keys in our spelling."""
    keys = {key: re.sub(r"[^a-z0-9]+", "_", key.lower().strip()).strip("_") for key in value}
    ours = {keys[key]: each for key, each in value.items()}
    return {_ALIASES.get(key, key): each for key, each in ours.items() if _ALIASES.get(key, key) not in ours} | ours


def _reading(answer: Mapping[str, Any], ids: Ids) -> Reading:
    labels = _shares(answer.get("labels"), ids.labels)
    area = next(iter(_chosen(answer.get("area"), {key: ids.labels[key] for key in ids.areas})), "")
    numbers = {key: str(each.number) for key, each in ids.neighbours.items()}
    language = str(answer.get("language", "")).strip().lower().replace("_", "-").partition("-")[0]
    return Reading(
        type=enum(answer.get("type"), ISSUE_TYPES, _TYPES),
        labels={ids.labels[key]: value for key, value in labels.items() if value >= CHOSEN},
        refused=tuple(ids.labels[key] for key, value in labels.items() if value < CHOSEN),
        priority=enum(answer.get("priority"), PRIORITIES, _PRIORITIES),
        area=ids.labels.get(area, ""),
        duplicates=_marks(answer.get("duplicates"), numbers),
        files=_marks(answer.get("files"), ids.files),
        missing=_marks(answer.get("missing"), ids.missing),
        reproduction=truth(answer.get("reproduction")),
        security=truth(answer.get("security")),
        spam=truth(answer.get("spam")),
        language=language if re.fullmatch(r"[a-z]{2}", language) else "",
        size=enum(answer.get("size"), SIZES, _SIZES),
        agent=truth(answer.get("agent")),
        agent_why=prose(answer.get("agent_why"), REASON),
        why=prose(answer.get("why"), REASON),
        summary=" ".join(_SENTENCE.split(prose(answer.get("summary"), SUMMARY), 2)[:2]),
        question=_one_question(prose(answer.get("question"), QUESTION)),
    )


def _one_question(text: str) -> str:
    """Up to the first question mark: more is not asked."""
    first, mark, _ = text.partition("?")
    return first + mark


# --- values that may be written in many ways --------------------------------------------------------------------


def enum(value: Any, choices: Sequence[Choice], synonyms: Mapping[str, Choice]) -> Choice | None:
    """One of the choices, however it is spelled; None for any other word. A list or object may hold just one."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value))
    if not isinstance(value, str):
        return None
    word = " ".join(re.sub(r"[^a-z0-9]+", " ", value[:60].lower()).split())
    for choice in choices:
        if word == choice or word == f"{choice}s":
            return choice
    return synonyms.get(word)


def truth(value: Any) -> bool | None:
    """Yes or no, however it is said; None where it is neither."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return None if math.isnan(value) or math.isinf(value) else value >= CHOSEN
    if isinstance(value, str):
        word = value.strip().strip(".!\"'").lower()
        return True if word in _YES else False if word in _NO else None
    return bool(value) if isinstance(value, list | dict) and not value else None


def share(value: Any) -> float | None:
    """A confidence from 0 to 1: numbers, percentages, yes and no, high and low; None for anything else."""
    if isinstance(value, dict):
        value = next((each for key, each in fold(value).items() if key in _CONFIDENCE), None)
    if isinstance(value, bool):
        return SURE if value else 0.0
    if isinstance(value, str):
        value = _number(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value) or not 0 <= value <= 100:
        return None
    return value if value <= 1 else value / 100


_CONFIDENCE = ("confidence", "probability", "score", "value", "applies")


def _number(text: str) -> float | None:
    word = " ".join(text.strip().lower().split())
    if word in _GRADES:
        return _GRADES[word]
    found = re.fullmatch(r"([0-9]{1,3}(?:[.,][0-9]{1,10})?|[.][0-9]{1,10}) ?(%?)", word)
    if found:
        number = float(found[1].replace(",", "."))
        return number / 100 if found[2] else number
    said = truth(word)
    return None if said is None else SURE if said else 0.0


def prose(value: Any, limit: int) -> str:
    """Text in one line, without what people can't see; empty for what is no text."""
    if isinstance(value, list):
        value = " ".join(each for each in value if isinstance(each, str))
    if not isinstance(value, str) or value.strip().lower() in ("null", "none", "n/a", "-"):
        return ""
    return one_line(value, limit)


# --- objects keyed by ids, or what models make of them ----------------------------------------------------------


def _shares(value: Any, names: Mapping[str, str]) -> dict[str, float]:
    """Confidence by id; ids and names that are not in the list are left out."""
    if isinstance(value, Mapping):
        return _by_id(value, names, share)
    return dict(_listed(value, names))


def _marks(value: Any, names: Mapping[str, str]) -> dict[str, bool]:
    """Yes or no by id. A list says yes to what is in it and no to the rest."""
    if isinstance(value, Mapping):
        return _by_id(value, names, lambda each: None if (found := share(each)) is None else found >= CHOSEN)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return {}
    if isinstance(value, bool):
        return {} if value else dict.fromkeys(names, False)
    chosen = {key for key, _ in _listed(value, names)}
    return {key: key in chosen for key in names}


def _chosen(value: Any, names: Mapping[str, str]) -> tuple[str, ...]:
    """The one id that is meant, if any."""
    if isinstance(value, Mapping):
        ranked = sorted(_by_id(value, names, share).items(), key=lambda each: -each[1])
        return tuple(key for key, confidence in ranked if confidence >= CHOSEN)
    return tuple(key for key, _ in _listed(value, names))


Read = TypeVar("Read")


def _by_id(value: Mapping[str, Any], names: Mapping[str, str], read: Callable[[Any], Read | None]) -> dict[str, Read]:
    found: dict[str, Read] = {}
    for key, each in value.items():
        known, meaning = _id_of(key, names), read(each)
        if known is not None and meaning is not None:
            found[known] = meaning
    return found


def _listed(value: Any, names: Mapping[str, str]) -> list[tuple[str, float]]:
    """Ids in a list of ids or names, or of objects that hold one, or in a text with commas."""
    if isinstance(value, str):
        value = [value] if _id_of(value, names) else re.split(r"[,;\n]", value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = [value]
    found: list[tuple[str, float]] = []
    for each in value[:100] if isinstance(value, list) else ():
        confidence = SURE
        if isinstance(each, dict):
            folded = fold(each)
            said = share(folded)
            confidence = SURE if said is None else said
            each = next((folded[key] for key in ("id", "name", "labels", "number", "key") if key in folded), None)
        if (known := _id_of(each, names)) is not None:
            found.append((known, confidence))
    return found


def _id_of(value: Any, names: Mapping[str, str]) -> str | None:
    """The id that a word stands for: itself, or the name behind it, in any case."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int):
        return None
    word = str(value).strip().strip("`'\"#").casefold()
    for key, name in names.items():
        if word in (key, name.strip().casefold()):
            return key
    return None

"""A long conversation -> what is done, what is left, what blocks it and what to do next: one question to a model.

The conversation is strangers' text: it goes into the question as a JSON string, which nothing inside it can end, and
what comes back are texts without hidden characters, of bounded length and number, which no code obeys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from bot.protocols import LLM
from bot.triage.asking import Unusable, ask, closed_object
from bot.triage.digest import digest
from bot.triage.findings import MOST, Analysis, Outstanding, as_line
from bot.triage.issues.lenient import objects_in
from bot.triage.tasks import prompt
from bot.types.model import Message
from bot.types.task import Limits
from bot.types.triage import PRIORITIES, Priority
from bot.types.value import Value
from bot.visible import visible, without_ansi

TOKENS, CHARS_PER_TOKEN = 100_000, 4
LIMIT = TOKENS * CHARS_PER_TOKEN
"""Characters of a conversation that are looked at."""
HEAD = 0.2
"""The part of them that is taken from its beginning, where it says what was wanted; the rest is its end."""
GAP = "\n\n[... {} characters were cut here ...]\n\n"
ANSWER_TOKENS = 4_000
SECONDS = 180.0
"""Of a call: such a question takes a model longer than others."""
RESERVED_TOKENS = 6_000
"""Of a model's window: for the instructions and the answer."""


class Turn(Value):
    """One message of a conversation; a stranger's text."""

    role: str = Field(default="", max_length=40)
    """Who speaks, empty for a text that does not say."""
    text: str
    """What is said, calls of tools included."""


def analyze(turns: Sequence[Turn], model: LLM | None, *, ended: str = "", usd: float = 1.0) -> Analysis:
    """What a conversation came to. `ended` says how the run ended, where one is known; it may cost `usd` US dollars.

    A model is asked once, and once more where its answer can't be used; without one, and where it is of no help, the
    answer is a digest by rules, which says so. Never raises for a text.
    """
    if model is None:
        return digest([each.text for each in turns], ended).changed(reason="no model was asked")
    heard = ask(
        lambda: model,
        question(turns, ended, limit=room(model)),
        schema(),
        read_answer,
        limits=Limits(steps=2, usd=usd),
        most=ANSWER_TOKENS,
        seconds=SECONDS,
    )
    if heard.meaning is not None:
        return heard.meaning.changed(usage=heard.usage, by="model")
    found = digest([each.text for each in turns], ended)
    return found.changed(reason=f"the model was of no help: {heard.trouble}", usage=heard.usage)


def room(model: LLM) -> int:
    """Characters of a conversation that fit: the limit, or fewer where the model's window is smaller."""
    return max(2_000, min(LIMIT, (model.window - RESERVED_TOKENS) * 3))


def question(turns: Sequence[Turn], ended: str, *, limit: int = LIMIT) -> tuple[Message, Message]:
    """The two messages of the question."""
    data = {"ended": ended, "conversation": cut(transcript(turns), limit)}
    text = json.dumps(data, ensure_ascii=False)
    return Message(role="system", content=prompt("analyze")), Message(role="user", content=text)


def transcript(turns: Iterable[Turn]) -> str:
    """The whole conversation as one text that a person could read."""
    parts = (f"[{each.role}]\n{each.text.strip()}" if each.role else each.text for each in turns)
    return visible(without_ansi("\n\n".join(parts).replace("\r\n", "\n")))


def cut(text: str, limit: int = LIMIT) -> str:
    """A text of at most `limit` characters: its first fifth of them, a line that says what is missing, its end."""
    if len(text) <= limit:
        return text
    head = int(limit * HEAD)
    gap = GAP.format(len(text))  # as long as the line will be at the most
    tail = limit - head - len(gap)
    if tail <= 0:
        return text[:head] + text[len(text) - (limit - head) :]
    return text[:head] + GAP.format(len(text) - head - tail) + text[len(text) - tail :]


# --- reading a conversation -------------------------------------------------------------------------------------


def read_turns(data: bytes) -> tuple[Turn, ...]:
    """A conversation in a file: a JSON list of messages, an object with `messages`, JSON lines, or plain text."""
    text = data.decode("utf-8-sig", "replace")
    messages = _messages(text)
    if messages is None:
        return (Turn(text=text),) if text.strip() else ()
    turns = (_turn(each) for each in messages)
    return tuple(each for each in turns if each is not None)


def _messages(text: str) -> list[Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _lines(text)
    if isinstance(value, dict):
        value = next((value[key] for key in ("messages", "trajectory", "conversation") if key in value), [value])
    return value if isinstance(value, list) and any(isinstance(each, dict) for each in value) else None


def _lines(text: str) -> list[Any] | None:
    """JSON lines; one that is no JSON makes the whole a text."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not lines[0].lstrip().startswith("{"):
        return None
    try:
        return [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return None


def _turn(message: Any) -> Turn | None:
    if isinstance(message, str):
        return Turn(text=message)
    if not isinstance(message, dict):
        return None
    inner = message.get("message")
    fields = inner if isinstance(inner, dict) else message
    parts = [_text(fields.get("content", fields.get("text", inner)))]
    calls = fields.get("tool_calls")
    parts += [_call(each) for each in calls if isinstance(each, dict)] if isinstance(calls, list) else []
    role = fields.get("role") or message.get("type") or ""
    text = "\n".join(part for part in parts if part)
    return Turn(role=str(role)[:40], text=text) if text else None


def _text(content: Any) -> str:
    """Text of a message: a string, or a list of parts as providers send them."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, map(_text, content)))
    if isinstance(content, dict):
        inner = content.get("text", content.get("content", content.get("thinking")))
        if inner is not None:
            return _text(inner)
        return _call(content) if "name" in content else ""
    return ""


def _call(call: Mapping[str, Any]) -> str:
    made = call.get("function")
    function = made if isinstance(made, dict) else call
    arguments = function.get("arguments", function.get("input", ""))
    shown = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
    return f"calls {function.get('name', 'a tool')}: {shown}"


# --- reading an answer ------------------------------------------------------------------------------------------


def schema() -> dict[str, Any]:
    """The answer's shape."""
    texts = {"type": "array", "items": {"type": "string"}}
    task = closed_object(
        {
            "title": {"type": "string"},
            "summary": {"type": "string"},
            "priority": {"type": "string", "enum": list(PRIORITIES)},
            "blocked_by": texts,
            "acceptance": texts,
        }
    )
    lists = dict.fromkeys(("completed", "blockers", "recommendations"), texts)
    return closed_object({"summary": {"type": "string"}, "outstanding": {"type": "array", "items": task}, **lists})


def read_answer(text: str) -> Analysis:
    """What the model found, whatever else it wrote around it. Raises Unusable."""
    wanted = schema()["properties"].keys()
    for found in objects_in(text):
        value = found.value
        if not value.keys() & wanted:
            continue
        summary = as_line(value.get("summary"), 1_000)
        if not found.whole and not summary:
            raise Unusable("it is cut off: write less")
        if not summary:
            raise Unusable("`summary` is missing")
        return Analysis(
            summary=summary,
            completed=_listed(value.get("completed")),
            outstanding=_outstanding(value.get("outstanding")),
            blockers=_listed(value.get("blockers")),
            recommendations=_listed(value.get("recommendations")),
        )
    raise Unusable("there is no JSON object with those fields in it")


def _listed(value: Any, most: int = MOST) -> tuple[str, ...]:
    """Texts of a list, also where a model wrote one text, or objects with a text."""
    items = value if isinstance(value, list) else [value]
    texts = (each.get("title") or each.get("text") or "" if isinstance(each, dict) else each for each in items)
    return tuple(dict.fromkeys(line for each in texts if (line := as_line(each, 500))))[:most]


def _outstanding(value: Any) -> tuple[Outstanding, ...]:
    items = value if isinstance(value, list) else [value]
    tasks = (each if isinstance(each, dict) else {"title": each} for each in items)
    made: dict[str, Outstanding] = {}
    for each in tasks:
        if not (title := as_line(each.get("title"), 200)):
            continue
        task = Outstanding(
            title=title,
            summary=as_line(each.get("summary"), 2_000),
            priority=_priority(each.get("priority")),
            blocked_by=_listed(each.get("blocked_by"), 10),
            acceptance=_listed(each.get("acceptance"), 10),
        )
        made.setdefault(title.casefold(), task)
    return tuple(sorted(made.values(), key=lambda task: PRIORITIES.index(task.priority)))[:MOST]


def _priority(value: Any) -> Priority:
    word = str(value).strip().lower()
    found: Priority | Literal[""] = next((each for each in PRIORITIES if each == word), "")
    return found or "medium"

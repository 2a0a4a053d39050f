"""Four good answers of a model and fifty ways to spoil one -> 240 answers of the kinds that models really give."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from bot.errors import ModelError
from bot.testing.llm import Line
from bot.types.model import Message

BASES: tuple[dict[str, Any], ...] = (
    {
        "type": "bug", "labels": {"l1": 0.9, "l3": 0.7}, "area": "l3", "priority": "high",
        "duplicates": {"n1": True, "n2": False}, "files": {"f1": True, "f2": False}, "missing": {"m1": True},
        "reproduction": True, "security": False, "spam": False, "language": "en", "size": "s", "agent": True,
        "agent_why": "one function", "summary": "The reader crashes on empty files. A trace is there.",
        "question": "Which version is it?",
    },
    {"type": "feature", "labels": {}, "priority": "low", "summary": "They want a \"dark\" mode {soon}.", "size": "m"},
    {"type": "question", "labels": {"l2": 0.8}, "priority": "info", "summary": "Wie geht das? Größe 3 µm 🙂.",
     "language": "de", "question": "", "why": "it asks how"},
    {"type": "bug", "labels": {"l1": 1}, "priority": "medium", "summary": "Line one.\nLine two: C:\\temp\\new."},
)  # fmt: skip
Spoil = Callable[[dict[str, Any]], str]


def dump(answer: dict[str, Any]) -> str:
    return json.dumps(answer, ensure_ascii=False)


def keyed(answer: dict[str, Any], change: Callable[[str], str]) -> str:
    return dump({change(key): value for key, value in answer.items()})


def valued(answer: dict[str, Any], change: Callable[[Any], Any], *keys: str) -> str:
    return dump({key: change(value) if key in keys else value for key, value in answer.items()})


def labels_as(answer: dict[str, Any], change: Callable[[float], Any]) -> str:
    return dump({**answer, "labels": {key: change(value) for key, value in answer["labels"].items()}})


def python(answer: dict[str, Any]) -> str:
    return repr(answer)


def bare_keys(answer: dict[str, Any]) -> str:
    return re.sub(r'"([a-z_0-9]+)": ', r"\1: ", dump(answer))


SPOILT: dict[str, Spoil] = {
    "as it should be": dump,
    "indented": lambda each: json.dumps(each, indent=4),
    "only ASCII": json.dumps,
    "prose before": lambda each: f"Sure! Here is my judgement of the issue:\n\n{dump(each)}",
    "prose behind": lambda each: f"{dump(each)}\n\nLet me know if you need anything else.",
    "prose with braces": lambda each: f"The set {{a, b}} and {{x: 1}} aside:\n{dump(each)}\nwhere {{}} is empty",
    "thinking aloud": lambda each: f"<think>It could be {{'type': maybe}} or...</think>{dump(each)}",
    "fenced": lambda each: f"```json\n{dump(each)}\n```",
    "fenced, no language": lambda each: f"```\n{dump(each)}\n```",
    "fence left open": lambda each: f"```json\n{dump(each)}",
    "byte order mark": lambda each: "\ufeff" + dump(each),
    "encoded twice": lambda each: json.dumps(dump(each)),
    "in an array": lambda each: f"[{dump(each)}]",
    "in an envelope": lambda each: dump({"answer": each}),
    "text in an envelope": lambda each: dump({"name": "answer", "arguments": dump(each)}),
    "two envelopes": lambda each: dump({"result": {"triage": each}}),
    "upper case keys": lambda each: keyed(each, str.upper),
    "title case keys": lambda each: keyed(each, str.title),
    "keys with spaces": lambda each: keyed(each, lambda key: f" {key.replace('_', ' ')} "),
    "keys with hyphens": lambda each: keyed(each, lambda key: key.replace("_", "-")),
    "upper case words": lambda each: valued(each, str.upper, "type", "priority", "size", "language"),
    "words with blanks": lambda each: valued(each, lambda word: f" {word}. ", "type", "priority"),
    "words in lists": lambda each: valued(each, lambda word: [word], "type", "priority"),
    "extra keys": lambda each: dump({"confidence": 3, **each, "close": True, "assignees": ["octocat"]}),
    "null for what is unknown": lambda each: dump({"area": None, "size": None, "question": None, **each}),
    "unknown ids": lambda each: dump({**each, "labels": {**each["labels"], "l99": 0.9, "x": True}}),
    "texts for truth": lambda each: valued(
        each, lambda said: "yes" if said else "No", "reproduction", "security", "agent"
    ),
    "numbers for truth": lambda each: valued(each, int, "reproduction", "security", "spam", "agent"),
    "true for confidence": lambda each: labels_as(each, lambda _: True),
    "yes for confidence": lambda each: labels_as(each, lambda _: "Yes"),
    "text numbers": lambda each: labels_as(each, str),
    "percent": lambda each: labels_as(each, lambda value: f"{value * 100:.0f}%"),
    "hundreds": lambda each: labels_as(each, lambda value: value * 100 if value < 1 else 97),
    "grades": lambda each: labels_as(each, lambda _: "high"),
    "objects for confidence": lambda each: labels_as(each, lambda value: {"confidence": value, "reason": "x"}),
    "labels as a list of ids": lambda each: valued(each, list, "labels"),
    "labels as a text": lambda each: valued(each, ", ".join, "labels"),
    "labels as objects": lambda each: valued(
        each, lambda ids: [{"id": key, "confidence": value} for key, value in ids.items()], "labels"
    ),
    "marks as lists": lambda each: valued(
        each, lambda ids: [key for key, value in ids.items() if value], "duplicates", "files", "missing"
    ),
    "NaN": lambda each: json.dumps({**each, "agent": float("nan"), "score": float("inf")}),
    "single quotes": python,
    "bare keys": bare_keys,
    "comments": lambda each: dump(each).replace(', "priority"', ', // urgent?\n /* no */ "priority"'),
    "trailing commas": lambda each: re.sub(r"\n( *})", r",\n\1", json.dumps(each, indent=1)),
    "missing commas": lambda each: json.dumps(each, indent=1).replace(",\n", "\n"),
    "raw line breaks": lambda each: re.sub(r"(?<!\\)\\n", "\n", dump(each)),
    "curly quotes": lambda each: re.sub(r'"([a-z_0-9]+)"', r"“\1”", dump(each)),
    "cut at the end": lambda each: dump(each)[:-1],
    "cut in the summary": lambda each: dump(each)[: dump(each).index('"summary"') + 16],
    "cut after a colon": lambda each: dump(each)[: dump(each).index('"summary"') + 10],
    "cut in a key": lambda each: dump(each)[: dump(each).index('"summary"') + 4],
    "keys twice": lambda each: dump(each)[:-1] + f', "type": "{each["type"]}"' + "}",
    "a draft before": lambda each: f'{dump({**each, "type": "feature", "labels": {}})}\n\nWait, no:\n{dump(each)}',
    "an example before": lambda each: f'An answer looks like {{"type": "...", "labels": {{}}}}. Mine: {dump(each)}',
    "the schema before": lambda each: (
        dump({"type": "object", "properties": {"type": {"type": "string"}, "labels": {"type": "object"}}}) + dump(each)
    ),
    "twice": lambda each: f"{dump(each)}\n{dump(each)}",
    "a megabyte behind": lambda each: dump(each) + "\n" + "and so on " * 100_000,
    "a megabyte before": lambda each: "well, " * 170_000 + dump(each),
    "control characters": lambda each: "\x00" + dump(each) + "\x07",
}  # fmt: skip

HOPELESS: tuple[str, ...] = (
    "", " \n ", "null", "true", "[]", "{}", "{", "}", "{" * 30_000, "[" * 200_000, '{"a":' * 50_000,
    "I'm sorry, but I can't help with that.", "Bug.", "The issue is a bug with high priority.", "```json\n```",
    '{"error": "context too long"}', '{"type": "object"}', '{"type": 5}', '{"labels": 3}', '{"labels": null}',
    '{"type": null, "labels": {"l9": "maybe"}}', "NaN", "Infinity", "-1", '"just a text"', "<answer>bug</answer>",
    "type: bug\nlabels: [l1]", "\ud83d", '{"type', base64.b64encode(b'{"type": "bug"}').decode(),
    "<html><body>502 Bad Gateway</body></html>", "data: [DONE]",
)  # fmt: skip
"""What tells nothing: only the repair helps."""

FAILURES: tuple[Exception, ...] = tuple(
    ModelError(code, "it failed")
    for code in (
        "model_bad_request", "model_rate_limited", "model_unavailable", "model_filtered", "model_context_exceeded",
        "model_refused_key", "model_no_credit", "model_not_found",
    )
)  # fmt: skip


def spoilt() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Name, what was meant, what was written."""
    for name, spoil in SPOILT.items():
        for number, meant in enumerate(BASES):
            yield f"{name}, {number}", meant, spoil(meant)


def refused(messages: Any) -> Message:
    """An answer without words, as content filters leave it."""
    return Message(role="assistant", content="")


def lines() -> Iterator[tuple[str, Line]]:
    """All of them, as lines of a script."""
    for name, _, text in spoilt():
        yield name, text
    for number, text in enumerate(HOPELESS):
        yield f"hopeless {number}", text
    for error in FAILURES:
        yield f"error {error.code}" if isinstance(error, ModelError) else "error", error
    yield "no words", refused

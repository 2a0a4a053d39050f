"""Lines of JSON that somebody collected -> issues to search and to search for. A mistake is named with its line."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from bot.errors import ConfigurationError
from bot.offline.index import Entry

MAX_LINE = 10_000_000
"""Bytes."""
MAX_BYTES = 1_000_000_000
"""Of a file, unpacked: no small file fills the memory."""
GZIP = b"\x1f\x8b"
LATEST = 1e11
"""Seconds; a larger number of a time means milliseconds."""


@dataclass(frozen=True)
class Text:
    """One line."""

    id: str | int
    """As the file has it; 7 and "7" are the same issue."""
    entry: Entry
    """What is indexed, or searched for."""
    dataset: str
    """Only texts of the same one are compared; empty if the line names none."""


def read_texts(path: Path) -> list[Text]:
    """The file's texts, of each id the last. Raises ConfigurationError `texts_unreadable`, `texts_invalid`."""
    found: dict[tuple[str, str], Text] = {}
    for number, line in _lines(path):
        if line.strip():
            text = _text(line, f"{path}:{number}")
            found[text.dataset, text.entry.id] = text
    if not found:
        raise _invalid(str(path), "there is no text in it")
    return list(found.values())


def read_gold(path: Path) -> Mapping[str, frozenset[str]]:
    """Query id -> ids that count: an object of lists, or of objects with `relevant`. Raises ConfigurationError."""
    try:
        value = json.loads(b"\n".join(line for _, line in _lines(path)))
        if not isinstance(value, dict):
            raise TypeError
        rows = {key: each["relevant"] if isinstance(each, dict) else each for key, each in value.items()}
        if not all(isinstance(each, list) for each in rows.values()):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        hint = 'such as {"7": ["3", "5"]}, or {"7": {"relevant": ["3", "5"]}}'
        raise _invalid(str(path), "it is no JSON object of lists of ids", hint) from None
    return {key: frozenset(str(each) for each in row) for key, row in rows.items()}


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line, unpacked if the file is packed."""
    left = MAX_BYTES
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == GZIP
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                left -= len(line)
                if len(line) > MAX_LINE or left < 0:
                    raise _invalid(f"{path}:{number}", "the line is longer than 10 MB, or the file than 1 GB")
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"{path} can't be read: {reason}"
        raise ConfigurationError("texts_unreadable", message, hint="give a file of JSON lines, also as .gz") from None


def _text(line: bytes, place: str) -> Text:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise _invalid(place, "the line is no JSON") from None
    if not isinstance(value, dict):
        raise _invalid(place, "the line is no JSON object")
    id = value.get("id")  # noqa: A001 (the field's name)
    if isinstance(id, bool) or not isinstance(id, str | int) or not str(id).strip():
        raise _invalid(place, "`id` is no text and no whole number")
    title, body, dataset = (_word(value, each, place) for each in ("title", "body", "dataset"))
    return Text(id, Entry(str(id), title, body, _time(value.get("created_at"), place)), dataset)


def _word(value: Mapping[str, Any], field: str, place: str) -> str:
    found = value.get(field)
    if found is not None and not isinstance(found, str):
        raise _invalid(place, f"`{field}` is no text")
    return found or ""


def _time(value: object, place: str) -> str:
    """In ISO form and UTC; empty where there is none. ISO 8601, mail's form, and seconds or milliseconds are known."""
    if value is None or value == "":
        return ""
    try:
        moment = _moment(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, TypeError, OverflowError, OSError):
        hint = "such as 2024-05-31T12:00:00Z"
        raise _invalid(place, f"`created_at` is no time: {str(value)[:50]!r}", hint) from None


def _moment(value: object) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError
        return datetime.fromtimestamp(value / 1000 if abs(value) > LATEST else value, UTC)
    if not isinstance(value, str):
        raise TypeError
    text = value.strip().removesuffix(" UTC").replace("/", "-")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(value)


def _invalid(place: str, what: str, hint: str = "") -> ConfigurationError:
    hint = hint or 'a line is {"id": "7", "title": "...", "body": "...", "created_at": "2024-05-31T12:00:00Z"}'
    return ConfigurationError("texts_invalid", f"{place}: {what}", hint=hint)

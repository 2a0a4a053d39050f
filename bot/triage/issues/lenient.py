"""A model's text -> the JSON objects in it, as they were meant: with comments, single quotes, bare keys and words of
other languages, missing quotes and brackets at a cut end, raw line breaks in strings. Never raises; bounded in all.

Source of the dialect: JSON (RFC 8259), JSON5's additions, and what models make of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

WINDOW = 20_000
"""Characters at each end of a text in which an object is looked for."""
STARTS = 40
"""Places at which one may begin."""
MENDED = 6
"""Of those, how many are looked at that hold no JSON."""
DEPTH = 12
"""Levels that are read; what lies deeper counts as cut off."""

_SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?(?:\*/|\Z)|#[^\n]*|\ufeff)+", re.DOTALL)
_WORD = re.compile(r"[^\s,:{}\[\]\"']+")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_WORDS = {"true": True, "false": False, "null": None, "none": None, "undefined": None}
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\n", "b": "", "f": "", "u": ""}


class Found(NamedTuple):
    """An object in a text."""

    value: dict[str, Any]
    whole: bool
    """Whether it was closed; else the text was cut off inside it."""


def objects_in(text: str) -> tuple[Found, ...]:
    """The objects of a text, in its order; those inside others are not listed."""
    text = text.replace("\x00", "")
    parts = [text] if len(text) <= 2 * WINDOW else [text[:WINDOW], text[-WINDOW:]]
    return tuple(found for part in parts for found in _objects(_unwrapped(part)))


def _unwrapped(text: str) -> str:
    """The text inside of a JSON string that holds nothing else: an answer that was encoded twice."""
    bare = text.strip().lstrip("\ufeff")
    if bare.startswith('"') and bare.endswith('"') and "{" in bare:
        try:
            inner = json.loads(bare)
        except ValueError:
            return text
        return inner if isinstance(inner, str) else text
    return text


def _objects(text: str) -> Iterator[Found]:
    at, tries = text.find("{"), MENDED
    for _ in range(STARTS):
        if at < 0:
            return
        value, end, whole = _strict(text, at) or (_mended(text, at) if tries else ({}, at, False))
        tries -= not value and tries > 0
        if value:
            yield Found(value, whole)
        at = text.find("{", end if value else at + 1)


def _strict(text: str, at: int) -> tuple[dict[str, Any], int, bool] | None:
    try:
        value, end = json.JSONDecoder().raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
    return value, end, True


def _mended(text: str, at: int) -> tuple[dict[str, Any], int, bool]:
    if text[at + 1 : at + 40].lstrip()[:1] in ("{", "["):  # no key: the object begins further on, if anywhere
        return {}, at, False
    reader = _Reader(text, at)
    value = reader.value(0)
    return (value if isinstance(value, dict) else {}), reader.at, not reader.cut


class _Reader:
    """Reads one value from a place on; `at` is where it ended, `cut` whether the text did before."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at, self.cut = text, at, False

    def value(self, depth: int) -> Any:
        char = self._next()
        if depth >= DEPTH:
            self.at, self.cut = len(self.text), True
            return None
        if char == "{":
            return self._object(depth)
        if char == "[":
            return self._array(depth)
        if char in _QUOTES:
            return self._string()
        return self._word() if char else None

    def _next(self) -> str:
        """The next character that says something, empty at the end of the text."""
        if found := _SPACE.match(self.text, self.at):
            self.at = found.end()
        char = self.text[self.at : self.at + 1]
        self.cut = self.cut or not char
        return char

    def _object(self, depth: int) -> dict[str, Any]:
        self.at += 1
        found: dict[str, Any] = {}
        while (char := self._next()) and char != "}":
            start = self.at
            key = self._string() if char in _QUOTES else self._word()
            if self._next() == ":":
                self.at += 1
                value = self.value(depth + 1)
                if isinstance(key, str | int | float) and not (self.cut and value is None):
                    found[str(key)] = value  # of a key that comes twice the last counts, as with every reader of JSON
            self._separated(start)
        self.at += char == "}"
        return found

    def _array(self, depth: int) -> list[Any]:
        self.at += 1
        found: list[Any] = []
        while (char := self._next()) and char != "]":
            if char == "}":  # the bracket was forgotten
                return found
            start = self.at
            found.append(self.value(depth + 1))
            self._separated(start)
        self.at += char == "]"
        return found

    def _separated(self, start: int) -> None:
        """Past a comma, and at least past something, so that nothing is read for ever."""
        if self._next() in (",", ";") or self.at == start:
            self.at += 1

    def _string(self) -> str:
        close = _QUOTES[self.text[self.at]]
        self.at += 1
        parts: list[str] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "\\":
                parts.append(self._escape())
                continue
            self.at += 1
            if char == close and self._ends():
                return _paired("".join(parts))
            parts.append(char)
        self.cut = True
        return _paired("".join(parts))

    def _ends(self) -> bool:
        """Whether a quotation mark closes its string: behind it comes what may stand there, not more of the text."""
        found = _SPACE.match(self.text, self.at)
        at = found.end() if found else self.at
        char = self.text[at : at + 1]
        # In the next line another string may begin where a comma was forgotten.
        return not char or char in ",:;}]" or (char in _QUOTES and "\n" in self.text[self.at : at][:200])

    def _escape(self) -> str:
        if found := _UNICODE.match(self.text, self.at):
            self.at = found.end()
            return chr(int(found[1], 16))
        char = self.text[self.at + 1 : self.at + 2]
        self.at += 2
        return _ESCAPES.get(char, char)

    def _word(self) -> Any:
        found = _WORD.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        word = found[0]
        if word.lower() in _WORDS:
            return _WORDS[word.lower()]
        if _NUMBER.fullmatch(word):
            return float(word)
        return word


def _paired(text: str) -> str:
    """Two escapes make one character beyond the basic plane; half of a pair is none."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

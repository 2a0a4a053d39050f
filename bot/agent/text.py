"""Bytes of a command -> text that is safe and short enough for people and models to read."""

from __future__ import annotations

import re

from bot.types.sandbox import ExecResult
from bot.visible import without_ansi

TAIL_CHARS = 4_000
"""What a report keeps of a command's output."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What an output loses. Other hidden characters stay: a model that edits a file must copy it exactly."""


def clean(data: bytes) -> str:
    """Text without escape sequences and control characters; of a redrawn line only its last state stays."""
    text = without_ansi(data.decode("utf-8", "replace")).replace("\r\n", "\n")
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROLS.sub("", "\n".join(lines))


def tail(data: bytes, limit: int = TAIL_CHARS) -> str:
    """The end of an output as text, `limit` characters at most; a cut is said in the first line."""
    # A character has four bytes at most, the rest is for escape sequences; and hostile bytes cost bounded work.
    text = clean(data[-8 * limit :]).strip("\n")
    if len(text) <= limit and len(data) <= 8 * limit:
        return text
    note = "[earlier output left out]\n"
    return note + text[-(limit - len(note)) :]


def output_tail(result: ExecResult, limit: int = TAIL_CHARS) -> str:
    """Both streams of a command, standard output first, `limit` characters at most."""
    if not (result.stdout and result.stderr):
        return tail(result.stdout or result.stderr, limit)
    err = tail(result.stderr, limit // 2)
    return tail(result.stdout, limit - len(err) - 1) + "\n" + err


def shorten(text: str, limit: int) -> str:
    """Head and tail of a text that is longer than `limit` characters, with a note of what is missing between."""
    if len(text) <= limit:
        return text
    note = f"\n[... {len(text) - limit} or more characters left out ...]\n"
    room = max(limit - len(note), 0)
    head = room // 2
    return (text[:head] + note + text[len(text) - (room - head) :])[:limit]

"""Bytes of a file, an old text and a new one -> the bytes with exactly that piece replaced."""

from __future__ import annotations

from bot.errors import TaskError


def replace_once(data: bytes, old: str, new: str, path: str) -> bytes:
    """The file with `old`, which must occur exactly once, replaced; line ends stay the file's own.

    Works on bytes, so that what is not UTF-8 elsewhere in the file survives.
    Raises TaskError `edit_no_match`, `edit_ambiguous`, `edit_no_change`.
    """
    if b"\r\n" in data and data.count(b"\r\n") == data.count(b"\n"):
        old, new = _windows(old), _windows(new)
    before, after = old.encode(), new.encode()
    if before == after:
        raise TaskError("edit_no_change", f"{path}: old and new text are the same")
    start = data.find(before)
    if start < 0:
        raise TaskError("edit_no_match", f"{path}: the old text does not occur; read the file and copy it exactly")
    if (second := data.find(before, start + 1)) >= 0:
        lines = ", ".join(str(data.count(b"\n", 0, place) + 1) for place in (start, second))
        raise TaskError(
            "edit_ambiguous", f"{path}: the old text occurs at lines {lines} and maybe more; make it longer"
        )
    return data[:start] + after + data[start + len(before) :]


def _windows(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\r\n")

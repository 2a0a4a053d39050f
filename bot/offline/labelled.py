"""A file of labelled issues (CSV, plain or gzip) -> lessons by repository. Every mistake in it has a code and a hint.

Columns: repo, created_at, label, title, body, in any order; others are left alone.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

from bot.errors import ConfigurationError
from bot.offline.text import MOST, TITLE
from bot.types.triage import Lesson

COLUMNS = ("repo", "created_at", "label", "title", "body")
MOST_BYTES = 1 << 30
"""Of the file once it is unpacked."""
FIELD = (1 << 31) - 1
"""Longest field for the csv module, whose own limit is 128 KiB: bodies with whole logs are longer."""
EMPTY = frozenset({"nan", "none", "null"})
"""What tables write for an empty cell."""
GZIP = b"\x1f\x8b"
HINT = "columns repo, created_at, label, title, body; UTF-8; plain or gzip"
_SEVERAL = re.compile(r"\s*[;|]\s*")


def read_labelled(path: Path) -> Mapping[str, tuple[Lesson, ...]]:
    """Repository -> its issues, in the file's order. A label cell may name several, parted by `;` or `|`.

    Raises ConfigurationError `file_missing`, `file_damaged`, `file_empty`, `not_utf8`, `not_csv`, `columns_missing`.
    """
    text = _text(path)
    if not text.strip():
        raise ConfigurationError("file_empty", f"{path} is empty", hint=f"at least a header is needed: {HINT}")
    previous = csv.field_size_limit(FIELD)
    try:
        return _lessons(path, csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ConfigurationError("not_csv", f"{path} is not CSV: {error}", hint=HINT) from None
    finally:
        csv.field_size_limit(previous)


def _lessons(path: Path, reader: csv.DictReader[str]) -> Mapping[str, tuple[Lesson, ...]]:
    names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    if missing := [each for each in COLUMNS if each not in names]:
        raise ConfigurationError("columns_missing", f"{path} lacks the columns {', '.join(missing)}", hint=HINT)
    found: dict[str, list[Lesson]] = {}
    for row in reader:
        number = reader.line_num
        if row.get(None) or any(row[name] is None for name in names.values()):
            message = f"{path}, line {number}: other cells than the header names"
            raise ConfigurationError("not_csv", message, hint="a cell with a comma or a line break needs quotes")
        cells = {each: _cell(row[names[each]]) for each in COLUMNS}
        lesson = Lesson(
            id=str(number),
            title=cells["title"][:TITLE],
            body=cells["body"][:MOST],
            created_at=cells["created_at"][:100],
            labels=tuple(each[:200] for each in _SEVERAL.split(cells["label"].strip()) if each),
        )
        found.setdefault(cells["repo"].strip()[:200] or "-", []).append(lesson)
    return {repository: tuple(lessons) for repository, lessons in found.items()}


def _cell(text: str) -> str:
    return "" if text.strip().lower() in EMPTY else text


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"{path} can't be read: {error.strerror or error}"
        raise ConfigurationError("file_missing", message, hint="give the path of a CSV file") from None
    if data.startswith(GZIP) or path.suffix == ".gz":
        data = _unpacked(path, data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 (byte {error.start})"
        raise ConfigurationError("not_utf8", message, hint="save it as UTF-8") from None


def _unpacked(path: Path, data: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            unpacked = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        message = f"{path} is no whole gzip file: {error}"
        raise ConfigurationError("file_damaged", message, hint="pack it again, or give the plain CSV") from None
    if len(unpacked) > MOST_BYTES:
        raise ConfigurationError("file_damaged", f"{path} unpacks to more than 1 GiB", hint="give a smaller file")
    return unpacked

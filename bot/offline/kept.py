"""Bytes -> a file that is there whole or not at all, for what can be computed again."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from bot.blobs import read_at_most


def keep(path: Path, data: bytes) -> bool:
    """Replace the file atomically, readable by its owner only; False where the folder can't be written to."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    except OSError:
        return False
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            Path(name).unlink()
    return True


def read_ours(path: Path, limit: int) -> bytes | None:
    """The same of a place where others may have put something: a link is not followed, a pipe not waited for."""
    try:
        return read_at_most(path, limit)
    except OSError:
        return None


def read_bounded(path: Path, limit: int) -> bytes | None:
    """A file's bytes; None if there is none, if it can't be read or is larger than `limit` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError:
        return None
    return data if len(data) <= limit else None

"""Bytes -> a file that survives a power cut: written beside its place, synced, and renamed by whoever asked for it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written(folder: Path, *parts: bytes, prefix: str = ".new-", suffix: str = "") -> Iterator[Path]:
    """A temporary file with mode 0600 that is on the disk; gone at the end unless it was renamed. Raises OSError."""
    number, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder)
    try:
        with os.fdopen(number, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Make a rename survive a power cut. Raises OSError."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

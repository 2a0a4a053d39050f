"""Values -> lines of a file that survive whatever ends the process: what was done is there when it goes on.

The first line says what the file is. A line counts once its end is written; what a kill left behind of the last one is
cut off when the file is opened again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from bot.errors import CallerError, SandpiperError
from bot.types.value import Value

LINE_BYTES = 4_000_000
"""No line of ours comes near; a longer one is not ours."""
Entry = TypeVar("Entry", bound=Value)


class Journal(Generic[Entry]):
    """Owns the open, locked file; one process at a time. Made by `open_journal`."""

    def __init__(self, number: int, path: Path, shape: type[Entry]) -> None:
        self._number, self._path, self._shape = number, path, shape

    def append(self, entry: Entry) -> None:
        """Add a line; it is on the disk when this returns. Raises SandpiperError `store_unusable`."""
        self.write(entry.model_dump_json().encode("utf-8", "replace"))

    def write(self, line: bytes) -> None:
        """Add a line as it is."""
        try:
            data = memoryview(line + b"\n")
            while data:
                data = data[os.write(self._number, data) :]
            os.fdatasync(self._number)
        except OSError as error:
            raise _unusable(self._path, error) from error

    def entries(self) -> Iterator[Entry]:
        """What is there, oldest first. Raises CallerError `journal_damaged`."""
        with self._path.open("rb") as file:
            file.readline(LINE_BYTES)
            at = 1
            while line := file.readline(LINE_BYTES):
                at += 1
                try:
                    yield self._shape.model_validate_json(line)
                except ValidationError as error:
                    first = error.errors(include_input=False, include_url=False)[0]
                    where = ".".join(str(part) for part in first["loc"]) or "the line"
                    raise _damaged(self._path, f"line {at}: {where}: {first['msg']}") from None


@contextlib.contextmanager
def open_journal(
    path: Path, shape: type[Entry], head: Mapping[str, Any], *, fresh: bool = False
) -> Iterator[Journal[Entry]]:
    """The journal at `path`, begun with `head` where there is none, or where `fresh` wants none.

    Raises CallerError `journal_busy` where another process has it, `journal_damaged` where it is something else.
    """
    first = json.dumps(head, sort_keys=True).encode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait for it, or end it"
            raise CallerError("journal_busy", f"another process works with {path}", hint=hint) from None
        journal = Journal(number, path, shape)
        if fresh:
            os.ftruncate(number, 0)
        _mend(number)
        if os.fstat(number).st_size == 0:
            journal.write(first)
        elif os.pread(number, len(first) + 1, 0) != first + b"\n":
            raise _damaged(path, "it was begun by another version, or for something else")
        yield journal
    finally:
        os.close(number)


def _mend(number: int) -> None:
    """Cut off what stands behind the end of the last whole line."""
    end = os.fstat(number).st_size
    at = end
    while at > 0:
        start = max(0, at - 65_536)
        found = os.pread(number, at - start, start).rfind(b"\n")
        if found >= 0:
            at = start + found + 1
            break
        at = start
    if at < end:
        os.ftruncate(number, at)


def _damaged(path: Path, why: str) -> CallerError:
    hint = "begin again with --fresh, which forgets what is in it"
    return CallerError("journal_damaged", f"the journal {path} can't be read: {why}", hint=hint)


def _unusable(path: Path, error: OSError) -> SandpiperError:
    hint = "see that the folder exists, is ours and has room; SANDPIPER_STATE names another one"
    return SandpiperError("store_unusable", f"can't write to {path}: {error.strerror or error}", hint=hint)

"""What was read of a repository's past and what was made of it -> a folder that outlives the process, and back.

<state>/knowledge/<repository>/past.jsonl            a head line, then an issue in each line
<state>/knowledge/<repository>/<kind>-<digest>.bin   what was made of it: a model, an index
<state>/knowledge/<repository>/vectors.bin           what the sentence encoder said

A cache may have brought the folder back from anywhere: every byte is judged like a stranger's. What is damaged, too
large or of another version is left aside with a line in the log, and then it is all read and made anew.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from bot.blobs import read_at_most
from bot.store.durable import sync, written
from bot.types.event import Repository
from bot.types.triage import PastIssue
from bot.types.value import Value

MOST = 5_000
"""Issues that are kept, the newest."""
PAST, LOCK, VECTORS = "past.jsonl", ".lock", "vectors.bin"
PAST_BYTES = 120_000_000
MADE_BYTES = 200_000_000
ROW_BYTES, ROW_LABELS = 200_000, 100
"""Bytes of one issue's line, and labels and changes of labels in it: more than the forge is asked for."""
KIND = re.compile(r"[a-z]{1,20}")
DIGEST = re.compile(r"[0-9a-f]{16}")

log = logging.getLogger(__name__)


def _moment(text: str) -> str:
    """An ISO time that can be counted with. Raises ValueError."""
    if text and datetime.fromisoformat(text).year < 1970:
        raise ValueError("it lies before all forges")
    return text


class Head(Value):
    """How far the past was read."""

    format: Literal[1] = 1
    """Version of the file."""
    place: str
    """Name of the folder that it belongs to."""
    own: int = 0
    """Our own account, whose labels teach nothing."""
    seen: Annotated[str, Field(pattern=r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)?$"), AfterValidator(_moment)] = ""
    """ISO time: everything that changed before is in, as far back as was read. Empty where nothing was read."""
    cursor: Annotated[str, Field(max_length=1_000)] = ""
    """Where the first reading goes on, further back."""
    finished: bool = False
    """Whether the first reading came to the end."""
    checked_at: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """When the forge was asked last, in seconds since 1970."""


class Past(Value):
    """What was read of a repository's past."""

    head: Head
    """How far."""
    issues: Mapping[int, PastIssue] = Field(default_factory=dict)
    """By number."""


def folder_of(state: Path, repository: Repository) -> Path:
    """The repository's folder, by its number, which outlives a new name; not made yet."""
    named = repository.full_name.lower().replace("/", "__")
    return state / "knowledge" / (str(repository.id) if repository.id else named)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Make the folder, and say whether this caller alone may write to it until it leaves the block or dies."""
    with contextlib.ExitStack() as stack:
        try:
            _make(folder)
            number = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, number)
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another process learns in %s: what is there is used", folder)
            mine = False
        except OSError as error:
            log.warning("what is learned can't be kept in %s: %s", folder, error.strerror or error)
            mine = False
        else:
            mine = True
        yield mine


def _make(folder: Path) -> None:
    """The folder, ours alone: a cache brings it back as it likes. Raises OSError, also where it is a link."""
    if any(each.is_symlink() for each in (folder.parent, folder)):
        raise OSError(errno.ELOOP, "it is a link to another place")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def load_past(folder: Path) -> Past:
    """What was read so far; nothing where there is no file of ours."""
    empty = Past(head=Head(place=folder.name))
    data = _bytes(folder / PAST, PAST_BYTES)
    if not data:
        return empty
    try:
        if data.count(b"\n") > MOST + 1:
            raise ValueError(f"more than {MOST:,} issues")
        first, *rows = data.splitlines()
        head = Head.model_validate_json(first)
        if head.place != folder.name:
            raise ValueError(f"it belongs to {head.place[:100]!r}")
        if len(rows) > MOST:
            raise ValueError(f"more than {MOST:,} issues")
        issues = list(map(_issue, rows))
    except (ValidationError, ValueError, RecursionError) as error:
        log.warning("%s is not used, and the past is read anew: %s", folder / PAST, _reason(error))
        return empty
    return Past(head=head, issues={each.number: each for each in issues})


def _issue(row: bytes) -> PastIssue:
    """One line. Raises ValueError, also where it is longer than any of ours."""
    found = PastIssue.model_validate_json(row[: ROW_BYTES + 1])
    if len(row) > ROW_BYTES or len(found.labels) + len(found.label_events) > ROW_LABELS:
        raise ValueError("an issue with more in it than the forge is asked for")
    return found


def save_past(folder: Path, past: Past) -> None:
    """Keep it, whole or not at all; where that can't be, a line in the log says so."""
    rows = [
        past.head.model_dump_json(),
        *(each.model_dump_json(exclude_defaults=True) for each in past.issues.values()),
    ]
    _put(folder / PAST, ("\n".join(rows) + "\n").encode("utf-8", "replace"))


def load_made(folder: Path, kind: str, digest: str) -> bytes | None:
    """What was made of the past with that digest; None if it is not there."""
    return _bytes(_made(folder, kind, digest), MADE_BYTES)


def save_made(folder: Path, kind: str, digest: str, data: bytes, *, most: int = 1) -> None:
    """Keep it, and let go of what was made before, but for `most` files of the kind."""
    if len(data) > MADE_BYTES:
        log.warning("the %s is too large to be kept: %s bytes", kind, f"{len(data):,}")
        return
    path = _made(folder, kind, digest)
    _put(path, data)
    with contextlib.suppress(OSError):
        older = [each for each in folder.glob(f"{kind}-*.bin") if each != path]
        older.sort(key=lambda each: each.lstat().st_mtime, reverse=True)
        for each in older[most - 1 :]:
            each.unlink(missing_ok=True)


def _made(folder: Path, kind: str, digest: str) -> Path:
    if not (KIND.fullmatch(kind) and DIGEST.fullmatch(digest)):
        raise ValueError(f"no name of a file: {kind!r}, {digest!r}")
    return folder / f"{kind}-{digest}.bin"


def _put(path: Path, data: bytes) -> None:
    try:
        with written(path.parent, data) as temporary:
            temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        log.warning("%s can't be written: %s", path, error.strerror or error)


def _bytes(path: Path, limit: int) -> bytes | None:
    """A regular file's bytes; None where there is none, or where it is larger than any of ours."""
    try:
        return read_at_most(path, limit)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s is not used: %s", path, error.strerror or error)
        return None


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)[:300]
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'a line'}: {first['msg']}"

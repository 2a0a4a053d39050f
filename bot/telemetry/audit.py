"""News of sandboxes -> a log that can only grow: JSON lines, each with the hash of the one before it.

A line is canonical JSON (sorted names, no spaces, ASCII) whose last field `hash` is the SHA-256 of the line without it,
and whose field `previous` is the hash of the line before. So a change, a removal or another order shows. What can't
show: lines missing at the end, and a file made anew from the start. Against both, remember the last hash elsewhere.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from bot.errors import ConfigurationError
from bot.redaction import redact
from bot.settings import Settings
from bot.types.run import Progress
from bot.types.value import Value

FILE = "audit.jsonl"
"""In the state folder, where no setting names another file."""
LINE_BYTES = 16_384
"""No line is longer; texts are cut until it fits."""
START = "0" * 64
"""What the first line has in place of a previous hash."""
LASTING = frozenset({"sandbox_create", "sandbox_close", "sandbox_lost", "alert"})
"""Events after which the disk must have the log."""
OURS = frozenset({"event", "at", "action", "code", "ending", "sandbox_id", "run_id", "provider", "severity"})
"""Facts whose text we chose ourselves, so that no secret is looked for in them."""
MISTAKES = 100
"""Bad lines that a verdict lists."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_TAIL = b',"hash":"'
_END = len(_TAIL) + 64 + len(b'"}')


class AuditLog:
    """An Observer that keeps every piece of news that has an `event` among its facts.

    Several threads and processes may write the same file. Raises ConfigurationError `audit_log_unusable`.
    """

    def __init__(self, path: Path, *, secrets: Sequence[str] = ()) -> None:
        self._path = path
        self._clean = lru_cache(maxsize=64)(lambda text: redact(text, secrets))  # a command's start and end are alike
        self._lock = threading.Lock()
        self._number: int | None = None
        self._seen: tuple[int, str] = (0, START)

    def notify(self, progress: Progress) -> None:
        """Write it down."""
        if "event" not in progress.facts:
            return
        record = {
            name: self._clean(each) if isinstance(each, str) and name not in OURS else each
            for name, each in progress.facts.items()
        }
        with self._lock:
            number = self._opened()
            try:
                self._append(number, record)
                if record["event"] in LASTING:
                    os.fsync(number)
            except OSError as error:
                raise _unusable(self._path, error.strerror or str(error)) from error

    def open(self) -> None:
        """Make the file now, so that one that can't be written is known before anything happens."""
        with self._lock:
            self._opened()

    def close(self) -> None:
        """Bring it to the disk; the next piece of news opens it again."""
        with self._lock:
            if self._number is not None:
                os.fsync(self._number)
                os.close(self._number)
                self._number = None

    def _opened(self) -> int:
        if self._number is None:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            try:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                number = os.open(self._path, flags, 0o600)
            except OSError as error:
                raise _unusable(self._path, error.strerror or str(error)) from error
            if not stat.S_ISREG(os.fstat(number).st_mode):
                os.close(number)
                raise _unusable(self._path, "not a regular file")
            self._number, self._seen = number, (0, START)
        return self._number

    def _append(self, number: int, record: Mapping[str, Any]) -> None:
        """One line at the end, by one write, while nobody else writes."""
        fcntl.flock(number, fcntl.LOCK_EX)
        try:
            size = os.fstat(number).st_size
            torn = b""
            if size != self._seen[0]:
                previous, torn = _last(number, size)
                self._seen = (size, previous)
            line, digest = _line(record, self._seen[1])
            data = torn + line
            if os.write(number, data) != len(data):
                os.ftruncate(number, size)  # the disk is full: half a line of ours would spoil the chain for ever
                raise OSError(0, "the disk is full")
            self._seen = (size + len(data), digest)
        finally:
            fcntl.flock(number, fcntl.LOCK_UN)


class BadLine(Value):
    """A place where the chain does not hold."""

    line: int
    """Line, from 1."""
    reason: str
    """What is wrong."""


class AuditVerdict(Value):
    """What became of a log."""

    ok: bool
    """Every line is as it was written, none is missing between two others, and the remembered head is there."""
    lines: int
    """How many there are."""
    head: str
    """Hash of the last good line: whoever remembers it can tell later that nothing was cut off."""
    bad: tuple[BadLine, ...] = ()
    """The first places where the chain does not hold."""
    reason: str = ""
    """What is wrong, empty when all is well."""


def verify(path: Path, *, head: str | None = None) -> AuditVerdict:
    """Follow the chain. `head` is a hash that was seen before: without it, a missing end can't be noticed.

    Raises ConfigurationError `no_audit_log`.
    """
    bad: list[BadLine] = []
    previous: str | None = START
    last, count, found = START, 0, head in (None, START)
    for count, line in enumerate(_lines(path), start=1):
        digest, before, reason = _checked(line)
        if not reason and previous is not None and before != previous:
            reason = "it does not follow the line before it: lines were removed, added or moved"
        if reason:
            bad.append(BadLine(line=count, reason=reason))
        previous = digest or None
        last = digest if digest and not reason else last
        found = found or digest == head
    first = f"line {bad[0].line}: {bad[0].reason}" if bad else ""
    if not found and not first:
        first = f"no line has the remembered hash {head}: lines were removed from the end, or the file was made anew"
    return AuditVerdict(ok=not bad and found, lines=count, head=last, bad=tuple(bad[:MISTAKES]), reason=first)


def read_audit(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a log, oldest first; what is no record is left out. Raises ConfigurationError `no_audit_log`."""
    for line in _lines(path):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def audit_path(settings: Settings) -> Path:
    """Where the log is."""
    return settings.audit_log or settings.state / FILE


def _lines(path: Path) -> Iterator[bytes]:
    """Lines with their ends, each of a bounded size: a longer one comes in pieces, which are no records."""
    try:
        with path.open("rb") as file:
            while line := file.readline(4 * LINE_BYTES):
                yield line
    except OSError as error:
        hint = "every run writes one into its state folder; name another file if yours lies elsewhere"
        raise ConfigurationError("no_audit_log", f"{path}: {error.strerror or error}", hint=hint) from None


def _line(record: Mapping[str, Any], previous: str) -> tuple[bytes, str]:
    """The line for a record, and its hash."""
    longest = LINE_BYTES
    body = _canonical({**_plain(record, longest), "previous": previous})
    while len(body) > LINE_BYTES - _END - 1 and longest > 1:
        longest //= 2
        body = _canonical({**_plain(record, longest), "cut": True, "previous": previous})
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + _TAIL + digest.encode() + b'"}\n', digest


def _plain(record: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """Values that JSON has, and no name that is ours."""
    return {
        name: value[:longest]
        if isinstance(value, str)
        else str(value)
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in record.items()
        if name not in ("previous", "hash", "cut")
    }


def _canonical(record: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(record).encode("ascii")


def _checked(line: bytes) -> tuple[str, str, str]:
    """Its hash, the hash before it, and what is wrong with it; of a line that says no hash, the first is empty."""
    if not line.endswith(b"\n"):
        return "", "", "it is cut off in the middle"
    told = line[-_END - 1 : -1]
    body = line[: -_END - 1] + b"}"
    digest = told[len(_TAIL) : -2].decode("ascii", "replace")
    if not (told.startswith(_TAIL) and told.endswith(b'"}') and _is_hash(digest)):
        return "", "", "it is no line of an audit log, or it is cut off in the middle"
    if hashlib.sha256(body).hexdigest() != digest:
        return digest, "", "it was changed: its hash is another one"
    try:
        record = json.loads(body)
    except ValueError:
        return digest, "", "it is no JSON"
    return digest, str(record.get("previous")), ""


def _is_hash(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _last(number: int, size: int) -> tuple[str, bytes]:
    """Hash of the last whole line, and what has to be written before the next one.

    A line that a crash cut off stays, as what it is; it is ended, and the chain goes on from the line before it.
    """
    tail = os.pread(number, 3 * LINE_BYTES, max(0, size - 3 * LINE_BYTES))
    torn = b"" if not tail or tail.endswith(b"\n") else b"\n"
    for line in reversed(tail.splitlines(keepends=True)):
        if digest := _checked(line)[0]:
            return digest, torn
    return START, torn


def _unusable(path: Path, reason: str) -> ConfigurationError:
    hint = "name a file that this user may write: SANDPIPER_AUDIT_LOG"
    return ConfigurationError("audit_log_unusable", f"the audit log {path} can't be written: {reason}", hint=hint)

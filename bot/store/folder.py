"""Runs -> a folder each, `run.json` beside the artifacts; every write is whole or not there at all.

<root>/runs/<run id>/run.json       the record
<root>/runs/<run id>/blobs/         bytes of changed files, named by their SHA-256
<root>/runs/<run id>/...            artifacts
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from bot.blobs import read_at_most
from bot.errors import CallerError, SandpiperError
from bot.store.durable import sync, written
from bot.types.event import Event
from bot.types.run import Run, run_id_of

RECORD = "run.json"
LOCK = ".lock"
RECORD_BYTES = 64_000_000
"""No record of ours comes near; a larger file is not ours."""
SLACK = 2.0
"""Seconds by which a file system's clock may be behind ours."""

log = logging.getLogger(__name__)


class FolderStore:
    """Keeps runs below one folder. Safe for several processes at once; only the owner may read it."""

    def __init__(self, root: Path) -> None:
        self._runs = root / "runs"

    def open(self, event: Event) -> Run:
        """The run of this event; of several callers at the same time one makes it and all get it."""
        run = Run(run_id=run_id_of(event), event=event)
        path = self.folder(run.run_id) / RECORD
        if not path.exists():
            with _written(path.parent, run) as temporary, contextlib.suppress(FileExistsError):
                os.link(temporary, path)
            sync(path.parent)
        return _read(path)

    def save(self, run: Run) -> Run:
        """Keep it with a new `updated_at`; after a crash the old or the new record is there, never half of one."""
        run = run.changed(updated_at=datetime.now(UTC))
        path = self.folder(run.run_id) / RECORD
        with _written(path.parent, run) as temporary:
            temporary.replace(path)
        sync(path.parent)
        return run

    @contextlib.contextmanager
    def claim(self, run_id: str) -> Iterator[bool]:
        """Whether this caller alone may work on the run; the system lets go when its process ends, however it ends."""
        path = self.folder(run_id) / LOCK
        try:
            number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(number)

    def load(self, run_id: str) -> Run | None:
        """A run by its id or a unique beginning of it. Raises CallerError `ambiguous_run`, and `store_damaged`."""
        if not re.fullmatch(r"[0-9a-f]{1,16}", run_id):
            return None
        whole = self._runs / run_id / RECORD
        if len(run_id) == 16:
            return _read(whole) if whole.is_file() else None
        found = [path for path in self._records() if path.parent.name.startswith(run_id)]
        if len(found) > 1:
            names = ", ".join(sorted(path.parent.name for path in found)[:5])
            raise CallerError("ambiguous_run", f"several runs begin with {run_id}: {names}", hint="type more of the id")
        return _read(found[0]) if found else None

    def list(self, *, limit: int = 100) -> tuple[Run, ...]:
        """Newest first. A damaged record is logged and left out: it must not hide the others.

        No record is older than its run: those that were saved before the oldest that is wanted need not be read.
        """
        runs: list[Run] = []
        newest: list[float] = []  # a heap of the moments at which the `limit` newest so far were opened
        for saved, path in sorted(((each.stat().st_mtime, each) for each in self._records()), reverse=True):
            if limit < 1 or (len(newest) == limit and saved + SLACK < newest[0]):
                break
            try:
                runs.append(_read(path))
            except SandpiperError as error:
                log.warning("%s", error)
                continue
            put = heapq.heappush if len(newest) < limit else heapq.heappushpop
            put(newest, runs[-1].created_at.timestamp())
        return tuple(sorted(runs, key=lambda run: (run.created_at, run.run_id), reverse=True)[:limit])

    def folder(self, run_id: str) -> Path:
        """The folder for a run's artifacts, made if needed."""
        if not re.fullmatch(r"[0-9a-f]{16}", run_id):
            raise CallerError(
                "no_such_run", f"{run_id!r} is not the id of a run", hint="ids have 16 hexadecimal digits"
            )
        folder = self._runs / run_id
        try:
            self._runs.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _unusable(folder, error) from error
        return folder

    def _records(self) -> Iterator[Path]:
        """The record of every run; an unfinished folder has none yet."""
        with contextlib.suppress(FileNotFoundError):
            for folder in self._runs.iterdir():
                path = folder / RECORD
                if re.fullmatch(r"[0-9a-f]{16}", folder.name) and path.is_file():
                    yield path


@contextlib.contextmanager
def _written(folder: Path, run: Run) -> Iterator[Path]:
    """A temporary file that holds the record and is on the disk; gone at the end unless it was renamed."""
    try:
        with written(folder, run.model_dump_json(indent=1).encode(), prefix=".run-", suffix=".tmp") as path:
            yield path
    except OSError as error:
        raise _unusable(folder, error) from error


def _read(path: Path) -> Run:
    try:
        run = Run.model_validate_json(read_at_most(path, RECORD_BYTES))
        if run.run_id != path.parent.name:
            raise ValueError(f"it is the record of run {run.run_id}")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _damaged(path, f"{where}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    return run


def _damaged(path: Path, reason: str) -> SandpiperError:
    hint = f"move {path.parent} away; the run then starts anew when its event comes again"
    return SandpiperError("store_damaged", f"the record {path} can't be read: {reason}", hint=hint)


def _unusable(folder: Path, error: OSError) -> SandpiperError:
    hint = "see that the folder exists, is ours and has room; SANDPIPER_STATE names another one"
    return SandpiperError("store_unusable", f"can't write to {folder}: {error.strerror or error}", hint=hint)

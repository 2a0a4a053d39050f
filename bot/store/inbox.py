"""Deliveries of GitHub -> files that survive a crash, each accepted once and kept until its work is done.

<root>/inbox/waiting/<name>         one delivery: a line of JSON about it, then its body as it came
<root>/inbox/waiting/<name>.tries   a byte for every time that it was begun
<root>/inbox/done/<name>            a mark for each that was finished, so that a redelivery is known
<root>/inbox/aside/<name>           one that can't be worked on, as it came
<root>/inbox/aside/<name>.reason    why not
<root>/inbox/lock                   held by the one process that works on the inbox

Names are digests of X-GitHub-Delivery: what a stranger wrote into a header never becomes a path.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, Field, ValidationError

from bot.errors import ConfigurationError, SandpiperError
from bot.store.durable import sync, written
from bot.types.value import Value

WAITING_BYTES = 1_000_000_000
"""Bytes of all bodies that wait."""
REMEMBERED = timedelta(days=30)
"""How long a finished delivery is known; GitHub offers to redeliver for three days."""
REMEMBERED_COUNT = 50_000
KEPT_ASIDE = 200
PRUNE_EVERY = 500
"""Finished deliveries between two cleanings."""
_NAME = re.compile(r"[0-9a-f]{40}")


class InboxFull(SandpiperError):
    """No further delivery is taken until some are done."""

    def __init__(self, waiting: int) -> None:
        super().__init__("inbox_full", f"{waiting} deliveries wait already", hint="ask again later")


class Delivery(Value):
    """What GitHub sent, its body left out."""

    id: str = Field(min_length=1, max_length=200)
    """X-GitHub-Delivery: the same when GitHub sends it again."""
    event: str = Field(min_length=1, max_length=100)
    """X-GitHub-Event."""
    form: bool = False
    """Whether the body is a form whose field `payload` holds the JSON."""
    received_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    """When it came."""

    @property
    def name(self) -> str:
        """Its name on the disk."""
        return hashlib.sha256(self.id.encode("utf-8", "surrogatepass")).hexdigest()[:40]


class Inbox:
    """Owns one inbox. Safe for several threads; a second process is refused. Close it to let another one in.

    Raises ConfigurationError `inbox_in_use`, and SandpiperError `inbox_unusable` where the disk does not take it.
    """

    def __init__(self, root: Path, *, limit: int = 1000, limit_bytes: int = WAITING_BYTES) -> None:
        self._folder, self._limit, self._limit_bytes = root / "inbox", limit, limit_bytes
        self._mutex = threading.Lock()
        with _usable(self._folder):
            self._lock = _opened(self._folder)
            self._sizes = _swept(self._folder)
        self._finished = 0

    def put(self, delivery: Delivery, body: bytes) -> bool:
        """Keep it for good before this returns; False for one that was taken before. Raises InboxFull."""
        name = delivery.name
        with self._mutex:
            if self._knows(name):
                return False
            if len(self._sizes) >= self._limit or sum(self._sizes.values()) + len(body) > self._limit_bytes:
                raise InboxFull(len(self._sizes))
        parts = (delivery.model_dump_json().encode(), b"\n", body)
        with _usable(self._folder), written(self._folder / "waiting", *parts) as temporary, self._mutex:
            if self._knows(name):
                return False
            temporary.replace(self._folder / "waiting" / name)
            sync(self._folder / "waiting")
            self._sizes[name] = len(body)
        return True

    def waiting(self) -> tuple[Delivery, ...]:
        """All that are not finished, oldest first. One whose file is damaged is laid aside."""
        found = []
        for name in tuple(self._sizes):
            try:
                with (self._folder / "waiting" / name).open("rb") as file:
                    found.append(Delivery.model_validate_json(file.readline(10_000)))
            except (OSError, ValidationError) as error:
                self.set_aside(name, f"its file can't be read: {type(error).__name__}")
        return tuple(sorted(found, key=lambda each: (each.received_at, each.id)))

    def body(self, delivery: Delivery) -> bytes:
        """Its body as it came. Raises SandpiperError `inbox_unusable`."""
        with _usable(self._folder), (self._folder / "waiting" / delivery.name).open("rb") as file:
            file.readline(10_000)
            return file.read()

    def begin(self, delivery: Delivery) -> int:
        """Write down that it is begun, and return how often it was: also by processes that died of it."""
        path = self._folder / "waiting" / f"{delivery.name}.tries"
        with _usable(self._folder), path.open("ab") as file:
            file.write(b".")
            return file.tell()

    def finish(self, delivery: Delivery, note: str = "") -> None:
        """It is done, and stays known. `note` says what became of it."""
        with _usable(self._folder), self._mutex:
            (self._folder / "done" / delivery.name).write_text(f"{note[:500]}\n", encoding="utf-8", errors="replace")
            self._forget(delivery.name)
            self._finished += 1
            if self._finished % PRUNE_EVERY == 0:
                _prune(self._folder)

    def set_aside(self, delivery: Delivery | str, reason: str) -> None:
        """It (or what has this name) can't be worked on, and is not tried again; kept for a person to look at."""
        name = delivery if isinstance(delivery, str) else delivery.name
        with _usable(self._folder), self._mutex:
            place = self._folder / "aside" / name
            Path(f"{place}.reason").write_text(f"{reason[:2000]}\n", encoding="utf-8", errors="replace")
            with contextlib.suppress(FileNotFoundError):
                (self._folder / "waiting" / name).replace(place)
            self._forget(name)

    def close(self) -> None:
        """Let another process work on it."""
        os.close(self._lock)

    def _knows(self, name: str) -> bool:
        return name in self._sizes or any((self._folder / place / name).exists() for place in ("done", "aside"))

    def _forget(self, name: str) -> None:
        for each in (name, f"{name}.tries"):
            (self._folder / "waiting" / each).unlink(missing_ok=True)
        self._sizes.pop(name, None)


def _opened(folder: Path) -> int:
    """The lock of the inbox, held until the process ends, however it ends."""
    for name in ("waiting", "done", "aside"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        hint = "stop the other `sandpiper serve`, or give this one a folder of its own with SANDPIPER_STATE"
        raise ConfigurationError("inbox_in_use", f"another process works on {folder}", hint=hint) from None
    return lock


def _swept(folder: Path) -> dict[str, int]:
    """Name -> bytes of what waits, after everything is gone that a process left behind when it died."""
    for left in folder.glob("waiting/.new-*"):
        left.unlink(missing_ok=True)  # half of a delivery, whose sender never got an answer
    _prune(folder)
    found = {}
    for path in folder.glob("waiting/*"):
        if not _NAME.fullmatch(path.name):
            continue
        if (folder / "done" / path.name).exists():
            path.unlink(missing_ok=True)
        else:
            found[path.name] = path.stat().st_size
    return found


def _prune(folder: Path) -> None:
    """Forget what was finished long ago."""
    for place, most in (("done", REMEMBERED_COUNT), ("aside", 2 * KEPT_ASIDE)):
        files = sorted(((each.stat().st_mtime, each) for each in (folder / place).iterdir()), reverse=True)
        oldest = (datetime.now(UTC) - REMEMBERED).timestamp()
        for at, (when, path) in enumerate(files):
            if at >= most or when < oldest:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "see that the folder is ours and has room; SANDPIPER_STATE names another one"
        message = f"can't use {folder}: {error.strerror or error}"
        raise SandpiperError("inbox_unusable", message, hint=hint) from error

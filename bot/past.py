"""A repository's past on the forge -> its issues as a file of ours knows them: what changed since, then further back.

Stopped at any point it goes on from there. What could not be read is told to whoever watches, and is no failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bot.errors import Cancelled, ForgeError, SandpiperError
from bot.protocols import Cancelled as Asked
from bot.protocols import ForgeReader, Observer
from bot.store.knowledge import MOST, Head, Past
from bot.types.run import Progress
from bot.types.triage import PastIssue

OVERLAP = timedelta(minutes=1)
"""What is read twice, for changes that the forge's servers learned of late."""
SAVED = 10
"""Pages after which what was read is kept, so that little is lost when somebody stops it."""
Step = Callable[[int], None]
"""Hears how many more are done."""


@dataclass
class Reading:
    """What is read by now."""

    head: Head
    issues: dict[int, PastIssue]
    most: int
    """Issues to read."""
    keep: Callable[[Past], None]
    """Called on the way."""
    pages: int = 0
    trouble: SandpiperError | None = None

    @property
    def past(self) -> Past:
        """The newest of it, by number."""
        kept = sorted(self.issues)[-MOST:]
        return Past(head=self.head, issues={number: self.issues[number] for number in kept})


def bring_up_to_date(reading: Reading, before: Past, reader: ForgeReader, news: News, fresh: float) -> None:
    """Read what changed since it was read last, and then further back. Where the forge fails, what it said until then.

    What is new is kept, however this ends.
    """
    now = time.time()
    if reading.head.seen > datetime.fromtimestamp(now + fresh, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"):
        reading.head, reading.issues = Head(place=reading.head.place), {}  # a time to come hides what happens now
    enough = reading.head.finished or len(reading.issues) >= reading.most
    if 0 <= now - reading.head.checked_at < fresh and enough:
        return
    try:
        reading.head = reading.head.changed(own=reader.viewer().id)
        if reading.head.seen:
            read_newer(reading, reader, news)
        if not enough:
            read_older(reading, reader, news)
        reading.head = reading.head.changed(checked_at=now)
    except Cancelled:
        raise
    except SandpiperError as error:
        reading.trouble = error
        news.tell(f"the forge did not say all: going on with {len(reading.issues):,} past issues ({error.message})")
    finally:
        if is_news(before, found := reading.past):
            reading.keep(found)


def read_newer(reading: Reading, reader: ForgeReader, news: News) -> None:
    """Everything that changed since; only when all of it is read the mark moves on."""
    since = datetime.fromisoformat(reading.head.seen) - OVERLAP
    newest = reading.head.seen
    for page in reader.past(since=since.strftime("%Y-%m-%dT%H:%M:%SZ"), most=MOST):
        add(reading, page, news, "changed issues")
        newest = max([newest, *(stamp(each.updated_at) for each in page)])
    reading.head = reading.head.changed(seen=newest)


def read_older(reading: Reading, reader: ForgeReader, news: News) -> None:
    """Further back, from where it ended last time. A place that the forge does not know any more is forgotten."""
    after = reading.head.cursor
    wanted = reading.most - len(reading.issues) if after else reading.most
    count = 0
    try:
        for page in reader.past(most=wanted, after=after):
            count += len(page)
            add(reading, page, news, "past issues", of=reading.most)
            seen = reading.head.seen or max((stamp(each.updated_at) for each in page), default="")
            cursor = page[-1].cursor if page else reading.head.cursor
            reading.head = reading.head.changed(seen=seen, cursor=cursor)
            if reading.pages % SAVED == 0:
                reading.keep(reading.past)
    except ForgeError as error:
        if error.code == "query_rejected":
            reading.head = reading.head.changed(cursor="")
        raise
    reading.head = reading.head.changed(finished=count < wanted)


def add(reading: Reading, page: Iterable[PastIssue], news: News, what: str, of: int = 0) -> None:
    """Take a page over."""
    for each in page:
        reading.issues[each.number] = each.changed(cursor="", title=whole(each.title), body=whole(each.body))
    reading.pages += 1
    news.step(what, len(reading.issues), of)


def whole(text: str) -> str:
    """Without lone surrogates, which no file takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def is_news(before: Past, after: Past) -> bool:
    """Whether there is more to keep than the time of the question."""
    return before.issues != after.issues or before.head != after.head.changed(checked_at=before.head.checked_at)


def stamp(text: str) -> str:
    """An ISO time in UTC, as the forge writes it; empty for what is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return ""


@dataclass
class News:
    """What is told about long work, now and then."""

    watch: Observer | None
    pace: float
    """Seconds between two pieces of news about the same work."""
    cancelled: Asked
    last: float = field(default_factory=time.monotonic)

    def tell(self, text: str) -> None:
        """Say it now."""
        if self.watch is not None:
            self.watch.notify(Progress(stage="decide", text=text))
        self.last = time.monotonic()

    def step(self, what: str, done: int, of: int) -> None:
        """Say how far it is, unless that was said a moment ago. Raises Cancelled where a person asked to stop."""
        if self.cancelled():
            raise Cancelled("cancelled", "The run was stopped by a person.")
        if self.watch is None or time.monotonic() - self.last < self.pace:
            return
        text = f"{what}: {done:,} of {of:,}" if of else f"{what}: {done:,}"
        self.watch.notify(Progress(stage="decide", text=text, facts={"part": what, "done": done, "of": of}))
        self.last = time.monotonic()

    def steps(self, what: str, of: int) -> Step:
        """A counter that says how far it is."""
        done = 0

        def more(count: int) -> None:
            nonlocal done
            done += count
            self.step(what, done, of)

        return more

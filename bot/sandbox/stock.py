"""Templates that are wanted -> sandboxes of that shape that nobody has used, made and replaced behind everyone's back.

Two threads do what is due: make what is missing, close what is too old. Whatever goes wrong there is logged once for
each cause and tried again later and later; nobody who asks for a sandbox hears of it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Protocol

from bot.errors import SandpiperError
from bot.protocols import Sandbox
from bot.types.sandbox import Template

_LOG = logging.getLogger(__name__)
_FIRST_RETRY, _LAST_RETRY = 1.0, 300.0
"""Seconds after the first failure; each further one in a row doubles them, up to the last."""
_GIVE_UP = 3600.0
"""Seconds until the next try of what can't be made ahead at all."""


class Spare(Protocol):
    """A sandbox that waits for its run: its wall clock stands still. Whoever has it adopts or closes it, once."""

    def alive(self) -> bool:
        """Whether it answers now."""

    def adopt(self, template: Template) -> Sandbox:
        """It is that run's from now on, and its time begins. Raises SandboxError: then it has to be closed."""

    def close(self) -> None:
        """Nothing is left of it."""


Prepare = Callable[[Template], Spare | None]
"""Makes one, None where such a one can't be made ahead. Raises SandboxError."""


@dataclass(frozen=True)
class _Item:
    spare: Spare
    born: float


@dataclass
class _Shelf:
    """All that is known of one shape."""

    template: Template
    wanted: int
    pinned: bool
    """Somebody asked for it to be kept, rather than for a sandbox."""
    asked: float
    ready: deque[_Item] = field(default_factory=deque)
    coming: list[float] = field(default_factory=list)
    """When each of those that are being made was begun."""
    due: float = 0.0
    """Before that nothing is made for it."""
    failures: int = 0
    causes: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Job:
    """Make one for a shelf, or close one."""

    key: Hashable = None
    template: Template | None = None
    began: float = 0.0
    spare: Spare | None = None


class _Books:
    """What there is, what is coming, and what is due. Only with its owner's lock held."""

    def __init__(self, most: int, age: float, settle: float) -> None:
        self._most, self._age, self._settle = most, age, settle
        self.shelves: dict[Hashable, _Shelf] = {}
        self.doomed: list[Spare] = []
        """Those that have to be closed."""
        self.leaving = 0
        """How many are being closed, or have to be."""
        self.typical = math.inf
        """Seconds that the last one took to make."""

    def want(self, key: Hashable, template: Template, count: int, pinned: bool, now: float) -> None:
        shelf = self.shelves.setdefault(key, _Shelf(template, 0, False, now))
        shelf.wanted = max(shelf.wanted, count)
        shelf.pinned, shelf.asked = shelf.pinned or pinned, now

    def worth_waiting(self, shelf: _Shelf, patience: float, now: float) -> bool:
        """Whether none is ready, and one that is coming should be there within so many seconds."""
        return not shelf.ready and bool(shelf.coming) and shelf.coming[0] + self.typical - now < patience

    def take(self, shelf: _Shelf, now: float) -> Spare | None:
        shelf.asked = now
        if not shelf.ready:
            return None
        if shelf.due <= now:  # whoever takes it has the processors to himself first
            shelf.due = now + self._settle
        return shelf.ready.popleft().spare

    def next(self, now: float) -> tuple[_Job | None, float | None]:
        """What is due, already noted as begun; or the seconds until something may be."""
        soon = math.inf
        if self.doomed:
            return _Job(spare=self.doomed.pop()), None
        for key, shelf in list(self.shelves.items()):
            if shelf.ready and shelf.ready[0].born + self._age <= now:
                return self._leave(shelf), None
            soon = min(soon, shelf.ready[0].born + self._age) if shelf.ready else soon
            if not shelf.ready and not shelf.coming and not self._asked_for(shelf, now):
                del self.shelves[key]
        for key, shelf in sorted(self.shelves.items(), key=lambda each: -each[1].asked):
            if len(shelf.ready) + len(shelf.coming) >= shelf.wanted or not self._asked_for(shelf, now):
                continue
            if shelf.due > now:
                soon = min(soon, shelf.due)
            elif self.count() < self._most:
                shelf.coming.append(now)
                return _Job(key, shelf.template, now), None
            elif not self.leaving and (other := self._least(shelf)) is not None:
                return self._leave(other), None
        return None, None if soon == math.inf else max(soon - now, 0.001)

    def came(self, key: Hashable, began: float, spare: Spare | None, cause: str, now: float) -> None:
        """One was made, or was not."""
        shelf = self.shelves[key]  # not forgotten while something is coming
        shelf.coming.remove(began)
        if spare is None:
            _note_failure(shelf, cause, now)
            return
        self.typical = now - began
        shelf.ready.append(_Item(spare, now))
        shelf.failures = 0
        shelf.causes.clear()

    def count(self) -> int:
        return self.leaving + sum(len(each.ready) + len(each.coming) for each in self.shelves.values())

    def _asked_for(self, shelf: _Shelf, now: float) -> bool:
        return shelf.pinned or shelf.asked + self._age > now

    def _least(self, wanting: _Shelf) -> _Shelf | None:
        """Whose spare has to go for another shape's: of those asked for before it, the one longest ago."""
        others = [each for each in self.shelves.values() if each.ready and each.asked < wanting.asked]
        return min(others, key=lambda each: each.asked, default=None)

    def _leave(self, shelf: _Shelf) -> _Job:
        self.leaving += 1
        return _Job(spare=shelf.ready.popleft().spare)


class Stock:
    """Unused sandboxes of several shapes, never more than `most` at once, none older than `age` seconds.

    After one was taken, the next is begun `settle` seconds later. With `threads=0` nothing happens by itself: somebody
    calls `step`.
    """

    def __init__(
        self,
        prepare: Prepare,
        *,
        most: int,
        age: float,
        settle: float = 0.1,
        threads: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prepare, self._clock, self._threads = prepare, clock, threads
        self._changed = threading.Condition()
        self._books = _Books(most, age, settle)
        self._running: list[threading.Thread] = []
        self._closed = False

    def want(self, key: Hashable, template: Template, count: int, *, pinned: bool) -> None:
        """Keep so many of that shape from now on; those that nobody pinned are forgotten when nobody asks."""
        with self._changed:
            if self._closed or count < 1:
                return
            self._books.want(key, template, count, pinned, self._clock())
            while len(self._running) < self._threads:
                thread = threading.Thread(target=self._work, name="sandpiper-stock", daemon=True)
                self._running.append(thread)
                thread.start()
            self._changed.notify_all()

    def take(self, key: Hashable, patience: float = 0.0) -> Spare | None:
        """The oldest of that shape, which is nobody else's now; None when there is none.

        Waits only for one that is being made and that should be ready within `patience` seconds.
        """
        with self._changed:
            shelf = self._books.shelves.get(key)
            if shelf is None:
                return None
            if self._books.worth_waiting(shelf, patience, self._clock()):
                self._changed.wait_for(lambda: shelf.ready or not shelf.coming, patience)
            spare = self._books.take(shelf, self._clock())
            self._changed.notify_all()
            return spare

    def discard(self, spare: Spare) -> None:
        """Close one that was taken and is of no use, without making anybody wait for it."""
        with self._changed:
            if self._running and not self._closed:
                self._books.leaving += 1
                self._books.doomed.append(spare)
                self._changed.notify_all()
                return
        _close(spare)

    def ready(self, key: Hashable) -> int:
        """How many of that shape could be taken now."""
        with self._changed:
            shelf = self._books.shelves.get(key)
            return len(shelf.ready) if shelf is not None else 0

    def unused(self) -> int:
        """How many there are: ready, being made, or being closed."""
        with self._changed:
            return self._books.count()

    def step(self) -> bool:
        """Do one thing that is due; False when nothing is."""
        with self._changed:
            job, _ = self._books.next(self._clock())
        if job is None:
            return False
        self._do(job)
        return True

    def close(self) -> None:
        """Close them all and make no more; a second call does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            threads = list(self._running)
        for thread in threads:
            thread.join()
        with self._changed:
            left = [item.spare for shelf in self._books.shelves.values() for item in shelf.ready]
            left += self._books.doomed
            self._books.shelves.clear()
            self._books.doomed.clear()
        for spare in left:
            _close(spare)

    def _work(self) -> None:
        """A thread's life."""
        while True:
            with self._changed:
                if self._closed:
                    return
                job, wait = self._books.next(self._clock())
                if job is None:
                    self._changed.wait(wait)
                    continue
            self._do(job)

    def _do(self, job: _Job) -> None:
        if job.spare is not None:
            _close(job.spare)
            with self._changed:
                self._books.leaving -= 1
                self._changed.notify_all()
            return
        spare, cause = None, ""
        try:
            spare = self._prepare(job.template) if job.template is not None else None
        except Exception as error:  # noqa: BLE001 - a thread of ours must outlive whatever a provider raises
            cause = str(error) or type(error).__name__
        with self._changed:
            self._books.came(job.key, job.began, spare, cause, self._clock())
            self._changed.notify_all()


def _note_failure(shelf: _Shelf, cause: str, now: float) -> None:
    """When to try again; told aloud when it is news."""
    delay = min(_LAST_RETRY, _FIRST_RETRY * 2**shelf.failures) if cause else _GIVE_UP
    shelf.due, shelf.failures = now + delay, min(shelf.failures + 1, 16)
    level = logging.DEBUG if cause in shelf.causes else logging.WARNING if cause else logging.INFO
    shelf.causes.add(cause)
    what, image = cause or "this provider can't make such a one", shelf.template.image
    _LOG.log(level, "sandbox: none could be made ahead from %r, next try in %.0f s: %s", image, delay, what)


def _close(spare: Spare) -> None:
    with contextlib.suppress(SandpiperError, OSError):  # what stays is nobody's, and the next sweep's
        spare.close()

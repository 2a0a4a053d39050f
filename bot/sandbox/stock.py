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
    spare: Spare | None = None


class Stock:
    """Unused sandboxes of several shapes, never more than `most` at once, none older than `age` seconds.

    With `threads=0` nothing happens by itself: somebody calls `step`.
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
        self._prepare, self._most, self._age, self._settle = prepare, most, age, settle
        self._clock, self._threads = clock, threads
        self._changed = threading.Condition()
        self._shelves: dict[Hashable, _Shelf] = {}
        self._leaving = 0
        self._typical = math.inf
        self._running: list[threading.Thread] = []
        self._closed = False

    def want(self, key: Hashable, template: Template, count: int, *, pinned: bool) -> None:
        """Keep so many of that shape from now on; those that nobody pinned are forgotten when nobody asks."""
        with self._changed:
            if self._closed or count < 1:
                return
            shelf = self._shelves.setdefault(key, _Shelf(template, 0, False, self._clock()))
            shelf.wanted = max(shelf.wanted, count)
            shelf.pinned, shelf.asked = shelf.pinned or pinned, self._clock()
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
            shelf = self._shelves.get(key)
            if shelf is None:
                return None
            if not shelf.ready and shelf.coming and shelf.coming[0] + self._typical - self._clock() < patience:
                self._changed.wait_for(lambda: shelf.ready or not shelf.coming, patience)
            shelf.asked = self._clock()
            if not shelf.ready:
                return None
            if shelf.due <= shelf.asked:  # whoever takes it has the processors to himself first
                shelf.due = shelf.asked + self._settle
            self._changed.notify_all()
            return shelf.ready.popleft().spare

    def step(self) -> bool:
        """Do one thing that is due; False when nothing is."""
        with self._changed:
            job, _ = self._next()
        if job is None:
            return False
        self._do(job)
        return True

    def ready(self, key: Hashable) -> int:
        """How many of that shape could be taken now."""
        with self._changed:
            shelf = self._shelves.get(key)
            return len(shelf.ready) if shelf is not None else 0

    def unused(self) -> int:
        """How many there are: ready, being made, or being closed."""
        with self._changed:
            return self._count()

    def close(self) -> None:
        """Close them all and make no more; a second call does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            threads = list(self._running)
        for thread in threads:
            thread.join()
        with self._changed:
            left = [item.spare for shelf in self._shelves.values() for item in shelf.ready]
            self._shelves.clear()
        for spare in left:
            _close(spare)

    def _work(self) -> None:
        """A thread's life."""
        while True:
            with self._changed:
                job, wait = self._next()
                if self._closed:
                    return
                if job is None:
                    self._changed.wait(wait)
                    continue
            self._do(job)

    def _next(self) -> tuple[_Job | None, float | None]:
        """What is due, already on the books as begun; or the seconds until something may be."""
        now, soon = self._clock(), math.inf
        if self._closed:
            return None, None
        for key, shelf in list(self._shelves.items()):
            if shelf.ready and shelf.ready[0].born + self._age <= now:
                return self._leave(shelf), None
            soon = min(soon, shelf.ready[0].born + self._age) if shelf.ready else soon
            if not shelf.pinned and not shelf.ready and not shelf.coming and shelf.asked + self._age <= now:
                del self._shelves[key]
        for key, shelf in sorted(self._shelves.items(), key=lambda each: -each[1].asked):
            if len(shelf.ready) + len(shelf.coming) >= shelf.wanted or not self._still_asked(shelf, now):
                continue
            if shelf.due > now:
                soon = min(soon, shelf.due)
            elif self._count() < self._most:
                shelf.coming.append(now)
                return _Job(key, shelf.template), None
            elif not self._leaving and (other := self._least(shelf)) is not None:
                return self._leave(other), None
        return None, None if soon == math.inf else max(soon - now, 0.001)

    def _still_asked(self, shelf: _Shelf, now: float) -> bool:
        return shelf.pinned or shelf.asked + self._age > now

    def _least(self, wanting: _Shelf) -> _Shelf | None:
        """Whose spare has to go for another shape's: of those asked for before it, the one longest ago."""
        others = [each for each in self._shelves.values() if each.ready and each.asked < wanting.asked]
        return min(others, key=lambda each: each.asked, default=None)

    def _leave(self, shelf: _Shelf) -> _Job:
        self._leaving += 1
        return _Job(spare=shelf.ready.popleft().spare)

    def _count(self) -> int:
        return self._leaving + sum(len(each.ready) + len(each.coming) for each in self._shelves.values())

    def _do(self, job: _Job) -> None:
        if job.spare is not None:
            _close(job.spare)
            with self._changed:
                self._leaving -= 1
                self._changed.notify_all()
        elif job.template is not None:
            self._make(job.key, job.template)

    def _make(self, key: Hashable, template: Template) -> None:
        began, spare, cause = self._clock(), None, ""
        try:
            spare = self._prepare(template)
        except Exception as error:  # noqa: BLE001 - a thread of ours must outlive whatever a provider raises
            cause = str(error) or type(error).__name__
        with self._changed:
            shelf = self._shelves[key]  # not forgotten while something is coming
            shelf.coming.pop(0)
            now = self._clock()
            if spare is not None:
                self._typical = now - began
                shelf.ready.append(_Item(spare, now))
                shelf.failures = 0
                shelf.causes.clear()
            else:
                self._failed(shelf, cause, now)
            self._changed.notify_all()

    def _failed(self, shelf: _Shelf, cause: str, now: float) -> None:
        delay = min(_LAST_RETRY, _FIRST_RETRY * 2**shelf.failures) if cause else _GIVE_UP
        shelf.due, shelf.failures = now + delay, min(shelf.failures + 1, 16)
        level = logging.DEBUG if cause in shelf.causes else logging.WARNING if cause else logging.INFO
        shelf.causes.add(cause)
        what = cause or "this provider can't make such a one"
        _LOG.log(
            level,
            "sandbox: none could be made ahead from %r, next try in %.0f s: %s",
            shelf.template.image,
            delay,
            what,
        )


def _close(spare: Spare) -> None:
    with contextlib.suppress(SandpiperError, OSError):  # what stays is nobody's, and the next sweep's
        spare.close()

"""Deliveries that wait -> which one is next: sorted as they came, then one at a time in each lane.

A lane is a repository with an issue or pull request: two runs on it would work against each other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from bot.store.inbox import Delivery

Lane = tuple[str, int | str]


@dataclass
class _Place:
    """Where one delivery stands."""

    delivery: Delivery
    lane: Lane | None = None
    """None until it is sorted."""
    running: bool = False
    not_before: float = 0.0


class Schedule:
    """The order of work, for one thread that sorts and several that work."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places: dict[str, _Place] = {}
        self._changed = threading.Condition()
        self._closed = False

    def add(self, delivery: Delivery) -> None:
        """A delivery that came in; they are served in this order."""
        with self._changed:
            self._places[delivery.name] = _Place(delivery)
            self._changed.notify_all()

    def unsorted(self) -> Delivery | None:
        """Wait for the next one without a lane; None when all is over."""
        return self._wait(lambda place: place.lane is None)

    def ready(self) -> Delivery | None:
        """Wait for the next one whose lane is free; None when all is over."""
        return self._wait(
            lambda place: (
                place.lane is not None
                and all(not each.running or each.lane != place.lane for each in self._places.values())
            )
        )

    def sort(self, delivery: Delivery, lane: Lane) -> None:
        """Put it into its lane."""
        with self._changed:
            place = self._places[delivery.name]
            place.lane, place.running = lane, False
            self._changed.notify_all()

    def postpone(self, delivery: Delivery, seconds: float) -> None:
        """Try it again later."""
        with self._changed:
            place = self._places[delivery.name]
            place.running, place.not_before = False, self._clock() + seconds
            self._changed.notify_all()

    def remove(self, delivery: Delivery) -> None:
        """It is done."""
        with self._changed:
            self._places.pop(delivery.name, None)
            self._changed.notify_all()

    def counts(self) -> tuple[int, int]:
        """How many wait and how many are worked on."""
        with self._changed:
            running = sum(place.running for place in self._places.values())
            return len(self._places) - running, running

    def close(self) -> None:
        """Give out nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, fits: Callable[[_Place], bool]) -> Delivery | None:
        with self._changed:
            while not self._closed:
                now = self._clock()
                free = [place for place in self._places.values() if not place.running and fits(place)]
                due = next((place for place in free if place.not_before <= now), None)
                if due is not None:
                    due.running = True
                    return due.delivery
                self._changed.wait(min((place.not_before - now for place in free), default=None))
            return None

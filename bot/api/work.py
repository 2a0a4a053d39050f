"""Deliveries in the inbox -> runs: one thread sorts and answers what is quick, the others work."""

from __future__ import annotations

import threading
import time

from bot.api.errands import Abandon, Errands, Perform, lane_of
from bot.api.schedule import Schedule
from bot.settings import Settings
from bot.store.inbox import Inbox


class Crew:
    """Owns the threads. They are daemons: a process that has to end does, and what they were at is begun again."""

    def __init__(
        self,
        inbox: Inbox,
        settings: Settings,
        perform: Perform,
        abandon: Abandon = lambda event, reason: None,
    ) -> None:
        self.schedule = Schedule()
        self._inbox, self._errands = inbox, Errands(inbox, self.schedule, settings, perform, abandon)
        self._threads = [
            threading.Thread(target=self._sort, name="sorter", daemon=True),
            *(threading.Thread(target=self._work, name=f"worker-{at}", daemon=True) for at in range(settings.workers)),
        ]

    def start(self) -> None:
        """Begin with what an earlier process left."""
        for delivery in self._inbox.waiting():
            self.schedule.add(delivery)
        for thread in self._threads:
            thread.start()

    def healthy(self) -> bool:
        """Whether all threads are at work."""
        return all(thread.is_alive() for thread in self._threads)

    def stop(self, seconds: float) -> bool:
        """Take nothing more, and wait for what is under way; False if some of it is not done in that time."""
        self.schedule.close()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _sort(self) -> None:
        while (delivery := self.schedule.unsorted()) is not None:
            with self._errands.kept(delivery):
                event = self._errands.read(delivery)
                if event is not None and (lane := lane_of(event)) is not None:
                    self.schedule.sort(delivery, lane)
                elif event is not None:
                    self._errands.serve(delivery, event)

    def _work(self) -> None:
        while (delivery := self.schedule.ready()) is not None:
            with self._errands.kept(delivery):
                event = self._errands.read(delivery)
                if event is not None:
                    self._errands.serve(delivery, event)

"""A signal or a `/bot stop` comment -> one cheap question that the running work asks: was it cancelled?"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from bot.errors import ForgeError
from bot.forge.reading.reader import spare
from bot.marks import has_marker, stop_marker
from bot.protocols import Cancelled, ForgeReader
from bot.types.task import RunSpec

POLL_SECONDS = 15.0
"""A stop takes effect within this time, and an hour of work costs 240 reads of the forge at the most."""


@contextmanager
def stoppable(*numbers: signal.Signals) -> Iterator[Cancelled]:
    """A question that is true after one of these signals, so that the run ends by itself and its comment is true.

    A second signal interrupts at once. Only the main thread may set handlers; in others nothing stops.
    """
    asked = threading.Event()

    def receive(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watch_for_stop(
    spec: RunSpec,
    reader: ForgeReader,
    signalled: Cancelled,
    *,
    since: str,
    clock: Callable[[], float] = time.monotonic,
) -> Cancelled:
    """True after a signal, or once a comment of our own account carries this run's stop marker.

    `since` is the ISO time of the run's start: older comments can't stop it. A forge that does not answer
    does not stop the work.
    """
    if spec.subject is None:
        return signalled
    number, viewer, marker = spec.subject.number, reader.viewer().id, stop_marker(spec.run_id)
    polled = spare(reader)
    asked_at, stopped = clock(), False

    def cancelled() -> bool:
        nonlocal asked_at, stopped
        if stopped or signalled():
            return True
        if clock() - asked_at >= POLL_SECONDS:
            asked_at = clock()
            try:
                comments = polled.comments(number, since=since)
            except ForgeError:
                return False
            stopped = any(each.author.id == viewer and has_marker(each.body, marker) for each in comments)
        return stopped

    return cancelled

"""One delivery in the inbox -> its run, and an end in any case: done, laid aside, or tried again later."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

from bot.api.schedule import Lane, Schedule
from bot.errors import EventError, ProviderError, SandpiperError
from bot.forge.events.parsing import MAX_BYTES, load_payload, parse_event
from bot.publishing import unfinished
from bot.settings import Settings
from bot.store.inbox import Delivery, Inbox
from bot.triage.gate import screen
from bot.types.event import Commented, Event, Other
from bot.types.run import Run

TRIES = 6
"""How often a delivery is begun; one that ends the process each time must not do so for ever."""
PAUSES = (10.0, 60.0, 300.0, 900.0, 1800.0)
"""Seconds before the next try where a provider does not answer, or another process is at the run."""
OURS = frozenset({"store_unusable", "inbox_unusable"})
"""Failures of this machine's disk, for which no delivery can be blamed."""
QUICK = frozenset({"help", "status", "stop"})
"""Commands that are answered while a run on the same issue is under way: `stop` is about that run."""

Perform = Callable[[Event], Run]
Abandon = Callable[[Event, str], None]
"""Ends the event's run, on the record and for people, with a reason."""

log = logging.getLogger(__name__)


class Errands:
    """What the threads do with one delivery."""

    def __init__(
        self, inbox: Inbox, schedule: Schedule, settings: Settings, perform: Perform, abandon: Abandon
    ) -> None:
        self._inbox, self._schedule, self._settings = inbox, schedule, settings
        self._perform, self._abandon = perform, abandon

    @contextlib.contextmanager
    def kept(self, delivery: Delivery) -> Iterator[None]:
        """A disk that is full ends neither the thread nor the delivery: doing it again later does no harm."""
        try:
            yield
        except SandpiperError as error:
            log.error("delivery postponed: %s", error.message, extra=_facts(delivery))
            self._schedule.postpone(delivery, PAUSES[1])

    def read(self, delivery: Delivery) -> Event | None:
        """The event in it; one that can't be parsed is laid aside with the reason."""
        body = self._inbox.body(delivery)
        try:
            return event_of(delivery, body, self._settings)
        except SandpiperError as error:
            self._give_up(delivery, error.message)
        except Exception as error:
            # A defect of ours in one delivery: the next ones must still be served.
            log.exception("a delivery can't be read", extra=_facts(delivery))
            self._give_up(delivery, f"a defect in the bot: {type(error).__name__}")
        return None

    def serve(self, delivery: Delivery, event: Event) -> None:
        """Do the work, and see that the delivery ends: done, laid aside, or tried again later."""
        if ignored := screen(event, self._settings):  # not worth a record: anybody's words are among it
            log.info("delivery ignored: %s", ignored.reason, extra=_facts(delivery))
            self._done(delivery, f"ignored: {ignored.reason}")
            return
        began, tries = time.monotonic(), self._inbox.begin(delivery)
        if tries > TRIES:
            self._abandoned(delivery, event)
            return
        try:
            run = self._perform(event)
        except ProviderError as error:
            self._again(delivery, tries, error.message)
        except SandpiperError as error:
            if error.code in OURS:
                raise  # it is postponed: see `kept`
            self._give_up(delivery, f"{error.message} [{error.code}]")
        except Exception as error:
            # The run says so on the forge already (see bot.pipeline); this thread goes on with the next one.
            log.exception("a run ended by a defect", extra=_facts(delivery))
            self._done(delivery, f"a defect in the bot: {type(error).__name__}")
        else:
            if run.status != "completed":
                self._again(delivery, tries, "another process is at this run")
                return
            if unfinished(run):
                why = run.failure.message if run.failure else "nobody heard how it ended"
                self._again(delivery, tries, f"run {run.run_id}: {why}")
                return
            seconds = round(time.monotonic() - began, 3)
            facts = _facts(delivery) | {"run_id": run.run_id, "conclusion": run.conclusion, "seconds": seconds}
            log.info("delivery done", extra=facts)
            self._done(delivery, f"{run.run_id} {run.conclusion}")

    def _abandoned(self, delivery: Delivery, event: Event) -> None:
        """Give it up for good: what people read as under way would be so for ever."""
        reason = f"it was begun {TRIES} times and never came to an end"
        try:
            self._abandon(event, reason)
        except SandpiperError as error:
            log.error("a run can't be ended: %s", error.message, extra=_facts(delivery))
        self._give_up(delivery, reason)

    def _done(self, delivery: Delivery, note: str) -> None:
        self._inbox.finish(delivery, note)
        self._schedule.remove(delivery)

    def _again(self, delivery: Delivery, tries: int, reason: str) -> None:
        if tries > len(PAUSES):
            self._give_up(delivery, reason)
            return
        log.warning("delivery postponed: %s", reason, extra=_facts(delivery) | {"seconds": PAUSES[tries - 1]})
        self._schedule.postpone(delivery, PAUSES[tries - 1])

    def _give_up(self, delivery: Delivery, reason: str) -> None:
        log.error("delivery laid aside: %s", reason, extra=_facts(delivery))
        self._inbox.set_aside(delivery, reason)
        self._schedule.remove(delivery)


def event_of(delivery: Delivery, body: bytes, settings: Settings) -> Event:
    """The event in a delivery's body. Raises EventError."""
    if delivery.form:
        try:
            fields = parse_qs(body.decode("ascii"), max_num_fields=10, strict_parsing=True)
        except ValueError:
            raise EventError("payload_invalid", "the body is no form") from None
        body = fields.get("payload", [""])[0].encode("utf-8", "replace")[: MAX_BYTES + 1]
    return parse_event(delivery.event, load_payload(body), settings=settings, delivery=delivery.id)


def lane_of(event: Event) -> Lane | None:
    """Where its run would work; None for what starts no run and is answered at once."""
    trigger = event.trigger
    if isinstance(trigger, Other):
        return None
    if isinstance(trigger, Commented) and (trigger.command is None or trigger.command.verb in QUICK):
        return None
    return event.repository.full_name.lower(), event.subject.number if event.subject else event.id


def _facts(delivery: Delivery) -> dict[str, object]:
    return {"delivery": delivery.id, "event": delivery.event}

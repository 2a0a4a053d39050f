"""The record of one run, stage by stage, and the news it sends on its way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from bot.types.decision import Decision
from bot.types.event import Event
from bot.types.output import Receipt
from bot.types.result import Failure, RunResult
from bot.types.value import Conclusion, RunId, Status, Value

SPENT = "spent.txt"
"""File in a run's folder: what its model cost so far, an amount in each line."""


def run_id_of(event: Event) -> RunId:
    """The id of the run that this event starts: the same for every delivery of it, on every machine.

    The repository counts by its number, which outlives a new name; by its name where it has no number.
    """
    place = event.repository.id or event.repository.full_name.lower()
    return hashlib.sha256(f"{place}\n{event.id}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Run(Value):
    """Everything known about one run; each stage leaves its value here, so a crash resumes after the last one."""

    run_id: RunId
    """Derived from the event's identity."""
    event: Event
    """What started it."""
    status: Status = "queued"
    """How far it is."""
    decision: Decision | None = None
    """What was decided."""
    result: RunResult | None = None
    """What came out."""
    intents: tuple[str, ...] = ()
    """Keys of outputs that were begun: one without a receipt is in doubt and read back first."""
    receipts: tuple[Receipt, ...] = ()
    """What was published."""
    conclusion: Conclusion | None = None
    """How it ended; set exactly when `status` is completed."""
    failure: Failure | None = None
    """Why it ended badly."""
    created_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    """When it was opened."""
    updated_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    """When it was last saved."""

    def receipt(self, kind: str) -> Receipt | None:
        """The newest receipt of that kind."""
        return next((each for each in reversed(self.receipts) if each.kind == kind), None)


Stage = Literal["event", "decide", "announce", "checkout", "sandbox", "work", "collect", "publish", "done", "audit"]
"""Parts of the story; `audit` is for machines: one line for every step in the life of a sandbox."""


class Progress(Value):
    """One line of news for whoever watches."""

    stage: Stage
    """Which part of the story."""
    text: str
    """What happens."""
    detail: str = ""
    """More of it, possibly several lines; untrusted."""
    facts: Mapping[str, str | int | float | bool] = Field(default_factory=dict)
    """The same for machines; untrusted where it is text."""

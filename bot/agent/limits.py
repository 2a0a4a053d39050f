"""The limits of a run: how much time is left, and the exception that ends a conversation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bot.errors import Cancelled
from bot.protocols import Cancelled as IsCancelled
from bot.types.result import Failure
from bot.types.value import Conclusion

Clock = Callable[[], float]
"""Seconds on a clock that never goes back."""


class Ended(Exception):
    """The work is over; carries how. Not for the doors: the runtime that started the work catches it."""

    def __init__(self, conclusion: Conclusion, failure: Failure) -> None:
        super().__init__(failure.message)
        self.conclusion = conclusion
        self.failure = failure


@dataclass(frozen=True)
class Deadline:
    """A moment on a clock."""

    at: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, minutes: float, clock: Clock = time.monotonic) -> Deadline:
        """The moment that many minutes from now."""
        return cls(clock() + minutes * 60, clock)

    def seconds(self, at_most: float) -> float:
        """Seconds that something may still take; a little above zero when there are none."""
        return max(0.1, min(at_most, self.at - self.clock()))

    def passed(self) -> bool:
        """Whether nothing may be started any more."""
        return self.clock() >= self.at


def time_limit(minutes: float) -> Ended:
    """The ending of a run whose time is over."""
    return Ended(
        "timed_out",
        Failure(
            code="time_limit",
            message=f"The time limit of {minutes:g} minutes was reached.",
            hint="Raise `limits.minutes` of the task in the policy, or ask for a smaller piece of work.",
        ),
    )


def stop_if(cancelled: IsCancelled) -> None:
    """Raise Cancelled when a person asked to stop."""
    if cancelled():
        raise Cancelled("cancelled", "The run was stopped by a person.")

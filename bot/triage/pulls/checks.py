"""The checks on a pull request's head -> whether they pass, which of them weigh, and which only work on code mends.

Where the branch requires some checks, only those weigh; where it requires none, nobody said which matter, and all do.

Source: GitHub's REST reference, "Checks", conclusions of a check run; "Commit statuses", states.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from bot.types.pull import CheckState

FINE = ("success", "neutral", "skipped")
BY_CODE = ("failure", "timed_out", "error")
"""Failures that a change of the code may mend. The others (cancelled, stale, action_required, startup_failure) wait for
a person: somebody has to start it again, or to allow it."""
PENDING = ("pending", "expected", "queued", "in_progress", "waiting", "requested")

Verdict = Literal["passing", "failing", "pending", "none"]


class Checks(NamedTuple):
    """Checks, sorted."""

    verdict: Verdict
    """Of those that weigh, all together: one that fails outweighs one that is under way."""
    failing: tuple[CheckState, ...]
    """Those that weigh and failed."""
    pending: tuple[CheckState, ...]
    """Those that weigh and are under way."""
    optional: tuple[CheckState, ...]
    """Those that failed and do not weigh."""


def checks_of(checks: Sequence[CheckState]) -> Checks:
    """Sort them."""
    required = [each for each in checks if each.required]
    weighty = required or list(checks)
    failing = tuple(each for each in weighty if _failed(each))
    pending = tuple(each for each in weighty if is_pending(each))
    verdict: Verdict = "failing" if failing else "pending" if pending else "passing" if weighty else "none"
    optional = tuple(each for each in checks if _failed(each) and not each.required) if required else ()
    return Checks(verdict, failing, pending, optional)


def is_pending(check: CheckState) -> bool:
    """Whether it is under way; a commit status tells that as its conclusion."""
    return check.status != "completed" or check.conclusion.lower() in ("", *PENDING)


def needs_person(check: CheckState) -> bool:
    """Whether no change of the code makes this failed check pass."""
    return check.conclusion.lower() not in BY_CODE


def _failed(check: CheckState) -> bool:
    return not is_pending(check) and check.conclusion.lower() not in FINE

"""What a review found, and the diff -> one review with remarks on its lines. Pure."""

from __future__ import annotations

from bot.settings import Settings
from bot.types.output import Review
from bot.types.result import RunResult
from bot.types.task import RunSpec


def review_of(spec: RunSpec, result: RunResult, diff: str, settings: Settings) -> Review | None:
    """The review of a pull request, None where the task makes none."""
    return None

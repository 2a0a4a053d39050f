"""A Review -> one review on a pull request, its remarks on lines of the diff ("Create a review for a pull request")."""

from __future__ import annotations

from collections.abc import Callable

from bot.errors import ForgeError
from bot.forge.client import Client
from bot.types.event import Actor
from bot.types.output import Receipt, Review


def publish_review(client: Client, path: str, output: Review, viewer: Callable[[], Actor], *, doubt: bool) -> Receipt:
    """Write it, or keep the one that is there. `path` is `/repos/<owner>/<name>`."""
    raise ForgeError("reviews_missing", "reviews are not written yet")

"""A token -> the account that it acts as.

The token is the job's own (GITHUB_TOKEN) or a personal one; both go through `settings.token`.
"""

from __future__ import annotations

from bot.errors import ForgeError
from bot.forge import shapes
from bot.forge.client import Reads, shaped
from bot.types.event import Actor

ACTIONS = Actor(login="github-actions[bot]", id=41898282, type="Bot")
"""The account of every GITHUB_TOKEN (GitHub's page "Automatic token authentication"), the same on every repository."""


def viewer_of(reads: Reads) -> Actor:
    """Ask `GET /user`. A job's token is no user and gets 403 there, and only then the answer is the Actions account."""
    try:
        return shaped(shapes.actor, reads.get("/user"))
    except ForgeError as error:
        if error.code != "forbidden":
            raise
        return ACTIONS

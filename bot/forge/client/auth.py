"""A token -> the account that it acts as.

GraphQL's `viewer` answers every kind of token: a person's with the person, a job's with `github-actions[bot]`, an App's
installation with `<slug>[bot]`. Where GraphQL is not to be had, REST has a way for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from bot.errors import ForgeError
from bot.forge.client.client import Reads, shaped
from bot.forge.reading import shapes
from bot.types.event import Actor

ACTIONS = Actor(login="github-actions[bot]", id=41898282, type="Bot")
"""The account of every GITHUB_TOKEN (GitHub's page "Automatic token authentication"), the same on every repository."""
VIEWER = "query { viewer { login databaseId } }"
FINAL = ("unauthorized", "rate_limited")
"""Errors after which asking in another way is no use."""


def viewer_of(reads: Reads, slug: Callable[[], str] | None = None) -> Actor:
    """Ask GraphQL, then REST. `slug` asks for the App's name, where an App acts."""
    try:
        return shaped(viewer, reads.query(VIEWER))
    except ForgeError as error:
        if error.code in FINAL or error.code.startswith(("installation_", "app_", "permission_")):
            raise
    if slug is not None:
        return shaped(shapes.actor, reads.get(f"/users/{quote(f'{slug()}[bot]', safe='')}"))
    try:
        return shaped(shapes.actor, reads.get("/user"))
    except ForgeError as error:
        # A job's token is no user and gets 403 here; any other installation's would have had its App's key with it.
        if error.code != "forbidden":
            raise
        return ACTIONS


def viewer(data: Mapping[str, Any]) -> Actor:
    """GraphQL's `viewer`, which is a `User` there even where a bot is meant; brackets are in no person's login."""
    found = data["viewer"]
    kind = "Bot" if str(found["login"]).endswith("[bot]") else "User"
    return Actor(login=found["login"], id=found["databaseId"], type=kind)

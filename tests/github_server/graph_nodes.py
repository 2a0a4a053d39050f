"""What every part of the GraphQL shares: accounts, pages of a connection, and the errors of a field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphql import GraphQLError

from .records import User

MOST = 100


def refused(kind: str, message: str) -> GraphQLError:
    """An error of one field."""
    return GraphQLError(message, extensions={"type": kind})


def user_node(user: User) -> dict[str, Any]:
    """The account that a token acts as: in `viewer` even a bot is a User, with the suffix in its login."""
    return {"id": f"U_{user.id}", "login": user.login, "databaseId": user.id, "name": None}


def actor_node(user: User | None) -> dict[str, Any] | None:
    """An author: a Bot's login has no suffix here, which REST gives it. None for an account that is gone."""
    if user is None or user.gone:
        return None
    kind = "Bot" if user.type == "Bot" else "User"
    login = user.login.removesuffix("[bot]")
    return {"__typename": kind, "id": f"{kind}_{user.id}", "login": login, "databaseId": user.id, "name": None}


def connection(name: str, items: Sequence[Any], args: dict[str, Any]) -> dict[str, Any]:
    """One page; without bounds, or with more than 100, GitHub refuses."""
    first, last = args.get("first"), args.get("last")
    if first is None and last is None:
        message = f"You must provide a `first` or `last` value to properly paginate the `{name}` connection."
        raise refused("MISSING_PAGINATION_BOUNDARIES", message)
    size = first if first is not None else last
    assert size is not None
    if size > MOST:
        message = f"Requesting {size} records on the `{name}` connection exceeds the `first` limit of {MOST} records."
        raise refused("EXCESSIVE_PAGINATION", message)
    start = int(args["after"].removeprefix("cursor:")) if args.get("after") else 0
    if first is None:
        start = max(len(items) - size, 0)
    chosen = items[start : start + size]
    end = start + len(chosen)
    info: dict[str, Any] = {"endCursor": f"cursor:{end}", "startCursor": f"cursor:{start}"} if chosen else {}
    info |= {"hasNextPage": end < len(items), "hasPreviousPage": start > 0}
    return {"nodes": chosen, "pageInfo": info, "totalCount": len(items)}

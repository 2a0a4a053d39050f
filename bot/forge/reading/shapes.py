"""GitHub's JSON -> our values, for what the API answers: the shapes that webhooks carry too, read by the same types.

Field names: GitHub's REST schemas `simple-user`, `issue`, `pull-request`, `issue-comment`, `full-repository`.
"""

from __future__ import annotations

from typing import Any

from bot.forge.events.payloads import GHOST, Account, CommentShape, Home, IssueShape, PullShape, ReviewShape
from bot.types.event import Actor, Comment, Repository, Subject
from bot.types.value import CommentKind


def actor(data: Any) -> Actor:
    """`simple-user`; the ghost for null."""
    return GHOST if data is None else Account.model_validate(data).value()


def repository(data: Any) -> Repository:
    """`full-repository`."""
    return Home.model_validate(data).value()


def issue(data: Any) -> Subject:
    """`issue`."""
    return IssueShape.model_validate(data).value()


def pull(data: Any) -> Subject:
    """`pull-request` or `pull-request-simple`."""
    return PullShape.model_validate(data).value()


def comment(data: Any, kind: CommentKind) -> Comment:
    """`issue-comment` or `pull-request-review-comment`."""
    return CommentShape.model_validate(data).value(kind)


def who(data: Any) -> Actor | None:
    """GraphQL's `Actor`, None for null. A Bot's login lacks the suffix there that it has everywhere else."""
    if data is None:
        return None
    kind, login = str(data["__typename"]), str(data["login"])
    if kind == "Bot":
        login = login.removesuffix("[bot]") + "[bot]"
    return Actor(login=login, id=int(data.get("databaseId") or 0), type=kind)


def nodes(data: Any) -> tuple[Any, ...]:
    """The nodes of a GraphQL connection that are there."""
    return tuple(each for each in (data or {}).get("nodes") or () if each is not None)


def verdict(data: Any) -> Comment:
    """`pull-request-review`: the words above it."""
    return ReviewShape.model_validate(data).value()


WHO = """
fragment Who on Actor {
  __typename login
  ... on User { databaseId } ... on Bot { databaseId }
  ... on Mannequin { databaseId } ... on Organization { databaseId }
}
"""
"""Part of a GraphQL document: what `who` reads."""

"""A pull request -> the threads on its lines that earlier reviews of ours opened, and how they are brought to an end.

Ours is a thread whose first comment was written by our own account and begins with our marker. Read by GraphQL, which
alone knows what is resolved; where that can't be had, by REST, which knows the rest.

Source: GitHub's GraphQL reference, PullRequestReviewThread and resolveReviewThread.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from bot.errors import ForgeError, NotFound
from bot.forge.client.client import Client, shaped
from bot.marks import has_marker, marker

PAGES = 30
"""Pages of threads that are read, 100 to a page."""
SHOWN = 30_000
"""Characters of a comment that are kept when it is marked as outdated."""
OUTDATED = marker("outdated", "1")
FINAL = ("unauthorized", "rate_limited")
"""Errors after which another way is no use."""

QUERY = """
query($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) { reviewThreads(first: 100, after: $after) {
    nodes {
      id isResolved isOutdated resolvedBy { databaseId }
      comments(first: 1) { totalCount nodes {
        databaseId body pullRequestReview { databaseId }
        author { ... on Bot { databaseId } ... on User { databaseId } }
      } }
    }
    pageInfo { hasNextPage endCursor }
  } } }
}
"""
RESOLVE = "mutation($thread: ID!) { resolveReviewThread(input: {threadId: $thread}) { thread { id isResolved } } }"

_FINGERPRINT = re.compile(r"<!-- sandpiper:finding=([0-9a-f]{16}) -->")
_SUGGESTION = re.compile(r"^(`{3,})suggestion$", re.MULTILINE)


class Thread(NamedTuple):
    """A thread of ours."""

    id: str
    """GraphQL's name of it, empty where it was read by REST."""
    comment: int
    """Its first comment."""
    review: int
    """The review that opened it, 0 if unknown."""
    fingerprint: str
    """What it says."""
    body: str
    """How it says it."""
    outdated: bool
    """Whether its lines are no longer there, or a review of ours said so."""
    resolved: bool
    """Whether somebody resolved it."""
    dismissed: bool
    """Whether that was somebody else."""
    answered: bool
    """Whether anybody answered."""


def finding_marker(fingerprint: str) -> str:
    """First line of each remark."""
    return marker("finding", fingerprint)


def standing(threads: Sequence[Thread], review: int) -> frozenset[str]:
    """What need not be said again: it stands open, people talk about it, or a person put it aside.

    `review` is the one that is being written: what it says itself counts as not said before.
    """
    return frozenset(
        each.fingerprint
        for each in threads
        if each.review != review
        and ((not each.resolved and (each.answered or not each.outdated)) or (each.dismissed and not each.outdated))
    )


def over(threads: Sequence[Thread], said: Collection[str], review: int) -> tuple[Thread, ...]:
    """Open threads of earlier reviews that this one, which says `said`, brings to an end: nobody answered in them."""
    return tuple(
        each
        for each in threads
        if not each.resolved
        and not each.answered
        and each.review != review
        and (each.outdated or each.fingerprint not in said)
    )


def read_threads(client: Client, path: str, number: int, own: int) -> tuple[Thread, ...]:
    """Threads of the account `own`, oldest first. `path` is `/repos/<owner>/<name>`."""
    try:
        return tuple(_by_graphql(client, path, number, own))
    except ForgeError as error:
        if error.code in FINAL:
            raise
    rows = client.pages(f"{path}/pulls/{number}/comments", most=PAGES)
    answered = frozenset(row.get("in_reply_to_id") for row in rows)
    found = (shaped(lambda data: _by_comment(data, own, answered), row) for row in rows)
    return tuple(each for each in found if each)


def end(client: Client, path: str, threads: Sequence[Thread]) -> None:
    """Resolve them; where the token may not, their comments say that they are outdated. Repeated without harm."""
    may_resolve = True
    for thread in threads:
        if thread.id and may_resolve:
            may_resolve = _resolve(client, thread)
        if not (thread.id and may_resolve):
            _mark(client, path, thread)


def as_code(body: str) -> str:
    """A remark for a place where nothing can be committed from it."""
    return _SUGGESTION.sub(r"\1", body)


def _resolve(client: Client, thread: Thread) -> bool:
    """False where the token may not. A second time changes nothing, so a lost answer is asked for again."""
    try:
        client.settle(lambda: client.mutate(RESOLVE, {"thread": thread.id}), lambda: None)
    except NotFound:
        return True  # deleted meanwhile
    except ForgeError as error:
        if error.code in FINAL:
            raise
        return False
    return True


def _mark(client: Client, path: str, thread: Thread) -> None:
    if has_marker(thread.body, OUTDATED):
        return
    head, _, words = thread.body.partition("\n")
    words = as_code(words) if len(words) <= SHOWN else "*It was too long to be kept.*"
    body = f"{head}\n{OUTDATED}\n*Outdated: the last review does not say this any more.*\n\n<details>\n"
    body += f"<summary>What it said</summary>\n\n{words.strip()}\n\n</details>"
    with contextlib.suppress(NotFound):  # deleted meanwhile
        client.repeat("PATCH", f"{path}/pulls/comments/{thread.comment}", {"body": body})


def _by_graphql(client: Client, path: str, number: int, own: int) -> Iterator[Thread]:
    owner, name = path.split("/")[2:4]
    after: str | None = None
    for _ in range(PAGES):
        asked = {"owner": owner, "name": name, "number": number, "after": after}
        page = shaped(_page, client.query(QUERY, asked))
        for node in page["nodes"] or ():
            thread = shaped(lambda data: _by_node(data, own), node)
            if thread:
                yield thread
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"] or not after:
            return


def _page(data: Any) -> dict[str, Any]:
    page = data["repository"]["pullRequest"]["reviewThreads"]
    return {"nodes": page["nodes"], "pageInfo": dict(page["pageInfo"])}


def _by_node(node: Any, own: int) -> Thread | None:
    comments = ((node or {}).get("comments") or {}).get("nodes") or ()
    first: Any = comments[0] if comments else None
    fingerprint = _fingerprint(first["body"]) if first and (first["author"] or {}).get("databaseId") == own else ""
    if not fingerprint:
        return None
    return Thread(
        id=str(node["id"]),
        comment=int(first["databaseId"]),
        review=int((first["pullRequestReview"] or {}).get("databaseId") or 0),
        fingerprint=fingerprint,
        body=str(first["body"]),
        outdated=bool(node["isOutdated"]) or has_marker(first["body"], OUTDATED),
        resolved=bool(node["isResolved"]),
        dismissed=bool(node["isResolved"]) and (node["resolvedBy"] or {}).get("databaseId") not in (None, own),
        answered=int(node["comments"]["totalCount"]) > 1,
    )


def _by_comment(row: Any, own: int, answered: frozenset[Any]) -> Thread | None:
    fingerprint = _fingerprint(str(row["body"])) if (row["user"] or {}).get("id") == own else ""
    if not fingerprint or row.get("in_reply_to_id"):
        return None
    return Thread(
        id="",
        comment=int(row["id"]),
        review=int(row.get("pull_request_review_id") or 0),
        fingerprint=fingerprint,
        body=str(row["body"]),
        outdated=row.get("line") is None or has_marker(str(row["body"]), OUTDATED),
        resolved=False,
        dismissed=False,
        answered=row["id"] in answered,
    )


def _fingerprint(body: str) -> str:
    found = _FINGERPRINT.fullmatch(body.replace("\r\n", "\n").partition("\n")[0])
    return found[1] if found else ""

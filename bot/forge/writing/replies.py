"""A Reply -> an answer in a review thread on GitHub, written once: one of ours with the same marker is kept.

Source: GitHub's GraphQL reference, addPullRequestReviewThreadReply and PullRequestReviewThread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.errors import NotFound
from bot.forge.client.client import Client, shaped
from bot.marks import has_marker
from bot.types.event import Actor
from bot.types.output import Receipt, Reply

QUERY = """
query($thread: ID!) { node(id: $thread) { ... on PullRequestReviewThread {
  comments(last: 100) { nodes { databaseId body url author { ... on Bot { databaseId } ... on User { databaseId } } } }
} } }
"""
REPLY = """
mutation($thread: ID!, $body: String!) {
  addPullRequestReviewThreadReply(input: {pullRequestReviewThreadId: $thread, body: $body}) {
    comment { databaseId url }
  }
}
"""


def publish_reply(client: Client, output: Reply, viewer: Callable[[], Actor], *, doubt: bool) -> Receipt:
    """Write it, or keep the one that is there. A thread that is gone is no failure: nobody waits for the answer.

    The receipt says with `done` whether it is new; in doubt one that is there counts as this very one.
    """
    own, receipt = viewer().id, Receipt(key=output.key, kind=output.kind)
    try:
        old = _found(client, output, own)
        made = old if old is not None else client.settle(*_ways(client, output, own))
    except NotFound:
        return receipt.changed(remark="the conversation is gone", done=False)
    receipt = shaped(lambda data: receipt.changed(id=int(data["databaseId"] or 0), url=str(data["url"])), made)
    return receipt if old is None or doubt else receipt.changed(remark="it was answered before", done=False)


def _ways(client: Client, output: Reply, own: int) -> tuple[Callable[[], Any], Callable[[], Any | None]]:
    asked = {"thread": output.thread, "body": f"{output.marker}\n{output.body}"}
    return (
        lambda: shaped(_comment, client.mutate(REPLY, asked)),
        lambda: _found(client, output, own),
    )


def _comment(data: Any) -> dict[str, Any]:
    return dict(data["addPullRequestReviewThreadReply"]["comment"])


def _found(client: Client, output: Reply, own: int) -> dict[str, Any] | None:
    """Ours in the thread. Raises NotFound where there is no thread."""
    data = client.query(QUERY, {"thread": output.thread})
    if data.get("node") is None:
        raise NotFound("not_found", f"there is no conversation {output.thread!r}", hint="was it deleted?")
    rows = shaped(lambda data: [dict(row) for row in data["node"]["comments"]["nodes"] if row], data)
    # Anybody can copy the hidden marker into an answer, only ours counts.
    ours = (row for row in rows if (row.get("author") or {}).get("databaseId") == own)
    return next((row for row in ours if has_marker(str(row.get("body") or ""), output.marker)), None)

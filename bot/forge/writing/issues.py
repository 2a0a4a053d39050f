"""A NewIssue -> an issue on GitHub, opened once ("Create an issue"): one of ours with the same marker is kept.

GitHub has no key with which a client could make a creation idempotent, and its search lags behind what was written; so
the account's own issues are listed, which is always up to date.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.forge.client.client import Client, shaped
from bot.marks import has_marker
from bot.types.event import Actor
from bot.types.output import NewIssue, Receipt

PAGES = 10
"""Pages of our own issues that are searched, 100 to a page, the newest ones."""
TITLE_LIMIT = 256

Known = dict[int, tuple[Any, ...]]
"""Account -> its issues as they were listed once, so that twenty new ones need one list."""


def open_issue(client: Client, path: str, output: NewIssue, viewer: Actor, known: Known, *, doubt: bool) -> Receipt:
    """Open it, or keep the one that is there, open or closed. `path` is `/repos/<owner>/<name>`.

    The receipt says with `done` whether it is new; in doubt one that is there counts as this very one.
    """
    if viewer.id not in known:
        known[viewer.id] = _own(client, path, viewer)
    old = _marked(known[viewer.id], output)
    made = old if old is not None else client.settle(*_ways(client, path, output, viewer))
    known[viewer.id] = (*known[viewer.id], made)

    def receipt(data: Any) -> Receipt:
        made = Receipt(key=output.key, kind=output.kind, id=int(data["number"]), url=data.get("html_url") or "")
        return made if old is None or doubt else made.changed(remark="it was opened before", done=False)

    return shaped(receipt, made)


def _ways(
    client: Client, path: str, output: NewIssue, viewer: Actor
) -> tuple[Callable[[], Any], Callable[[], Any | None]]:
    body = {
        "title": output.title[:TITLE_LIMIT],
        "body": f"{output.marker}\n{output.body}",
        "labels": list(output.labels),
    }
    return (
        lambda: client.write("POST", f"{path}/issues", body),
        lambda: _marked(_own(client, path, viewer), output),
    )


def _own(client: Client, path: str, viewer: Actor) -> tuple[Any, ...]:
    """Issues that the account opened, newest last. Oldest first is asked for: of many pages the last ones are read."""
    query = {"creator": viewer.login, "state": "all", "sort": "created", "direction": "asc"}
    rows = client.pages(f"{path}/issues", query, most=PAGES)
    return tuple(row for row in rows if isinstance(row, dict) and "pull_request" not in row and _by(row, viewer))


def _marked(rows: tuple[Any, ...], output: NewIssue) -> Any | None:
    # Anybody can copy the hidden marker into an issue, only ours counts.
    return next((row for row in rows if has_marker(str(row.get("body") or ""), output.marker)), None)


def _by(row: Any, viewer: Actor) -> bool:
    return int((row.get("user") or {}).get("id") or 0) == viewer.id

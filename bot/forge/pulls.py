"""A Pull -> a draft pull request on GitHub, the only one from its branch ("Create a pull request")."""

from __future__ import annotations

from typing import Any

from bot.errors import Conflict
from bot.forge.client import TRIES, Client, pause, shaped
from bot.types.output import Pull, Receipt

TITLE_LIMIT = 256
NOT_SEEN_YET = ("PullRequest.head invalid", "Head sha can't be blank")
"""What GitHub says for a moment after a branch was made, until all of its servers know the branch."""
NO_DRAFTS = "raft pull requests are not supported"
"""What GitHub says where the plan knows no drafts (private repositories without a paid plan)."""


def publish_pull(client: Client, path: str, output: Pull, *, doubt: bool, draft: bool = True) -> Receipt:
    """Open it, or keep the one that is there. `path` is `/repos/<owner>/<name>`.

    Where drafts are not to be had it becomes an ordinary pull request whose title says that it is one.
    """
    title = output.title if draft else f"Draft: {output.title}"
    body = {"title": title[:TITLE_LIMIT], "head": output.head, "base": output.base, "body": output.body, "draft": draft}

    def make() -> Any:
        for attempt in range(1, TRIES):
            try:
                return client.write("POST", f"{path}/pulls", body)
            except Conflict as error:
                if not any(each in error.message for each in NOT_SEEN_YET):
                    raise
                client.sleep(pause(attempt))
        return client.write("POST", f"{path}/pulls", body)

    try:
        made = client.settle(make, lambda: _find(client, path, output), doubt=doubt)
    except Conflict as error:
        if draft and NO_DRAFTS in error.message:
            return publish_pull(client, path, output, doubt=doubt, draft=False)
        made = _find(client, path, output)
        if made is None:
            raise

    def receipt(data: Any) -> Receipt:
        return Receipt(key=output.key, kind=output.kind, id=data["number"], url=data.get("html_url") or "")

    return shaped(receipt, made)


def _find(client: Client, path: str, output: Pull) -> Any:
    """The newest pull request from our branch, open or not: one that a person closed is not opened again."""
    owner = path.split("/")[2]
    query = {"head": f"{owner}:{output.head}", "state": "all", "base": output.base, "per_page": 100}
    rows = client.get(f"{path}/pulls", query)
    mine = [row for row in rows if _is_ours(row, path, output)] if isinstance(rows, list) else []
    return next((row for row in mine if row.get("state") == "open"), mine[0] if mine else None)


def _is_ours(row: Any, path: str, output: Pull) -> bool:
    head, base = row.get("head") or {}, row.get("base") or {}
    home = str((head.get("repo") or {}).get("full_name", ""))
    same = head.get("ref") == output.head and base.get("ref") == output.base
    return bool(same and f"/repos/{home}".lower() == path.lower())

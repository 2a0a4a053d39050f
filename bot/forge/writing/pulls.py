"""A Pull -> a draft pull request on GitHub, the only one from its branch ("Create a pull request")."""

from __future__ import annotations

from typing import Any

from bot.errors import Conflict
from bot.forge.client.client import Client, shaped
from bot.types.output import Pull, Receipt

TITLE_LIMIT = 256
NO_DRAFTS = "raft pull requests are not supported"
"""What GitHub says where the plan knows no drafts (private repositories without a paid plan)."""
NO_BASE = "PullRequest.base invalid"
"""What GitHub says where the branch to merge into is gone."""


def publish_pull(client: Client, path: str, output: Pull, *, doubt: bool, draft: bool = True) -> Receipt:
    """Open it, or keep the one that is there. `path` is `/repos/<owner>/<name>`.

    Where drafts are not to be had it becomes an ordinary pull request whose title says that it is one. Raises Conflict
    `base_gone`; where GitHub gave ours another base when the branch below it was merged and deleted, ours is kept.
    """
    title = output.title if draft else f"Draft: {output.title}"
    body = {"title": title[:TITLE_LIMIT], "head": output.head, "base": output.base, "body": output.body, "draft": draft}

    try:
        made = client.settle(
            lambda: client.write("POST", f"{path}/pulls", body), lambda: _find(client, path, output), doubt=doubt
        )
    except Conflict as error:
        if draft and NO_DRAFTS in error.message:
            return publish_pull(client, path, output, doubt=doubt, draft=False)
        gone = NO_BASE in error.message
        made = _find(client, path, output, any_base=gone)
        if made is None and gone:
            hint = f"our commit is on {output.head}: open a pull request into another branch, or start again"
            raise Conflict("base_gone", f"the branch {output.base} is gone", hint=hint) from None
        if made is None:
            raise

    def receipt(data: Any) -> Receipt:
        return Receipt(key=output.key, kind=output.kind, id=data["number"], url=data.get("html_url") or "")

    return shaped(receipt, made)


def _find(client: Client, path: str, output: Pull, *, any_base: bool = False) -> Any:
    """The newest pull request from our branch, open or not: one that a person closed is not opened again."""
    owner = path.split("/")[2]
    query = {"head": f"{owner}:{output.head}", "state": "all", "per_page": 100}
    rows = client.get(f"{path}/pulls", query if any_base else {**query, "base": output.base})
    base = None if any_base else output.base
    mine = [row for row in rows if _is_ours(row, path, output.head, base)] if isinstance(rows, list) else []
    return next((row for row in mine if row.get("state") == "open"), mine[0] if mine else None)


def _is_ours(row: Any, path: str, branch: str, into: str | None) -> bool:
    head, base = row.get("head") or {}, row.get("base") or {}
    home = str((head.get("repo") or {}).get("full_name", ""))
    same = head.get("ref") == branch and into in (None, base.get("ref"))
    return bool(same and f"/repos/{home}".lower() == path.lower())

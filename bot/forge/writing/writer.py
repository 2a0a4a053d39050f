"""Outputs -> objects on GitHub, each exactly once: whoever is in doubt whether a write took effect reads back first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bot.errors import Conflict, ForgeError, NotFound
from bot.forge.client.client import Client, shaped
from bot.forge.writing.checks import Standing, publish_check
from bot.forge.writing.commits import publish_commit
from bot.forge.writing.issues import Known, open_issue
from bot.forge.writing.pulls import publish_pull
from bot.forge.writing.replies import publish_reply
from bot.forge.writing.reviews import publish_review
from bot.forge.writing.undo import close_pull, delete_branch, revert
from bot.types.event import Actor
from bot.types.output import (
    Check,
    ClosePull,
    Commit,
    DeleteBranch,
    LabelChange,
    NewIssue,
    Note,
    Output,
    Pull,
    Reaction,
    Receipt,
    Reply,
    Revert,
    Review,
)

COMMENT_PAGES = 30
"""Pages that are searched for a comment of ours, from the end of a very long conversation."""
LABEL_COLOR = "0e8a16"
LABEL_LIMIT = 50
"""Characters of a label's name, GitHub's limit."""


class GitHubWriter:
    """ForgeWriter for one repository on GitHub."""

    def __init__(self, client: Client, full_name: str, viewer: Callable[[], Actor]) -> None:
        self._client, self._path = client, f"/repos/{full_name}"
        self._viewer = viewer
        self._notes: dict[tuple[int, str], int] = {}
        """(number, marker) -> comment, so that later edits need no search."""
        self._checks: dict[str, Standing] = {}
        self._issues: Known = {}

    def apply(self, output: Output, *, blobs: Path, doubt: bool = False) -> Receipt:
        """Publish one output. Raises ForgeError, NotFound and Conflict as the forge answers."""
        match output:
            case Reaction():
                return self._react(output)
            case Note():
                return self._note(output, doubt=doubt)
            case LabelChange():
                return self._label(output, doubt)
            case Commit():
                return publish_commit(self._client, self._path, output, blobs, doubt=doubt)
            case Pull():
                return publish_pull(self._client, self._path, output, doubt=doubt)
            case Check():
                return publish_check(self._client, self._path, output, self._checks, doubt=doubt)
            case Review():
                return publish_review(self._client, self._path, output, self._viewer, doubt=doubt)
            case ClosePull():
                return close_pull(self._client, self._path, output)
            case DeleteBranch():
                return delete_branch(self._client, self._path, output)
            case Revert():
                return revert(self._client, self._path, output, doubt=doubt)
            case NewIssue():
                for name in output.labels:
                    self._create_label(name[:LABEL_LIMIT])
                return open_issue(self._client, self._path, output, self._viewer(), self._issues, doubt=doubt)
            case Reply():
                return publish_reply(self._client, output, self._viewer, doubt=doubt)

    def _react(self, output: Reaction) -> Receipt:
        """GitHub keeps one reaction of a kind for each account, so asking twice does no harm.

        The text above a review has no address for reactions, so the pull request itself gets that.
        """
        target = f"issues/{output.number}"
        if output.comment is not None and output.comment_kind != "verdict":
            target = f"{'issues' if output.comment_kind == 'issue' else 'pulls'}/comments/{output.comment}"
        made = self._client.repeat("POST", f"{self._path}/{target}/reactions", {"content": output.content})
        return Receipt(key=output.key, kind=output.kind, id=shaped(_id, made))

    def _note(self, output: Note, *, doubt: bool) -> Receipt:
        """Edit the comment of ours that starts with the marker; write it where there is none."""
        body = f"{output.marker}\n{output.body}"
        known = self._notes.get((output.number, output.marker))
        made = self._edit(known, body) if known else None
        if made is None and not (output.new and known is None and not doubt):
            # Also without a doubt: an earlier delivery on another machine may have written it.
            made = self._find_note(output)
            if made is not None and made.get("body") != body:
                made = self._edit(shaped(_id, made), body)
        if made is None:
            path = f"{self._path}/issues/{output.number}/comments"
            made = self._client.settle(
                lambda: self._client.write("POST", path, {"body": body}), lambda: self._find_note(output)
            )
        receipt = _receipt(output, made)
        self._notes[output.number, output.marker] = receipt.id
        return receipt

    def _edit(self, comment: int, body: str) -> Any:
        """None when somebody deleted the comment meanwhile."""
        try:
            return self._client.repeat("PATCH", f"{self._path}/issues/comments/{comment}", {"body": body})
        except NotFound:
            return None

    def _find_note(self, output: Note) -> Any:
        path = f"{self._path}/issues/{output.number}/comments"
        rows = self._client.pages(path, most=COMMENT_PAGES)
        own = self._viewer().id if any(_starts(row, output.marker) for row in rows) else 0
        # Anybody can copy the hidden marker into a comment, only ours counts.
        return next((row for row in rows if _starts(row, output.marker) and _author(row) == own), None)

    def _label(self, output: LabelChange, doubt: bool) -> Receipt:
        """Each step may be repeated without harm. The receipt names what was not on before.

        In doubt all that is to be put on counts as put on by us: an earlier try of ours was about to.
        """
        issue = f"{self._path}/issues/{output.number}/labels"
        add = [name[:LABEL_LIMIT] for name in output.add]
        new = [name for name in add if self._create_label(name)]
        if set(new) != set(add) and not doubt:  # a label that is new to the repository was on nothing
            rows = self._client.pages(issue)
            before = {shaped(_name, row).casefold() for row in rows}
            new = [name for name in add if name.casefold() not in before]
        if add:
            self._client.repeat("POST", issue, {"labels": add})
        for name in output.remove:
            try:
                self._client.repeat("DELETE", f"{issue}/{quote(name, safe='')}")
            except NotFound:
                continue  # it was not on, or somebody was faster
        return Receipt(key=output.key, kind=output.kind, name="\n".join(add if doubt else new))

    def _create_label(self, name: str) -> bool:
        """Whether the repository had no such label before, as far as one can tell."""
        try:
            body = {"name": name, "color": LABEL_COLOR, "description": "Set by the bot"}
            self._client.repeat("POST", f"{self._path}/labels", body)
            return True
        except Conflict as error:
            if "already_exists" not in error.message:
                raise
        except ForgeError as error:
            # Who may put labels on but not create them can still use the ones that exist.
            if error.code not in ("forbidden", "not_found"):
                raise
        return False


def _receipt(output: Note, made: Any) -> Receipt:
    def shape(data: Any) -> Receipt:
        return Receipt(key=output.key, kind=output.kind, id=data["id"], url=data.get("html_url") or "")

    return shaped(shape, made)


def _id(data: Any) -> int:
    return int(data["id"])


def _name(data: Any) -> str:
    return str(data["name"])


def _starts(row: Any, marker: str) -> bool:
    return str(row.get("body") or "").startswith(marker)


def _author(row: Any) -> int:
    return int((row.get("user") or {}).get("id") or 0)

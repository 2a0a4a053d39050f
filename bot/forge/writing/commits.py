"""A Commit -> a signed commit on a branch, made through GitHub's Git Data API: no git runs, nothing is checked out.

The order of things: tree, comparison with the validated changes, commit, comparison with what was asked, and the branch
last. Whatever happens before the last step leaves nothing that anybody could see. No author is named, so GitHub signs
the commit. The branch is never forced: one that moved on meanwhile gets the commit on top where nobody touched the same
files, or is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from bot.errors import Conflict, ForgeError, NotFound
from bot.forge.client.client import Client, shaped
from bot.forge.writing.changes import Change
from bot.forge.writing.uploads import sha_of
from bot.marks import RUN_TRAILER
from bot.types.output import Commit, Receipt

OUR_BRANCH = re.compile(r"bot/(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)))[A-Za-z0-9][A-Za-z0-9._/-]*(?<![./])")
RUN = re.compile(rf"^{RUN_TRAILER}: ([0-9a-f]{{16}})$", re.MULTILINE)
"""The trailer that says which run made a commit."""
ATTEMPTS = 4
"""How often a branch may move between our look at it and our write before it is left alone."""
SEEN = 100
"""Commits, newest first, among which an earlier delivery's commit is looked for: a page."""


class Made(NamedTuple):
    """What matters of a commit."""

    sha: str
    tree: str
    parents: list[str]
    message: str
    url: str


def publish_commit(client: Client, path: str, output: Commit, blobs: Path, *, doubt: bool) -> Receipt:
    """Commit `output.files` on `output.parent`, or on top of what came in meanwhile, and move the branch there.

    `path` is `/repos/<owner>/<name>`. An earlier delivery's commit is kept wherever it lies below the branch's head.
    Raises Conflict `branch_exists`, `branch_gone`, `head_moved`, `empty_commit`, ForgeError `tree_differs`,
    `commit_differs` and TaskError `blob_missing`, `blob_damaged`.
    """
    if output.create and not OUR_BRANCH.fullmatch(output.branch):
        hint = "new branches are named bot/..."
        raise ForgeError("branch_refused", f"not a branch that may be created: {output.branch!r}", hint=hint)
    work = _Work(client, path, output, blobs)
    head = work.head() if doubt or not output.create else None
    for _ in range(ATTEMPTS):
        if head is None and not output.create:
            raise Conflict("branch_gone", f"the branch {output.branch} is gone", hint="restore it and start again")
        if head is not None and (output.create or head != output.parent) and (kept := work.earlier(head)):
            return work.receipt(kept)
        on = work.place(head)
        made = work.make(on)
        try:
            work.move(made)
            return work.receipt(made)
        except Conflict:
            now = work.head()
            if now == made.sha:
                return work.receipt(made)
            if now == head:  # it did not move: refused for another reason
                raise
            head = now
    raise _moved(output, str(head), "and keeps moving")


class _Work:
    """One commit on its way to its branch."""

    def __init__(self, client: Client, path: str, output: Commit, blobs: Path) -> None:
        self._client, self._path, self._output = client, path, output
        self._change = Change(client, path, output, blobs)
        self._ref = f"heads/{quote(output.branch, safe='/')}"

    def head(self) -> str | None:
        """Where the branch stands, None if there is none."""
        try:
            return shaped(_target, self._client.get(f"{self._path}/git/ref/{self._ref}"))
        except NotFound:
            return None

    def earlier(self, head: str) -> Made | None:
        """The commit that an earlier delivery made, at or below the head: our message, and our change, no other."""
        query = {"sha": head, "per_page": SEEN}
        rows = [shaped(_listed, row) for row in shaped(list, self._client.get(f"{self._path}/commits", query))]
        for row in rows:
            if row.sha == self._output.parent:
                return None
            if _same_text(row.message, self._output.message) and len(row.parents) == 1:
                root = next((each.tree for each in rows if each.sha == row.parents[0]), None)
                if self._change.result(root or self._change.root(row.parents[0])) == row.tree:
                    return row
        return None

    def place(self, head: str | None) -> str:
        """The commit to go on: the one that was worked on, or the head. Raises Conflict where neither is possible."""
        output = self._output
        if head is None or (head == output.parent and not output.create):
            return output.parent
        if output.create and self._from_earlier_try(head):
            return head
        if output.create:
            hint = "delete that branch and start again"
            raise Conflict("branch_exists", f"the branch {output.branch} exists and holds something else", hint=hint)
        if not output.rebase:
            raise _moved(output, head, "meanwhile")
        if obstacle := self._change.obstacle(self._change.root(output.parent), self._change.root(head)):
            raise _moved(output, head, f"and {obstacle}")
        return head

    def _from_earlier_try(self, head: str) -> bool:
        """Whether the same run left this commit on its own branch: a second try proposes something else on top.

        Whoever amends or rebases our commit keeps its trailer, and git then gives it a new committer's date.
        """
        data = self._client.get(f"{self._path}/git/commits/{head}")
        found, untouched = shaped(_commit, data), shaped(_is_as_made, data)
        runs = RUN.findall(self._output.message)
        return untouched and bool(runs) and RUN.findall(found.message) == runs

    def make(self, on: str) -> Made:
        """The commit, which nothing points to yet. On a branch of ours its tree is the one that was worked on."""
        tree = self._change.make(self._change.root(self._output.parent if self._output.create else on))
        body = {"message": self._output.message, "tree": tree, "parents": [on]}
        # A commit that nothing points to is nobody's: making it twice does no harm.
        made = shaped(_commit, self._client.repeat("POST", f"{self._path}/git/commits", body))
        same = made.tree == tree and made.parents == [on] and _same_text(made.message, self._output.message)
        if not same:
            hint = "nothing was published; the patch lies in the artifacts"
            raise ForgeError("commit_differs", "GitHub's commit is not the one that was asked for", hint=hint)
        return made

    def move(self, made: Made) -> None:
        """Create the branch at our commit, or forward it. Raises Conflict where GitHub refuses."""

        def write() -> Made:
            if self._output.create and made.parents == [self._output.parent]:
                body: dict[str, Any] = {"ref": f"refs/heads/{self._output.branch}", "sha": made.sha}
                self._client.write("POST", f"{self._path}/git/refs", body)
            else:
                body = {"sha": made.sha, "force": False}
                self._client.write("PATCH", f"{self._path}/git/refs/{self._ref}", body)
            return made

        self._client.settle(write, lambda: made if self.head() == made.sha else None)

    def receipt(self, made: Made) -> Receipt:
        """The proof, which says where the commit went when that is not where it was worked on."""
        output, on = self._output, made.parents[0]
        remark = ""
        if on != output.parent and not output.create:
            remark = f"put on top of {on[:7]}, which came in meanwhile; it was checked on {output.parent[:7]}"
        return Receipt(key=output.key, kind=output.kind, sha=made.sha, url=made.url, name=output.branch, remark=remark)


def _moved(output: Commit, head: str, how: str) -> Conflict:
    said = f"{output.branch} moved from {output.parent[:12]} to {head[:12]} {how}"
    return Conflict("head_moved", said, hint="start again to work on the new state")


def _same_text(left: str, right: str) -> bool:
    """Whether two messages say the same; servers differ in how they end lines and texts."""
    return left.replace("\r\n", "\n").strip() == right.replace("\r\n", "\n").strip()


def _is_as_made(data: Mapping[str, Any]) -> bool:
    """Of a commit that names no author, GitHub dates both alike."""
    return bool(data["author"]["date"] == data["committer"]["date"])


def _target(data: Mapping[str, Any]) -> str:
    return str(data["object"]["sha"])


def _commit(data: Mapping[str, Any]) -> Made:
    parents = [str(each["sha"]) for each in data["parents"]]
    return Made(
        sha_of(data), str(data["tree"]["sha"]), parents, str(data.get("message")), str(data.get("html_url") or "")
    )


def _listed(data: Mapping[str, Any]) -> Made:
    return _commit({**data["commit"], "sha": data["sha"], "parents": data["parents"], "html_url": data.get("html_url")})

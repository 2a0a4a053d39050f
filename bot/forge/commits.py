"""A Commit -> a signed commit on a branch, made through GitHub's Git Data API: no git runs, nothing is checked out.

The order of things: tree, comparison with the validated changes, commit, and the branch last. Whatever happens before
the last step leaves nothing that anybody could see. No author is named, so GitHub signs the commit.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bot.blobs import read_blob
from bot.errors import Conflict, ForgeError, NotFound
from bot.forge.client import Client, shaped
from bot.forge.trees import Entry, Trees
from bot.types.output import Commit, Receipt
from bot.types.sandbox import FileChange

INLINE_FILE = 64_000
"""Bytes of a text that travels inside the tree; a larger file becomes a blob of its own first."""
INLINE_TREE = 2_000_000
"""Bytes of texts in one request."""
BATCH = 500
"""Entries in one request: GitHub gives up on trees that take too long."""
OUR_BRANCH = re.compile(r"bot/(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)))[A-Za-z0-9][A-Za-z0-9._/-]*(?<![./])")

Expected = dict[str, Entry | None]


def publish_commit(client: Client, path: str, output: Commit, blobs: Path, *, doubt: bool) -> Receipt:
    """Commit `output.files` on `output.parent` and move the branch there. `path` is `/repos/<owner>/<name>`.

    Raises Conflict `branch_exists`, `branch_gone`, `head_moved`, `empty_commit`, ForgeError `tree_differs` and
    TaskError `blob_missing`, `blob_damaged`.
    """
    if output.create and not OUR_BRANCH.fullmatch(output.branch):
        hint = "new branches are named bot/..."
        raise ForgeError("branch_refused", f"not a branch that may be created: {output.branch!r}", hint=hint)
    branch = _Branch(client, path, output)
    head = branch.head() if doubt or not output.create else None
    if not output.create and head is None:
        raise Conflict("branch_gone", f"the branch {output.branch} is gone", hint="restore it and start again")
    tree = _build_tree(client, path, output, blobs)
    if head not in (None, output.parent):
        return branch.ours(str(head), tree)
    body = {"message": output.message, "tree": tree, "parents": [output.parent]}
    # A commit that nothing points to is nobody's: making it twice does no harm.
    made = client.repeat("POST", f"{path}/git/commits", body)
    return branch.move(made, tree)


class _Branch:
    """The branch that a commit goes to."""

    def __init__(self, client: Client, path: str, output: Commit) -> None:
        self._client, self._path, self._output = client, path, output
        self._ref = f"heads/{quote(output.branch, safe='/')}"

    def head(self) -> str | None:
        """Where it stands, None if there is none."""
        try:
            return shaped(_target, self._client.get(f"{self._path}/git/ref/{self._ref}"))
        except NotFound:
            return None

    def move(self, made: Any, tree: str) -> Receipt:
        """Create it at our commit, or forward it from the parent."""
        sha = shaped(_sha, made)

        def make() -> Any:
            if self._output.create:
                body: dict[str, Any] = {"ref": f"refs/heads/{self._output.branch}", "sha": sha}
                self._client.write("POST", f"{self._path}/git/refs", body)
            else:
                self._client.write("PATCH", f"{self._path}/git/refs/{self._ref}", {"sha": sha, "force": False})
            return made

        def find() -> Any:
            return made if self.head() == sha else None

        try:
            return self._receipt(self._client.settle(make, find))
        except Conflict:
            head = self.head()
            if head in (None, self._output.parent) and not (self._output.create and head):
                raise
            return self.ours(str(head), tree)

    def ours(self, head: str, tree: str) -> Receipt:
        """Keep a commit that an earlier delivery made: the same tree on the same parent. Raises Conflict."""
        found = self._client.get(f"{self._path}/git/commits/{head}")
        if shaped(_commit, found) == (tree, [self._output.parent]):
            return self._receipt(found)
        name, parent = self._output.branch, self._output.parent
        if self._output.create:
            hint = "delete that branch and start again"
            raise Conflict("branch_exists", f"the branch {name} exists and holds something else", hint=hint)
        said = f"{name} moved from {parent[:12]} to {head[:12]} meanwhile"
        raise Conflict("head_moved", said, hint="start again to work on the new state")

    def _receipt(self, made: Any) -> Receipt:
        url = str(made.get("html_url") or "")
        sha, branch = shaped(_sha, made), self._output.branch
        return Receipt(key=self._output.key, kind=self._output.kind, sha=sha, url=url, name=branch)


def _build_tree(client: Client, path: str, output: Commit, blobs: Path) -> str:
    """The tree with the changes applied. Raises ForgeError `tree_differs` unless it is exactly what was validated."""
    trees = Trees(client, path)
    base = trees.whole(output.parent)
    if base == output.parent:
        # A server may echo the commit's name; the tree's own stands in the commit.
        base = trees.whole(shaped(_commit, client.get(f"{path}/git/commits/{output.parent}"))[0])
    expected: Expected = {}
    files: list[FileChange] = []
    for file in output.files:
        entry = Entry(file.new.mode, _git_sha(read_blob(blobs, file.new), len(output.parent))) if file.new else None
        if trees.entry(base, file.path) != entry:
            expected[file.path] = entry
            files.append(file)
    if not files:
        raise Conflict("empty_commit", "the branch holds all of these changes already", hint="nothing is left to do")
    tree = base
    for batch in _batches(_not_implied(files), lambda file: _tree_row(client, path, file, expected, blobs)):
        tree = shaped(_sha, client.repeat("POST", f"{path}/git/trees", {"base_tree": tree, "tree": batch}))
    trees.whole(tree)
    if dict(trees.differences(base, tree)) != expected:
        hint = "nothing was published; the patch lies in the artifacts"
        raise ForgeError("tree_differs", "GitHub's tree is not the one that was validated", hint=hint)
    return tree


def _not_implied(files: Sequence[FileChange]) -> list[FileChange]:
    """Leave out deletions that follow from an addition: a file where its folder was, or a folder where the file was.

    Git's index would do both in either order; a tree that is asked for both at once is refused.
    """
    added = {file.path for file in files if file.new}
    folders = {each for path in added for each in _above(path)}
    return [
        file for file in files if file.new or not (file.path in folders or any(up in added for up in _above(file.path)))
    ]


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:at]) for at in range(1, len(parts))]


def _tree_row(client: Client, path: str, file: FileChange, expected: Expected, blobs: Path) -> dict[str, Any]:
    """One entry of the request; contents that cannot travel inside it are uploaded first."""
    if file.new is None:
        was = file.old.mode if file.old else "100644"
        return {"path": file.path, "mode": was, "type": "blob", "sha": None}
    row: dict[str, Any] = {"path": file.path, "mode": file.new.mode, "type": "blob"}
    data = read_blob(blobs, file.new)
    text = _text(data)
    if text is not None:
        return row | {"content": text}
    body = {"content": base64.b64encode(data).decode(), "encoding": "base64"}
    made = shaped(_sha, client.repeat("POST", f"{path}/git/blobs", body))
    entry = expected[file.path]
    if entry is None or made != entry.sha:
        raise ForgeError("tree_differs", f"GitHub stored other bytes than were sent for {file.path!r}")
    return row | {"sha": made}


def _batches(files: Sequence[FileChange], row_of: Callable[[FileChange], dict[str, Any]]) -> list[list[dict[str, Any]]]:
    batches: list[list[dict[str, Any]]] = [[]]
    size = 0
    for file in files:
        row = row_of(file)
        size += len(row.get("content", ""))
        if len(batches[-1]) >= BATCH or (size > INLINE_TREE and batches[-1]):
            batches.append([])
            size = len(row.get("content", ""))
        batches[-1].append(row)
    return batches


def _text(data: bytes) -> str | None:
    if len(data) > INLINE_FILE or b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _git_sha(data: bytes, length: int) -> str:
    """Git's name of a blob, in the repository's own object format."""
    algorithm = hashlib.sha1 if length == 40 else hashlib.sha256  # git's format, no protection
    return algorithm(b"blob %d\0" % len(data) + data).hexdigest()


def _sha(data: Mapping[str, Any]) -> str:
    return str(data["sha"])


def _target(data: Mapping[str, Any]) -> str:
    return str(data["object"]["sha"])


def _commit(data: Mapping[str, Any]) -> tuple[str, list[str]]:
    return str(data["tree"]["sha"]), [str(each["sha"]) for each in data["parents"]]

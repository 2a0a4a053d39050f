"""What undoes a run -> GitHub: a pull request closed, a branch deleted, a commit taken back; never with force.

Each looks at the world first and does only what is left to be done, so that once more does no harm, after a lost answer
as on another machine. What is not what the run left behind stays as it is, and the receipt's remark says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from bot.errors import Conflict, ForgeError, NotFound
from bot.forge.client.client import TRIES, Client, shaped
from bot.forge.reading.refs import BAD_REF
from bot.forge.render.markdown import code_span
from bot.forge.writing.commits import OUR_BRANCH
from bot.forge.writing.trees import FOLDER, Entry, Trees
from bot.forge.writing.uploads import BATCH
from bot.marks import RUN_TRAILER
from bot.types.output import ClosePull, DeleteBranch, Receipt, Revert

SUBMODULE = "160000"

Wanted = dict[str, Entry | None]
"""Path -> what is to lie there, None for nothing."""


class _Commit(NamedTuple):
    """What GitHub says about a commit."""

    tree: str
    parents: list[str]
    message: str
    url: str


def close_pull(client: Client, path: str, output: ClosePull) -> Receipt:
    """Close a pull request of ours that is still open. `path` is `/repos/<owner>/<name>`."""
    address = f"{path}/pulls/{output.number}"
    found = client.get(address)
    if not shaped(lambda data: _comes_from(data, path, output.head), found):
        return _left(output, f"#{output.number} does not come from the run's branch, so it was left as it is")
    if found.get("state") == "open":
        found = client.repeat("PATCH", address, {"state": "closed"})
    receipt = Receipt(key=output.key, kind=output.kind, id=output.number, url=str(found.get("html_url") or ""))
    if found.get("merged") or found.get("merged_at"):
        remark = f"#{output.number} was merged, and what was merged stays; “Revert” on its page takes it back"
        return receipt.changed(done=False, remark=remark)
    return receipt


def delete_branch(client: Client, path: str, output: DeleteBranch) -> Receipt:
    """Delete a branch of ours where it stands at our own commit."""
    if not OUR_BRANCH.fullmatch(output.branch):
        raise ForgeError("branch_refused", f"not a branch that may be deleted: {output.branch!r}", hint="only bot/...")
    name = code_span(output.branch)
    receipt = Receipt(key=output.key, kind=output.kind, name=output.branch)
    head = _head(client, path, output.branch)
    if head is None:  # also where an earlier try of ours deleted it
        return receipt
    if head != output.sha:
        return _left(output, f"the branch {name} was kept: it stands at `{head[:12]}` and not at the run's commit")

    def make() -> bool:
        client.write("DELETE", f"{path}/git/refs/heads/{quote(output.branch, safe='/')}")
        return True

    def find() -> bool | None:
        return True if _head(client, path, output.branch) is None else None

    try:
        client.settle(make, find)
    except Conflict:
        if not find():  # somebody was faster, or the branch is protected
            raise
    return receipt


def revert(client: Client, path: str, output: Revert, *, doubt: bool) -> Receipt:
    """Commit the reverse of our commit on the branch that holds it, path by path, as git's revert does.

    A path that was changed again since then is not touched, and then nothing is: Conflict `revert_conflict`. Raises
    Conflict `branch_gone`, `not_ours`, `head_moved` where people push faster than we look. `doubt` needs no care: what
    was taken back already is seen by what lies at the paths.
    """
    for _ in range(TRIES):
        head = _head(client, path, output.branch)
        if head is None:
            raise Conflict("branch_gone", f"the branch {output.branch} is gone", hint="restore it and ask again")
        if receipt := _revert_on(client, path, output, head):
            return receipt
    raise Conflict("head_moved", f"{output.branch} keeps moving", hint="ask again when nobody pushes")


def _revert_on(client: Client, path: str, output: Revert, head: str) -> Receipt | None:
    """The receipt, or None where the branch moved on before our commit was on it."""
    ours, top = _commit(client, path, output.sha), _commit(client, path, head)
    if len(ours.parents) != 1 or not any(each.startswith(f"{RUN_TRAILER}: ") for each in ours.message.split("\n")):
        raise Conflict("not_ours", f"{output.sha[:12]} is not a commit of the bot's", hint="undo it with git revert")
    before = _commit(client, path, ours.parents[0])
    trees = Trees(client, path)
    roots = [each.tree for each in (before, ours, top)]
    for root in dict.fromkeys(roots):
        trees.whole(root)
    wanted = _backwards(trees, *roots)
    receipt = Receipt(key=output.key, kind=output.kind, name=output.branch)
    if not wanted:
        if top.message.strip() == output.message.strip():  # an earlier try of ours
            return receipt.changed(sha=head, url=top.url)
        return receipt.changed(remark=f"what `{output.sha[:12]}` changed was taken back already")
    tree = _build(client, path, trees, top.tree, wanted)
    body = {"message": output.message, "tree": tree, "parents": [head]}
    # A commit that nothing points to is nobody's: making it twice does no harm.
    made = client.repeat("POST", f"{path}/git/commits", body)
    sha = shaped(_sha, made)
    if not _forward(client, path, output.branch, head, sha):
        return None
    return receipt.changed(sha=sha, url=str(made.get("html_url") or ""))


def _backwards(trees: Trees, before: str, ours: str, top: str) -> Wanted:
    """What is to lie where our commit changed something. Raises Conflict `revert_conflict`."""
    wanted: Wanted = {}
    clashes: list[str] = []
    for name, _ in trees.differences(before, ours):
        was, made, now = (trees.entry(root, name) for root in (before, ours, top))
        if now == was:
            continue
        if now != made:
            clashes.append(name)
        else:
            wanted[name] = None if was is None or was.mode == FOLDER else was
    for name in [name for name, entry in wanted.items() if entry]:
        above = [each for each in _above(name) if each not in wanted]
        found = (trees.entry(top, each) for each in above)
        if any(entry is not None and entry.mode != FOLDER for entry in found):
            clashes.append(name)  # a file lies where a folder is needed
    if clashes:
        shown = ", ".join(clashes[:3]) + (f" and {len(clashes) - 3} more" if len(clashes) > 3 else "")
        said = f"changed again since the run: {shown}"
        raise Conflict("revert_conflict", said, hint="nothing was taken back; git revert shows what clashes")
    return wanted


def _build(client: Client, path: str, trees: Trees, top: str, wanted: Wanted) -> str:
    """The tree with the paths as they are to be. Raises ForgeError `tree_differs` unless it is exactly that."""
    tree, rows = top, list(_rows(wanted))
    for at in range(0, len(rows), BATCH):
        body = {"base_tree": tree, "tree": rows[at : at + BATCH]}
        tree = shaped(_sha, client.repeat("POST", f"{path}/git/trees", body))
    trees.whole(tree)
    if dict(trees.differences(top, tree)) != wanted:
        raise ForgeError("tree_differs", "GitHub's tree is not the one that was asked for", hint="nothing was written")
    return tree


def _rows(wanted: Wanted) -> Iterator[Mapping[str, Any]]:
    """Entries for "Create a tree"; deletions that an addition implies are left out, as GitHub wants it."""
    added = {name for name, entry in wanted.items() if entry}
    folders = {above for name in added for above in _above(name)}
    for name, entry in wanted.items():
        if entry:
            kind = "commit" if entry.mode == SUBMODULE else "blob"
            yield {"path": name, "mode": entry.mode, "type": kind, "sha": entry.sha}
        elif name not in folders and not added.intersection(_above(name)):
            yield {"path": name, "mode": "100644", "type": "blob", "sha": None}


def _forward(client: Client, path: str, branch: str, head: str, sha: str) -> bool:
    """Move the branch from `head` to its new commit; False when it stands elsewhere by now."""
    address = f"{path}/git/refs/heads/{quote(branch, safe='/')}"

    def make() -> bool:
        client.write("PATCH", address, {"sha": sha, "force": False})
        return True

    def find() -> bool | None:
        return True if _head(client, path, branch) == sha else None

    try:
        return client.settle(make, find)
    except Conflict:
        now = _head(client, path, branch)
        if now == head:
            raise  # it did not move: a rule of the repository forbids the push
        return now == sha


def _head(client: Client, path: str, branch: str) -> str | None:
    """Where a branch stands, None if there is none."""
    if BAD_REF.search(branch):  # no branch, and in an address it may mean something else
        return None
    try:
        return shaped(_target, client.get(f"{path}/git/ref/heads/{quote(branch, safe='/')}"))
    except NotFound:
        return None


def _commit(client: Client, path: str, sha: str) -> _Commit:
    return shaped(_read_commit, client.get(f"{path}/git/commits/{sha}"))


def _read_commit(data: Mapping[str, Any]) -> _Commit:
    parents = [str(each["sha"]) for each in data["parents"]]
    return _Commit(str(data["tree"]["sha"]), parents, str(data["message"]), str(data.get("html_url") or ""))


def _left(output: ClosePull | DeleteBranch, remark: str) -> Receipt:
    return Receipt(key=output.key, kind=output.kind, remark=remark, done=False)


def _comes_from(data: Mapping[str, Any], path: str, branch: str) -> bool:
    head = data["head"]
    home = str((head.get("repo") or {}).get("full_name", ""))
    # GitHub forgets the repository of a head only with the repository itself.
    return bool(head["ref"] == branch and f"/repos/{home}".lower() == path.lower())


def _above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:at]) for at in range(1, len(parts))]


def _target(data: Mapping[str, Any]) -> str:
    return str(data["object"]["sha"])


def _sha(data: Mapping[str, Any]) -> str:
    return str(data["sha"])

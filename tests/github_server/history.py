"""Two revisions -> what lies between them: resolved names, commits ahead and behind, changed files with patches."""

import heapq
import re
import subprocess
from dataclasses import dataclass

from .objects import SHA, GitStore
from .trees import read_commit

SHORT = re.compile(r"[0-9a-f]{7,39}")
STATUS = {"A": "added", "D": "removed", "M": "modified", "R": "renamed", "C": "copied", "T": "changed"}
HUNK = re.compile(r"^@@", re.MULTILINE)
PATCH_LIMIT = 200_000


@dataclass(frozen=True)
class Change:
    """One file of a diff; `patch` is None for a binary or a very large one."""

    path: str
    previous: str | None
    status: str
    sha: str
    additions: int
    deletions: int
    patch: str | None


def resolve(store: GitStore, name: str) -> str | None:
    """Commit SHA of a branch, tag, full ref, full or short SHA, or HEAD."""
    if name == "HEAD":
        name = (store.path / "HEAD").read_text().removeprefix("ref: ").strip()
    refs = store.refs()
    for candidate in (name, f"refs/heads/{name}", f"refs/tags/{name}", f"refs/{name}"):
        if candidate.startswith("refs/") and candidate in refs:
            return peel(store, refs[candidate])
    if SHA.fullmatch(name):
        return peel(store, name)
    if SHORT.fullmatch(name):
        try:
            return store.git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
        except subprocess.CalledProcessError:
            return None
    return None


def peel(store: GitStore, sha: str) -> str | None:
    """The commit itself, or the one that an annotated tag names."""
    try:
        kind, data = store.read(sha)
    except KeyError:
        return None
    if kind == "tag":
        return peel(store, data.split(b"\n", 1)[0].split()[1].decode())
    return sha if kind == "commit" else None


def log(store: GitStore, start: str, hidden: set[str] | None = None) -> list[str]:
    """SHAs reachable from a commit, newest first, children before parents of the same second."""
    seen, order, out = {start}, 0, []
    waiting = [(-read_commit(store, start).committer.date.timestamp(), order, start)]
    while waiting:
        _, _, sha = heapq.heappop(waiting)
        if sha not in (hidden or ()):
            out.append(sha)
        for parent in read_commit(store, sha).parents:
            if parent not in seen:
                seen.add(parent)
                order += 1
                heapq.heappush(waiting, (-read_commit(store, parent).committer.date.timestamp(), order, parent))
    return out


def ahead(store: GitStore, base: str, head: str) -> list[str]:
    """Commits of head that base lacks, oldest first."""
    return log(store, head, set(log(store, base)))[::-1]


def contains(store: GitStore, head: str, ancestor: str) -> bool:
    """Whether going from ancestor to head is a fast-forward."""
    return ancestor in log(store, head)


def merge_base(store: GitStore, one: str, other: str) -> str | None:
    """The newest common ancestor that is not an ancestor of another one; the common ones are closed under parents."""
    theirs = set(log(store, other))
    common = [sha for sha in log(store, one) if sha in theirs]
    inner = {parent for sha in common for parent in read_commit(store, sha).parents}
    return next((sha for sha in common if sha not in inner), None)


def changes(store: GitStore, old: str, new: str) -> list[Change]:
    """Files that differ between two trees, renames found, in git's order."""
    if old == new:
        return []
    raw = store.git("diff-tree", "-r", "-M", "-z", "--full-index", "--patch-with-raw", old, new)
    fields = raw.decode("utf-8", "replace").split("\0")
    rows: list[tuple[str, str, str | None, str]] = []
    at = 0
    while fields[at].startswith(":"):
        _, _, before, after, letter = fields[at].split(" ")
        moved = letter[0] in "RC"
        path = fields[at + 2] if moved else fields[at + 1]
        rows.append((letter[0], path, fields[at + 1] if moved else None, before if letter == "D" else after))
        at += 3 if moved else 2
    text = "\0".join(fields[at:]).lstrip("\0")
    patches = re.split(r"^diff --git .*\n", text, flags=re.MULTILINE)[1:]
    return [one_change(row, patch) for row, patch in zip(rows, patches, strict=True)]


def one_change(row: tuple[str, str, str | None, str], text: str) -> Change:
    """A raw line and its patch as a `diff-entry`."""
    letter, path, previous, sha = row
    start = HUNK.search(text)
    patch = text[start.start() :].rstrip("\n") if start else None
    lines = patch.split("\n") if patch else []
    return Change(
        path=path,
        previous=previous,
        status=STATUS[letter],
        sha=sha,
        additions=sum(line.startswith("+") for line in lines),
        deletions=sum(line.startswith("-") for line in lines),
        patch=patch if patch is not None and len(patch) <= PATCH_LIMIT else None,
    )


def diff_text(store: GitStore, old: str, new: str) -> bytes:
    """The unified diff between two trees."""
    return store.git("diff-tree", "-r", "-p", "-M", "--full-index", old, new)


def merge_tree(store: GitStore, base: str, head: str) -> str | None:
    """Tree of merging two commits; None when they conflict."""
    try:
        return store.git("merge-tree", "--write-tree", base, head).decode().split("\n", 1)[0]
    except subprocess.CalledProcessError:
        return None

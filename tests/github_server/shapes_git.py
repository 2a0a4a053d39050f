"""Git objects -> GitHub's JSON for commits, trees, refs, blobs, file contents and comparisons."""

import base64
from typing import Any
from urllib.parse import quote

from .history import Change
from .records import Repo, User, World, stamp
from .shapes import repo_url, user_json
from .shapes_issue import change_json
from .trees import Commit, Entry, Identity, find, read_commit

CONTENT_LIMIT = 1024 * 1024
KINDS = {"tree": "dir", "commit": "submodule", "blob": "file"}


def wrapped(data: bytes) -> str:
    """Base64 in lines of 60, as the API sends it."""
    text = base64.b64encode(data).decode()
    return "".join(f"{text[at : at + 60]}\n" for at in range(0, len(text), 60))


def identity_json(identity: Identity) -> dict[str, Any]:
    """`git-user`."""
    return {"name": identity.name, "email": identity.email, "date": stamp(identity.date)}


def verification_json(commit: Commit) -> dict[str, Any]:
    """Whether GitHub signed the commit itself."""
    good = commit.signature is not None
    return {
        "verified": good,
        "reason": "valid" if good else "unsigned",
        "signature": commit.signature,
        "payload": f"tree {commit.tree}\n" if good else None,
        "verified_at": stamp(commit.committer.date) if good else None,
    }


def git_commit_json(world: World, repo: Repo, commit: Commit) -> dict[str, Any]:
    """`git-commit`."""
    api, page = f"{repo_url(world, repo)}/git", f"{world.html}/{repo.full_name}"
    return {
        "sha": commit.sha,
        "node_id": f"C_{commit.sha}",
        "url": f"{api}/commits/{commit.sha}",
        "html_url": f"{page}/commit/{commit.sha}",
        "author": identity_json(commit.author),
        "committer": identity_json(commit.committer),
        "message": commit.message,
        "tree": {"sha": commit.tree, "url": f"{api}/trees/{commit.tree}"},
        "parents": [
            {"sha": sha, "url": f"{api}/commits/{sha}", "html_url": f"{page}/commit/{sha}"} for sha in commit.parents
        ],
        "verification": verification_json(commit),
    }


def account(world: World, identity: Identity) -> dict[str, Any] | None:
    """The account behind an address."""
    found: User | None = next((user for user in world.users.values() if user.email == identity.email), None)
    return user_json(world, found) if found else None


def commit_json(world: World, repo: Repo, sha: str) -> dict[str, Any]:
    """`commit`, without its files."""
    commit = read_commit(repo.git, sha)
    url, page = f"{repo_url(world, repo)}/commits/{sha}", f"{world.html}/{repo.full_name}/commit"
    inner = git_commit_json(world, repo, commit)
    kept = ("url", "author", "committer", "message", "tree", "verification")
    return {
        "sha": sha,
        "node_id": inner["node_id"],
        "commit": {name: inner[name] for name in kept} | {"comment_count": 0},
        "url": url,
        "html_url": f"{page}/{sha}",
        "comments_url": f"{url}/comments",
        "author": account(world, commit.author),
        "committer": account(world, commit.committer),
        "parents": [
            {
                "sha": parent,
                "url": f"{repo_url(world, repo)}/commits/{parent}",
                "html_url": f"{page}/{parent}",
            }
            for parent in commit.parents
        ],
    }


def files_json(world: World, repo: Repo, head: str, found: list[Change]) -> dict[str, Any]:
    """`files` and `stats` of a commit or comparison."""
    added, deleted = sum(change.additions for change in found), sum(change.deletions for change in found)
    return {
        "stats": {"total": added + deleted, "additions": added, "deletions": deleted},
        "files": [change_json(world, repo, head, change) for change in found],
    }


def ref_json(world: World, repo: Repo, name: str, sha: str) -> dict[str, Any]:
    """`git-ref`."""
    kind = repo.git.read(sha)[0]
    return {
        "ref": name,
        "node_id": f"REF_{repo.id}_{name}",
        "url": f"{repo_url(world, repo)}/git/{quote(name)}",
        "object": {"type": kind, "sha": sha, "url": f"{repo_url(world, repo)}/git/{kind}s/{sha}"},
    }


def tree_json(world: World, repo: Repo, sha: str, rows: list[tuple[str, Entry]]) -> dict[str, Any]:
    """`git-tree`, cut at the limit of the repository."""
    api = f"{repo_url(world, repo)}/git"
    out = []
    for path, entry in rows[: repo.tree_limit]:
        row: dict[str, Any] = {"path": path, "mode": entry.mode, "type": entry.kind, "sha": entry.sha}
        if entry.kind != "commit":
            row["url"] = f"{api}/{entry.kind}s/{entry.sha}"
        if entry.kind == "blob":
            row["size"] = len(repo.git.read(entry.sha)[1])
        out.append(row)
    return {"sha": sha, "url": f"{api}/trees/{sha}", "tree": out, "truncated": len(rows) > repo.tree_limit}


def blob_json(world: World, repo: Repo, sha: str, data: bytes) -> dict[str, Any]:
    """`blob`."""
    return {
        "sha": sha,
        "node_id": f"B_{sha}",
        "size": len(data),
        "url": f"{repo_url(world, repo)}/git/blobs/{sha}",
        "content": wrapped(data),
        "encoding": "base64",
    }


def entry_json(world: World, repo: Repo, commit: str, ref: str, path: str, entry: Entry) -> dict[str, Any]:
    """One item of `content-directory`, also the frame of every other content."""
    kind = "symlink" if entry.mode == "120000" else KINDS[entry.kind]
    page, where = f"{world.html}/{repo.full_name}", quote(path)
    url = f"{repo_url(world, repo)}/contents/{where}?ref={quote(ref, safe='')}"
    folder = "tree" if entry.kind == "tree" else "blob"
    git_url = f"{repo_url(world, repo)}/git/{folder}s/{entry.sha}"
    html = f"{page}/{folder}/{ref}/{where}"
    raw = f"{page}/raw/{commit}/{where}" if kind in ("file", "symlink") else None
    return {
        "type": kind,
        "name": path.rsplit("/", 1)[-1],
        "path": path,
        "sha": entry.sha,
        "size": len(repo.git.read(entry.sha)[1]) if entry.kind == "blob" else 0,
        "url": url,
        "html_url": html,
        "git_url": None if kind == "submodule" else git_url,
        "download_url": raw,
        "_links": {"self": url, "git": None if kind == "submodule" else git_url, "html": html},
    }


def content_json(world: World, repo: Repo, commit: str, ref: str, path: str, entry: Entry) -> dict[str, Any]:
    """`content-file`, `content-symlink` or `content-submodule`; above 1 MB the content stays out."""
    out = entry_json(world, repo, commit, ref, path, entry)
    if entry.kind == "commit":
        return out | {"submodule_git_url": None}
    data = repo.git.read(entry.sha)[1]
    if entry.mode == "120000":
        target = "/".join([*path.split("/")[:-1], data.decode("utf-8", "replace")])
        aimed = find(repo.git, read_commit(repo.git, commit).tree, target)
        if aimed is None or aimed.kind != "blob" or aimed.mode == "120000":
            return out | {"target": data.decode("utf-8", "replace")}
        data, out = repo.git.read(aimed.sha)[1], out | {"type": "file", "sha": aimed.sha}
        out["size"] = len(data)
    if len(data) > CONTENT_LIMIT:
        return out | {"content": "", "encoding": "none"}
    return out | {"content": wrapped(data), "encoding": "base64"}

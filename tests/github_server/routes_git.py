"""Routes of the Git Data API: blobs, trees, commits and refs, all of them real objects of a real repository."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

from .call import Call, Route, page
from .exchange import Answer, ApiError, not_found
from .history import contains
from .objects import valid_ref
from .shapes_git import blob_json, git_commit_json, ref_json, tree_json
from .trees import Entry, Identity, edit_tree, read_commit, read_tree, walk, write_commit
from .writes import refs_moved

GIT = "/repos/{owner}/{repo}/git"
SIGNATURE = "-----BEGIN PGP SIGNATURE-----\n\nsigned-by-the-server\n-----END PGP SIGNATURE-----"
WORKFLOWS = ".github/workflows/"


def create_blob(call: Call) -> Answer:
    """From text or base64."""
    content, encoding = call.body["content"], call.body.get("encoding", "utf-8")
    if encoding not in ("utf-8", "base64"):
        raise ApiError(422, "Validation Failed: encoding must be utf-8 or base64")
    try:
        data = base64.b64decode(content) if encoding == "base64" else content.encode()
    except (binascii.Error, UnicodeEncodeError):
        raise ApiError(422, "content is not valid Base64") from None
    shown = blob_json(call.world, call.repo, call.repo.git.write("blob", data), data)
    return Answer(201, {"sha": shown["sha"], "url": shown["url"]}, {"Location": shown["url"]})


def object_of(call: Call, name: str, kind: str) -> bytes:
    """The object that the route names; 404."""
    try:
        found, data = call.repo.git.read(call.params[name])
    except KeyError:
        raise not_found() from None
    if found != kind:
        raise not_found()
    return data


def get_blob(call: Call) -> Answer:
    """JSON, or the bytes by media type."""
    data = object_of(call, "file_sha", "blob")
    if call.accepts("raw"):
        return Answer(200, data, content_type="application/vnd.github.raw; charset=utf-8")
    return Answer(200, blob_json(call.world, call.repo, call.params["file_sha"], data))


def tree_sha(call: Call, text: str) -> str | None:
    """A tree by its SHA, or that of a commit or branch."""
    git = call.repo.git
    sha = git.ref(f"refs/heads/{text}") or text
    try:
        kind, _ = git.read(sha)
        return read_commit(git, sha).tree if kind == "commit" else sha if kind == "tree" else None
    except KeyError:
        return None


def get_tree(call: Call) -> Answer:
    """One level, or everything with `recursive` (any value)."""
    sha = tree_sha(call, call.params["tree_sha"])
    if sha is None:
        raise not_found()
    git = call.repo.git
    rows = walk(git, sha) if "recursive" in call.request.query else read_tree(git, sha).items()
    return Answer(200, tree_json(call.world, call.repo, sha, list(rows)))


def checked_path(item: dict[str, Any]) -> str:
    """The path of a tree entry; ApiError 422 where git would refuse it."""
    path = item.get("path")
    if not isinstance(path, str) or any(part.lower() in ("", ".", "..", ".git") for part in path.split("/")):
        raise ApiError(422, "tree.path contains a malformed path component")
    return path


def tree_edit(call: Call, item: dict[str, Any]) -> Entry | None:
    """One entry of a new tree; None deletes. ApiError 422 for what does not fit together."""
    git, mode, sha = call.repo.git, item.get("mode"), item.get("sha")
    if "sha" in item and "content" in item:
        raise ApiError(422, "Must supply either tree.sha or tree.content")
    if "sha" in item and sha is None:
        return None
    if mode is None:
        raise ApiError(422, "Must supply a valid tree.mode")
    if "content" in item:
        return Entry(mode, git.write("blob", item["content"].encode()))
    entry = Entry(mode, str(sha))
    if item.get("type", entry.kind) != entry.kind:
        raise ApiError(422, "tree.mode and tree.type do not match")
    if entry.kind != "commit" and not git.has(entry.sha, entry.kind):
        raise ApiError(422, f"tree.sha {sha} is not a valid {entry.kind}")
    return entry


def create_tree(call: Call) -> Answer:
    """On top of `base_tree`, or a new one; a workflow needs the permission of its own."""
    body, token = call.body, call.caller.token
    edits = {checked_path(item): tree_edit(call, item) for item in body["tree"]}
    installed = token is not None and token.kind != "pat" and "workflows" not in (token.permissions or {})
    if installed and any(path.startswith(WORKFLOWS) for path in edits):
        raise ApiError(403, "Resource not accessible by integration")
    base = tree_sha(call, body["base_tree"]) if body.get("base_tree") else None
    if body.get("base_tree") and base is None:
        raise ApiError(422, "base_tree is not a valid tree oid")
    if not edits:
        raise ApiError(422, "Invalid tree info")
    try:
        sha = edit_tree(call.repo.git, base, edits)
    except KeyError:
        raise ApiError(422, "GitRPC::BadObjectState") from None
    shown = tree_json(call.world, call.repo, sha, list(read_tree(call.repo.git, sha).items()))
    return Answer(201, shown, {"Location": shown["url"]})


def given(call: Call, name: str) -> Identity | None:
    """`author` or `committer` of the body."""
    found = call.body.get(name)
    if found is None:
        return None
    date = datetime.fromisoformat(found["date"]) if "date" in found else datetime.now(UTC)
    return Identity(found["name"], found.get("email", ""), date)


def create_commit(call: Call) -> Answer:
    """Signed by GitHub only when an installation names neither author nor committer nor signature."""
    body, git, token = call.body, call.repo.git, call.caller.token
    if not git.has(body["tree"], "tree"):
        raise ApiError(422, "Tree SHA does not exist")
    parents = body.get("parents", [])
    if not all(git.has(parent, "commit") for parent in parents):
        raise ApiError(422, "Parent SHA does not exist or is not a commit object")
    author, committer = given(call, "author"), given(call, "committer")
    own = call.world.identity(call.user)
    signature = body.get("signature")
    if author is None and committer is None and signature is None and token is not None and token.kind != "pat":
        signature, committer = SIGNATURE, Identity("GitHub", "noreply@github.com", own.date)
    author = author or own
    made = write_commit(git, body["tree"], parents, author, committer or author, body["message"], signature)
    shown = git_commit_json(call.world, call.repo, read_commit(git, made))
    return Answer(201, shown, {"Location": shown["url"]})


def get_commit(call: Call) -> Answer:
    """One commit object."""
    object_of(call, "commit_sha", "commit")
    return Answer(200, git_commit_json(call.world, call.repo, read_commit(call.repo.git, call.params["commit_sha"])))


def get_ref(call: Call) -> Answer:
    """Exactly that ref."""
    name = f"refs/{call.params['ref']}"
    sha = call.repo.git.ref(name)
    if sha is None:
        raise not_found()
    return Answer(200, ref_json(call.world, call.repo, name, sha), {"X-Poll-Interval": "300"})


def matching_refs(call: Call) -> Answer:
    """Every ref whose name starts so; none is an empty list."""
    found = call.repo.git.refs(f"refs/{call.params['ref']}")
    return page(call, list(found.items()), lambda pair: ref_json(call.world, call.repo, *pair))


def checked_target(call: Call) -> str:
    """The SHA of the body; a branch takes only commits. ApiError 422."""
    sha = str(call.body["sha"])
    if not call.repo.git.has(sha):
        raise ApiError(422, "Object does not exist")
    return sha


def create_ref(call: Call) -> Answer:
    """422 when it exists, is malformed, or collides with a folder."""
    name, git = call.body["ref"], call.repo.git
    if not name.startswith("refs/") or not valid_ref(name) or name.startswith("refs/pull/"):
        raise ApiError(422, "Reference name is not valid: it must start with 'refs/' and have at least two slashes.")
    sha = checked_target(call)
    if git.ref(name) is not None:
        raise ApiError(422, "Reference already exists")
    if name.startswith("refs/heads/") and not git.has(sha, "commit"):
        raise ApiError(422, "Object is not a commit")
    try:
        git.set_ref(name, sha)
    except ValueError:
        raise ApiError(422, "Reference cannot be created: a component of the name exists") from None
    refs_moved(call.world, call.repo)
    shown = ref_json(call.world, call.repo, name, sha)
    return Answer(201, shown, {"Location": shown["url"]})


def existing_ref(call: Call) -> tuple[str, str]:
    """The ref to change; ApiError 422 when it is absent, hidden or protected."""
    name = f"refs/{call.params['ref']}"
    sha = call.repo.git.ref(name)
    if sha is None or name.startswith("refs/pull/"):
        raise ApiError(422, "Reference does not exist")
    if name.removeprefix("refs/heads/") in call.repo.protected:
        raise ApiError(422, f"Protected branch update failed for {name}.")
    return name, sha


def update_ref(call: Call) -> Answer:
    """Only forward, unless forced."""
    name, old = existing_ref(call)
    sha, git = checked_target(call), call.repo.git
    if not call.body.get("force") and not (git.has(sha, "commit") and contains(git, sha, old)):
        raise ApiError(422, "Update is not a fast forward")
    git.set_ref(name, sha)
    refs_moved(call.world, call.repo)
    return Answer(200, ref_json(call.world, call.repo, name, sha))


def delete_ref(call: Call) -> Answer:
    """Pull requests from it close."""
    name, _ = existing_ref(call)
    if name == f"refs/heads/{call.repo.default_branch}":
        raise ApiError(422, "Cannot delete the default branch")
    call.repo.git.set_ref(name, None)
    refs_moved(call.world, call.repo)
    return Answer(204)


ROUTES = [
    Route("POST", f"{GIT}/blobs", create_blob, "contents:write", "write"),
    Route("GET", f"{GIT}/blobs/{{file_sha}}", get_blob, "contents:read"),
    Route("POST", f"{GIT}/trees", create_tree, "contents:write", "write"),
    Route("GET", f"{GIT}/trees/{{tree_sha}}", get_tree, "contents:read"),
    Route("POST", f"{GIT}/commits", create_commit, "contents:write", "write"),
    Route("GET", f"{GIT}/commits/{{commit_sha}}", get_commit, "contents:read"),
    Route("GET", f"{GIT}/ref/{{ref}}", get_ref, "contents:read"),
    Route("GET", f"{GIT}/matching-refs/{{ref}}", matching_refs, "contents:read"),
    Route("POST", f"{GIT}/refs", create_ref, "contents:write", "write"),
    Route("PATCH", f"{GIT}/refs/{{ref}}", update_ref, "contents:write", "write"),
    Route("DELETE", f"{GIT}/refs/{{ref}}", delete_ref, "contents:write", "write"),
]

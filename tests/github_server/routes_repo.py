"""Routes of a repository's contents, commits, comparisons, permissions, statuses and dispatches."""

from typing import Any

from .call import Call, Route, page
from .exchange import Answer, ApiError, not_found
from .history import ahead, changes, diff_text, log, merge_base, resolve
from .records import Status, WorkflowRun, now, role_of, stamp
from .shapes import full_repo_json, repo_json, repo_url, user_json
from .shapes_git import commit_json, content_json, entry_json, files_json
from .trees import find, read_commit, read_tree

REPO = "/repos/{owner}/{repo}"
RUN = f"{REPO}/actions/runs/{{run_id}}"
LEVELS = {"maintain": "write", "triage": "read"}


def get_repo(call: Call) -> Answer:
    """With the caller's permissions."""
    return Answer(200, full_repo_json(call.world, call.repo, call.caller.user))


def get_permission(call: Call) -> Answer:
    """`permission` knows four levels, `role_name` six."""
    login = call.params["username"]
    user = call.world.users.get(login.lower())
    if user is None or (user.type == "Bot" and login.lower() not in call.repo.roles):
        raise ApiError(404, f"{login} is not a user")
    role = role_of(call.repo, user)
    held = repo_json(call.world, call.repo, user)["permissions"]
    shown = user_json(call.world, user) | {"permissions": held, "role_name": role}
    return Answer(200, {"permission": LEVELS.get(role, role), "role_name": role, "user": shown})


def commit_of(call: Call, text: str, status: int = 422) -> str:
    """A commit by any name; ApiError as "Get a commit" has it."""
    sha = resolve(call.repo.git, text)
    if sha is None:
        raise ApiError(status, f"No commit found for SHA: {text}" if status == 422 else "Not Found")
    return sha


def get_content(call: Call) -> Answer:
    """A file, a folder, or the bytes by media type."""
    ref = call.request.query.get("ref") or call.repo.default_branch
    commit = resolve(call.repo.git, ref)
    if commit is None:
        empty = not call.repo.git.refs("refs/heads/")
        raise ApiError(404, "This repository is empty." if empty else f"No commit found for the ref {ref}")
    path = call.params["path"].strip("/")
    entry = find(call.repo.git, read_commit(call.repo.git, commit).tree, path)
    if entry is None:
        raise not_found()
    if entry.kind == "tree":
        prefix = f"{path}/" if path else ""
        rows = sorted(read_tree(call.repo.git, entry.sha).items())[:1000]
        return Answer(200, [entry_json(call.world, call.repo, commit, ref, prefix + name, one) for name, one in rows])
    if call.accepts("raw") and entry.kind == "blob":
        return Answer(200, call.repo.git.read(entry.sha)[1], content_type="application/vnd.github.raw; charset=utf-8")
    return Answer(200, content_json(call.world, call.repo, commit, ref, path, entry))


def list_commits(call: Call) -> Answer:
    """From `sha` (default branch), newest first, of one `path` when asked."""
    git, query = call.repo.git, call.request.query
    start = commit_of(call, query.get("sha", call.repo.default_branch), 404)
    found = log(git, start)
    if "path" in query:
        found = [sha for sha in found if touches(call, sha, query["path"])]
    return page(call, found, lambda sha: commit_json(call.world, call.repo, sha))


def touches(call: Call, sha: str, path: str) -> bool:
    """Whether a commit changed a path."""
    git = call.repo.git
    commit = read_commit(git, sha)
    before = [find(git, read_commit(git, parent).tree, path) for parent in commit.parents] or [None]
    return all(old != find(git, commit.tree, path) for old in before)


def get_commit(call: Call) -> Answer:
    """With its files; the SHA alone or the diff by media type."""
    sha, git = commit_of(call, call.params["ref"]), call.repo.git
    if call.accepts("sha"):
        return Answer(200, sha.encode(), content_type="application/vnd.github.sha; charset=utf-8")
    commit = read_commit(git, sha)
    old = read_commit(git, commit.parents[0]).tree if commit.parents else git.write("tree", b"")
    if call.accepts("diff"):
        return Answer(200, diff_text(git, old, commit.tree), content_type="application/vnd.github.diff; charset=utf-8")
    found = files_json(call.world, call.repo, sha, changes(git, old, commit.tree))
    return Answer(200, commit_json(call.world, call.repo, sha) | found)


def get_branch(call: Call) -> Answer:
    """`branch-with-protection`."""
    name = call.params["branch"]
    sha = call.repo.git.ref(f"refs/heads/{name}")
    if sha is None:
        raise ApiError(404, "Branch not found")
    url, page_url = (
        f"{repo_url(call.world, call.repo)}/branches/{name}",
        f"{call.world.html}/{call.repo.full_name}",
    )
    return Answer(200, {
        "name": name,
        "commit": commit_json(call.world, call.repo, sha),
        "_links": {"self": url, "html": f"{page_url}/tree/{name}"},
        "protected": name in call.repo.protected,
        "protection": {"enabled": name in call.repo.protected},
        "protection_url": f"{url}/protection",
    })  # fmt: skip


def side(call: Call, text: str) -> str:
    """`branch`, SHA, or `owner:branch` of a fork."""
    owner, _, name = text.rpartition(":")
    for repo in call.world.repos.values():
        if owner and repo.owner.login.lower() == owner.lower() and call.repo in (repo, repo.fork_of):
            found = resolve(repo.git, name)
            if found is not None:
                return found
    if owner:
        raise not_found()
    return commit_of(call, text, 404)


def compare(call: Call) -> Answer:
    """`base...head`: commits and files since the merge base."""
    git, parts = call.repo.git, call.params["basehead"].split("...")
    if len(parts) != 2:
        raise not_found()
    base, head = side(call, parts[0]), side(call, parts[1])
    start = merge_base(git, base, head)
    if start is None:
        raise ApiError(404, f"No common ancestor between {parts[0]} and {parts[1]}.")
    front, back = ahead(git, base, head), ahead(git, head, base)
    state = {(0, 0): "identical", (1, 0): "ahead", (0, 1): "behind", (1, 1): "diverged"}[bool(front), bool(back)]
    page_url = f"{call.world.html}/{call.repo.full_name}/compare/{call.params['basehead']}"
    shown = page(call, front, lambda sha: commit_json(call.world, call.repo, sha))
    found = changes(git, read_commit(git, start).tree, read_commit(git, head).tree)[:300]
    body = {
        "url": f"{repo_url(call.world, call.repo)}/compare/{call.params['basehead']}",
        "html_url": page_url,
        "permalink_url": page_url,
        "diff_url": f"{page_url}.diff",
        "patch_url": f"{page_url}.patch",
        "base_commit": commit_json(call.world, call.repo, base),
        "merge_base_commit": commit_json(call.world, call.repo, start),
        "status": state,
        "ahead_by": len(front),
        "behind_by": len(back),
        "total_commits": len(front),
        "commits": shown.body,
        "files": files_json(call.world, call.repo, head, found)["files"],
    }
    return Answer(200, body, shown.headers)


def status_json(call: Call, status: Status) -> dict[str, Any]:
    """`status`."""
    return {
        "id": status.id,
        "node_id": f"SC_{status.id}",
        "url": f"{repo_url(call.world, call.repo)}/statuses/{status.sha}",
        "avatar_url": None,
        "state": status.state,
        "context": status.context,
        "description": status.description,
        "target_url": status.target_url,
        "created_at": stamp(status.created_at),
        "updated_at": stamp(status.created_at),
        "creator": user_json(call.world, status.creator),
    }


def create_status(call: Call) -> Answer:
    """422 for a commit that is not there."""
    sha, body = call.params["sha"], call.body
    if not call.repo.git.has(sha, "commit"):
        raise ApiError(422, f"No commit found for SHA: {sha}")
    status = Status(
        call.world.next_id(),
        sha,
        body["state"],
        body.get("context", "default"),
        body.get("description"),
        body.get("target_url"),
        call.user,
        now(),
    )
    call.repo.statuses.append(status)
    return Answer(201, status_json(call, status))


def list_statuses(call: Call) -> Answer:
    """Newest first."""
    sha = commit_of(call, call.params["ref"])
    found = [status for status in call.repo.statuses[::-1] if status.sha == sha]
    return page(call, found, lambda status: status_json(call, status))


def combined_status(call: Call) -> Answer:
    """The latest of each context, and the worst of them."""
    sha = commit_of(call, call.params["ref"])
    latest = {status.context: status for status in call.repo.statuses if status.sha == sha}
    states = {status.state for status in latest.values()}
    worst = "failure" if states & {"error", "failure"} else "success" if states == {"success"} else "pending"
    url = f"{repo_url(call.world, call.repo)}/commits/{sha}"
    shown = [status_json(call, status) for status in latest.values()]
    return Answer(
        200,
        {
            "state": worst,
            "statuses": shown,
            "sha": sha,
            "total_count": len(shown),
            "repository": repo_json(call.world, call.repo),
            "commit_url": url,
            "url": f"{url}/status",
        },
    )


def dispatch(call: Call) -> Answer:
    """A `repository_dispatch` event, kept for the test to read."""
    call.repo.dispatches.append(dict(call.body))
    return Answer(204)


def dispatch_workflow(call: Call) -> Answer:
    """A `workflow_dispatch` event of a file that the ref has."""
    name, ref = call.params["workflow_id"], call.body["ref"]
    commit = resolve(call.repo.git, ref)
    if commit is None:
        raise ApiError(422, f"No ref found for: {ref}")
    if find(call.repo.git, read_commit(call.repo.git, commit).tree, f".github/workflows/{name}") is None:
        raise not_found()
    call.repo.dispatches.append({"workflow": name} | call.body)
    return Answer(204)


def run_of(call: Call) -> WorkflowRun:
    """The workflow run that the route names; 404."""
    run = call.repo.runs.get(call.number("run_id"))
    if run is None:
        raise not_found()
    return run


def get_run(call: Call) -> Answer:
    """`workflow-run`."""
    run, url = run_of(call), f"{repo_url(call.world, call.repo)}/actions/runs/{call.params['run_id']}"
    repo = repo_json(call.world, call.repo)
    names = ("artifacts", "cancel", "jobs", "logs", "rerun")
    return Answer(200, {
        "id": run.id, "node_id": f"WFR_{run.id}", "name": run.path, "path": run.path, "event": run.event,
        "display_title": run.event, "head_branch": run.head_branch, "head_sha": run.head_sha, "status": run.status,
        "conclusion": run.conclusion, "run_number": 1, "run_attempt": 1, "workflow_id": 1, "pull_requests": [],
        "created_at": stamp(run.created_at), "updated_at": stamp(run.created_at), "url": url,
        "html_url": f"{call.world.html}/{call.repo.full_name}/actions/runs/{run.id}", "head_commit": None,
        "check_suite_url": f"{url}/check-suite", "workflow_url": f"{url}/workflow",
        "repository": repo, "head_repository": repo,
    } | {f"{name}_url": f"{url}/{name}" for name in names})  # fmt: skip


def cancel_run(call: Call) -> Answer:
    """409 once it is over."""
    run = run_of(call)
    if run.status == "completed":
        raise ApiError(409, "Cannot cancel a workflow run that is completed.")
    run.status, run.conclusion = "completed", "cancelled"
    return Answer(202, {})


ROUTES = [
    Route("GET", REPO, get_repo, "metadata:read"),
    Route("GET", f"{REPO}/collaborators/{{username}}/permission", get_permission, "signed"),
    Route("GET", f"{REPO}/contents/{{path}}", get_content, "contents:read"),
    Route("GET", f"{REPO}/commits", list_commits, "contents:read"),
    Route("GET", f"{REPO}/commits/{{ref}}/status", combined_status, "statuses:read"),
    Route("GET", f"{REPO}/commits/{{ref}}/statuses", list_statuses, "statuses:read"),
    Route("GET", f"{REPO}/commits/{{ref}}", get_commit, "contents:read"),
    Route("GET", f"{REPO}/branches/{{branch}}", get_branch, "contents:read"),
    Route("GET", f"{REPO}/compare/{{basehead}}", compare, "contents:read"),
    Route("POST", f"{REPO}/statuses/{{sha}}", create_status, "statuses:write", "write"),
    Route("POST", f"{REPO}/dispatches", dispatch, "contents:write", "write"),
    Route(
        "POST",
        f"{REPO}/actions/workflows/{{workflow_id}}/dispatches",
        dispatch_workflow,
        "actions:write",
        "write",
    ),
    Route("GET", RUN, get_run, "actions:read"),
    Route("POST", f"{RUN}/cancel", cancel_run, "actions:write", "write"),
]

"""State of the server -> the payloads that GitHub would send of it ("Webhook events and payloads")."""

from collections.abc import Mapping
from typing import Any

from .records import App, Comment, Issue, Label, Repo, ReviewComment, World
from .seeding import Seeds
from .shapes import label_json, repo_json, user_json
from .shapes_issue import comment_json, full_pull_json, issue_json, pull_json, review_comment_json

Payload = dict[str, Any]


def frame(world: World, repo: Repo, sender: str, app: App | None) -> Payload:
    """What every payload carries: repository, sender, and the installation when an app gets it."""
    out: Payload = {"repository": repository(world, repo), "sender": user_json(world, world.user(sender))}
    if app is not None:
        out["installation"] = {"id": app.installation_id, "node_id": f"MDIz_{app.installation_id}"}
    return out


def repository(world: World, repo: Repo) -> Payload:
    """A repository, as webhooks spell it: without the reader's permissions."""
    shown = repo_json(world, repo)
    del shown["permissions"]
    return shown | {"custom_properties": {}}


def issue_event(world: World, repo: Repo, issue: Issue) -> Payload:
    """An issue inside a payload: `closed_by` stays out, `active_lock_reason` and the like stay in."""
    shown = issue_json(world, repo, issue)
    del shown["closed_by"]
    return shown


def pull_event(world: World, repo: Repo, issue: Issue) -> Payload:
    """A pull request inside a payload, counts included."""
    assert issue.pull is not None, f"#{issue.number} is no pull request"
    return full_pull_json(world, repo, issue, issue.pull)


def label_of(repo: Repo, name: str) -> Label:
    """The label by its name; KeyError."""
    return repo.labels[name.lower()]


def issues_opened(server: Seeds, repo: str, number: int, *, app: App | None = None) -> Payload:
    """`issues`, action opened, sent by its author."""
    world, found = server.world, server.world.repo(repo)
    issue = found.issues[number]
    return {"action": "opened", "issue": issue_event(world, found, issue)} | frame(world, found, issue.user.login, app)


def issues_labeled(
    server: Seeds, repo: str, number: int, label: str, sender: str, *, app: App | None = None
) -> Payload:
    """`issues`, action labeled. The label is on the issue already, as it is when GitHub sends this."""
    world, found = server.world, server.world.repo(repo)
    return {
        "action": "labeled",
        "issue": issue_event(world, found, found.issues[number]),
        "label": label_json(world, found, label_of(found, label)),
    } | frame(world, found, sender, app)


def comment_of(repo: Repo, comment_id: int) -> Comment:
    """A conversation comment by its number; KeyError."""
    for issue in repo.issues.values():
        for comment in issue.comments:
            if comment.id == comment_id:
                return comment
    raise KeyError(comment_id)


def issue_comment_created(server: Seeds, repo: str, comment_id: int, *, app: App | None = None) -> Payload:
    """`issue_comment`, action created, sent by its author; on a pull request `issue.pull_request` is there."""
    world, found = server.world, server.world.repo(repo)
    comment = comment_of(found, comment_id)
    return {
        "action": "created",
        "comment": comment_json(world, found, comment),
        "issue": issue_event(world, found, found.issues[comment.number]),
    } | frame(world, found, comment.user.login, app)


def issue_comment_edited(
    server: Seeds, repo: str, comment_id: int, before: str, *, sender: str = "", app: App | None = None
) -> Payload:
    """`issue_comment`, action edited; `before`: the body that it had."""
    world, found = server.world, server.world.repo(repo)
    payload = issue_comment_created(server, repo, comment_id, app=app)
    author = comment_of(found, comment_id).user.login
    changed = {"action": "edited", "changes": {"body": {"from": before}}}
    return payload | changed | frame(world, found, sender or author, app)


def pull_request_opened(server: Seeds, repo: str, number: int, *, app: App | None = None) -> Payload:
    """`pull_request`, action opened, sent by its author."""
    world, found = server.world, server.world.repo(repo)
    issue = found.pulls[number]
    body = {"action": "opened", "number": number, "pull_request": pull_event(world, found, issue)}
    return body | frame(world, found, issue.user.login, app)


def pull_request_labeled(
    server: Seeds, repo: str, number: int, label: str, sender: str, *, app: App | None = None
) -> Payload:
    """`pull_request`, action labeled."""
    world, found = server.world, server.world.repo(repo)
    return {
        "action": "labeled",
        "number": number,
        "pull_request": pull_event(world, found, found.pulls[number]),
        "label": label_json(world, found, label_of(found, label)),
    } | frame(world, found, sender, app)


def review_comment_of(repo: Repo, comment_id: int) -> tuple[Issue, ReviewComment]:
    """A review comment by its number, with its pull request; KeyError."""
    for issue in repo.pulls.values():
        for comment in issue.pull.comments if issue.pull else ():
            if comment.id == comment_id:
                return issue, comment
    raise KeyError(comment_id)


def pull_request_review_comment_created(
    server: Seeds, repo: str, comment_id: int, *, app: App | None = None
) -> Payload:
    """`pull_request_review_comment`, action created, sent by its author."""
    world, found = server.world, server.world.repo(repo)
    issue, comment = review_comment_of(found, comment_id)
    assert issue.pull is not None
    return {
        "action": "created",
        "comment": review_comment_json(world, found, issue, comment),
        "pull_request": pull_json(world, found, issue, issue.pull),
    } | frame(world, found, comment.user.login, app)


def workflow_dispatch(
    server: Seeds, repo: str, sender: str, inputs: Mapping[str, str] | None, *,
    workflow: str = ".github/workflows/sandpiper.yml", ref: str = "", app: App | None = None,
) -> Payload:  # fmt: skip
    """`workflow_dispatch`: it has no action; every input is a string."""
    world, found = server.world, server.world.repo(repo)
    return {
        "inputs": None if inputs is None else dict(inputs),
        "ref": ref or f"refs/heads/{found.default_branch}",
        "workflow": workflow,
    } | frame(world, found, sender, app)

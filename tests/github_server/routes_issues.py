"""Routes of issues, their comments and labels."""

from typing import Any

from .call import (
    Call,
    Route,
    check_text,
    comment_of,
    issue_of,
    page,
    talk_need,
)  # fmt: skip
from .exchange import Answer, ApiError, invalid, not_found
from .records import Issue, Label, now
from .shapes import label_json
from .shapes_issue import comment_json, issue_json
from .writes import close, drop_labels, new_comment, new_issue, put_labels

REPO = "/repos/{owner}/{repo}"
ISSUE = f"{REPO}/issues/{{issue_number}}"
COMMENT = f"{REPO}/issues/comments/{{comment_id}}"


def get_issue(call: Call) -> Answer:
    """Also answers for pull requests."""
    return Answer(200, issue_json(call.world, call.repo, issue_of(call)))


def list_issues(call: Call) -> Answer:
    """Filtered by state, labels, creator and since; newest first."""
    query = call.request.query
    state = query.get("state", "open")
    labels = {name.lower() for name in query.get("labels", "").split(",") if name}
    since = query.get("since", "")
    found = [
        issue for issue in call.repo.issues.values()
        if state in ("all", issue.state)
        and labels <= {name.lower() for name in issue.label_names}
        and query.get("creator", issue.user.login).lower() == issue.user.login.lower()
        and issue.updated_at.strftime("%Y-%m-%dT%H:%M:%SZ") >= since
    ]  # fmt: skip
    keys = {
        "created": lambda issue: issue.number,
        "updated": lambda issue: issue.updated_at,
        "comments": lambda issue: len(issue.comments),
    }
    found.sort(
        key=keys.get(query.get("sort", "created"), keys["created"]),
        reverse=query.get("direction", "desc") == "desc",
    )
    return page(call, found, lambda issue: issue_json(call.world, call.repo, issue))


def create_issue(call: Call) -> Answer:
    """Labels and assignees only stick for those who may triage; this server lets them stick for all."""
    check_text("Issue", call.body, ("title",))
    issue = new_issue(call.world, call.repo, call.user, call.body["title"], call.body.get("body"))
    put_labels(call.world, call.repo, issue, names_of(call.body.get("labels", [])), call.user)
    return Answer(201, issue_json(call.world, call.repo, issue))


def update_issue(call: Call) -> Answer:
    """Title, body, state, labels and assignees."""
    issue, body = issue_of(call), call.body
    check_text("Issue", body, ("title",) if "title" in body else ())
    issue.title = str(body.get("title", issue.title))
    issue.body = body.get("body", issue.body)
    if body.get("state") == "closed" and issue.state == "open":
        close(issue, call.user, body.get("state_reason"))
    elif body.get("state") == "open" and issue.state == "closed":
        issue.state, issue.closed_at, issue.closed_by, issue.state_reason = "open", None, None, "reopened"
    if "labels" in body:
        replace_labels(call, issue, names_of(body["labels"]))
    if "assignees" in body:
        issue.assignees = [call.world.user(login) for login in names_of(body["assignees"], "login")]
    issue.updated_at = now()
    return Answer(200, issue_json(call.world, call.repo, issue))


def replace_labels(call: Call, issue: Issue, names: list[str]) -> None:
    """Take off what is not wanted and put on what is missing."""
    wanted = {name.lower() for name in names}
    unwanted = [label.name for label in issue.labels if label.name.lower() not in wanted]
    drop_labels(call.world, issue, unwanted, call.user)
    put_labels(call.world, call.repo, issue, names, call.user)


def names_of(items: list[Any], key: str = "name") -> list[str]:
    """Names given as strings or as objects."""
    return [str(item[key]) if isinstance(item, dict) else str(item) for item in items]


def list_comments(call: Call) -> Answer:
    """Of one issue or pull request, oldest first."""
    since = call.request.query.get("since", "")
    found = [one for one in issue_of(call).comments if one.updated_at.strftime("%Y-%m-%dT%H:%M:%SZ") >= since]
    return page(call, found, lambda comment: comment_json(call.world, call.repo, comment))


def list_all_comments(call: Call) -> Answer:
    """Of the whole repository, by id."""
    every = [comment for issue in call.repo.issues.values() for comment in issue.comments]
    every.sort(key=lambda comment: comment.id, reverse=call.request.query.get("direction") == "desc")
    return page(call, every, lambda comment: comment_json(call.world, call.repo, comment))


def create_comment(call: Call) -> Answer:
    """Not on a locked conversation."""
    issue = issue_of(call)
    check_text("IssueComment", call.body, ("body",))
    if issue.locked:
        raise ApiError(403, "Unable to create comment because issue is locked.")
    comment = new_comment(call.world, issue, call.user, call.body["body"], call.app)
    shown = comment_json(call.world, call.repo, comment)
    return Answer(201, shown, {"Location": shown["url"]})


def get_comment(call: Call) -> Answer:
    """One comment."""
    return Answer(200, comment_json(call.world, call.repo, comment_of(call)))


def update_comment(call: Call) -> Answer:
    """A new body."""
    comment = comment_of(call)
    check_text("IssueComment", call.body, ("body",))
    comment.body, comment.updated_at = call.body["body"], now()
    return Answer(200, comment_json(call.world, call.repo, comment))


def delete_comment(call: Call) -> Answer:
    """Gone for good."""
    comment = comment_of(call)
    call.repo.issues[comment.number].comments.remove(comment)
    return Answer(204)


def list_labels(call: Call) -> Answer:
    """Labels of the repository."""
    labels = sorted(call.repo.labels.values(), key=lambda label: label.name.lower())
    return page(call, labels, lambda label: label_json(call.world, call.repo, label))


def label_of(call: Call) -> Label:
    """The label that the route names; 404."""
    label = call.repo.labels.get(call.params["name"].lower())
    if label is None:
        raise not_found()
    return label


def get_label(call: Call) -> Answer:
    """One label."""
    return Answer(200, label_json(call.world, call.repo, label_of(call)))


def check_label(call: Call, name: str, color: str | None) -> None:
    """Name free and short, color six hex digits; ApiError 422."""
    if not name.strip() or len(name) > 50:
        raise invalid("Label", "invalid", "name")
    if name.lower() in call.repo.labels and call.params.get("name", "").lower() != name.lower():
        raise invalid("Label", "already_exists", "name")
    if color is not None and not (len(color) == 6 and all(letter in "0123456789abcdefABCDEF" for letter in color)):
        raise invalid("Label", "invalid", "color")


def create_label(call: Call) -> Answer:
    """422 already_exists whatever the case of the name."""
    name, color = call.body["name"], call.body.get("color")
    check_label(call, name, color)
    label = Label(call.world.next_id(), name, color or "ededed", call.body.get("description"))
    call.repo.labels[name.lower()] = label
    shown = label_json(call.world, call.repo, label)
    return Answer(201, shown, {"Location": shown["url"].replace(" ", "%20")})


def update_label(call: Call) -> Answer:
    """Rename or repaint."""
    label, body = label_of(call), call.body
    check_label(call, body.get("new_name", label.name), body.get("color"))
    del call.repo.labels[label.name.lower()]
    label.name, label.color = body.get("new_name", label.name), body.get("color", label.color)
    label.description = body.get("description", label.description)
    call.repo.labels[label.name.lower()] = label
    return Answer(200, label_json(call.world, call.repo, label))


def delete_label(call: Call) -> Answer:
    """Also off every issue."""
    label = label_of(call)
    del call.repo.labels[label.name.lower()]
    for issue in call.repo.issues.values():
        issue.labels = [one for one in issue.labels if one is not label]
    return Answer(204)


def labels_answer(call: Call, issue: Issue) -> Answer:
    """The labels that are on now."""
    return Answer(200, [label_json(call.world, call.repo, label) for label in issue.labels])


def list_issue_labels(call: Call) -> Answer:
    """Labels of one issue."""
    return page(call, issue_of(call).labels, lambda label: label_json(call.world, call.repo, label))


def wanted_labels(call: Call) -> list[str]:
    """`{"labels": [...]}` or the bare array, which GitHub's prose allows and its schema does not."""
    body = call.request.body
    names = names_of(body if isinstance(body, list) else call.body.get("labels", []))
    if any(not name.strip() or len(name) > 50 for name in names):
        raise invalid("Label", "invalid", "name")
    return names


def add_issue_labels(call: Call) -> Answer:
    """Those that the repository lacks are made."""
    issue = issue_of(call)
    put_labels(call.world, call.repo, issue, wanted_labels(call), call.user)
    return labels_answer(call, issue)


def set_issue_labels(call: Call) -> Answer:
    """Replace all."""
    issue, names = issue_of(call), wanted_labels(call)
    replace_labels(call, issue, names)
    return labels_answer(call, issue)


def clear_issue_labels(call: Call) -> Answer:
    """Take all off."""
    replace_labels(call, issue_of(call), [])
    return Answer(204)


def remove_issue_label(call: Call) -> Answer:
    """404 when it is not on."""
    issue = issue_of(call)
    if call.params["name"].lower() not in {label.name.lower() for label in issue.labels}:
        raise ApiError(404, "Label does not exist")
    drop_labels(call.world, issue, [call.params["name"]], call.user)
    return labels_answer(call, issue)


ROUTES = [
    Route("GET", f"{REPO}/issues", list_issues, "issues:read"),
    Route("POST", f"{REPO}/issues", create_issue, "issues:write"),
    Route("GET", ISSUE, get_issue, talk_need("read")),
    Route("PATCH", ISSUE, update_issue, talk_need("write"), "triage"),
    Route("GET", f"{REPO}/issues/comments", list_all_comments, "issues:read"),
    Route("GET", f"{ISSUE}/comments", list_comments, talk_need("read")),
    Route("POST", f"{ISSUE}/comments", create_comment, talk_need("write")),
    Route("GET", COMMENT, get_comment, talk_need("read")),
    Route("PATCH", COMMENT, update_comment, talk_need("write")),
    Route("DELETE", COMMENT, delete_comment, talk_need("write")),
    Route("GET", f"{REPO}/labels", list_labels, "issues|pull_requests:read"),
    Route("POST", f"{REPO}/labels", create_label, "issues|pull_requests:write", "write"),
    Route("GET", f"{REPO}/labels/{{name}}", get_label, "issues|pull_requests:read"),
    Route("PATCH", f"{REPO}/labels/{{name}}", update_label, "issues|pull_requests:write", "write"),
    Route("DELETE", f"{REPO}/labels/{{name}}", delete_label, "issues|pull_requests:write", "write"),
    Route("GET", f"{ISSUE}/labels", list_issue_labels, talk_need("read")),
    Route("POST", f"{ISSUE}/labels", add_issue_labels, talk_need("write"), "triage"),
    Route("PUT", f"{ISSUE}/labels", set_issue_labels, talk_need("write"), "triage"),
    Route("DELETE", f"{ISSUE}/labels", clear_issue_labels, talk_need("write"), "triage"),
    Route("DELETE", f"{ISSUE}/labels/{{name}}", remove_issue_label, talk_need("write"), "triage"),
]

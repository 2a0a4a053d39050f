"""Issues of a repository -> GraphQL's connection of them, with their labels and who put these on and took them off."""

from __future__ import annotations

from typing import Any

from .auth import allow
from .call import Call
from .exchange import ApiError
from .graph_nodes import actor_node, connection, refused
from .records import Issue, Label, LabelEvent, Repo, stamp

KINDS = {True: ("LabeledEvent", "LABELED_EVENT"), False: ("UnlabeledEvent", "UNLABELED_EVENT")}


def issues(call: Call, repo: Repo, args: dict[str, Any]) -> dict[str, Any]:
    """Issues without pull requests: filtered, ordered, one page."""
    try:
        allow(call.caller, repo, "issues:read", "read")
    except ApiError as error:
        raise refused("FORBIDDEN", error.message) from None
    wanted = args.get("filterBy") or {}
    states = args.get("states") or wanted.get("states") or ("OPEN", "CLOSED")
    found = [
        each
        for each in repo.issues.values()
        if each.pull is None and each.state.upper() in states and stamp(each.updated_at) >= (wanted.get("since") or "")
    ]
    order = args.get("orderBy") or {"field": "CREATED_AT", "direction": "ASC"}
    keys = {
        "CREATED_AT": lambda each: (each.created_at, each.number),
        "UPDATED_AT": lambda each: (each.updated_at, each.number),
        "COMMENTS": lambda each: (len(each.comments), each.number),
    }
    found.sort(key=keys[order["field"]], reverse=order["direction"] == "DESC")
    page = connection("issues", found, args)
    return page | {"nodes": [issue_node(call, repo, each) for each in page["nodes"]]}


def issue_node(call: Call, repo: Repo, issue: Issue) -> dict[str, Any]:
    """`Issue`."""

    def reason(info: Any, enableDuplicate: bool = False) -> str | None:
        said = (issue.state_reason or "").upper()
        return ("NOT_PLANNED" if said == "DUPLICATE" and not enableDuplicate else said) or None

    def timeline(info: Any, itemTypes: list[str] | None = None, **args: Any) -> dict[str, Any]:
        rows = [
            event_node(each) for each in issue.label_events if itemTypes is None or KINDS[each.added][1] in itemTypes
        ]
        return connection("timelineItems", rows, args)

    return {
        "id": f"I_{issue.id}",
        "databaseId": issue.id,
        "number": issue.number,
        "title": issue.title,
        "body": issue.body or "",
        "bodyText": issue.body or "",
        "author": actor_node(issue.user),
        "url": f"{call.world.html}/{repo.full_name}/issues/{issue.number}",
        "createdAt": stamp(issue.created_at),
        "updatedAt": stamp(issue.updated_at),
        "closedAt": stamp(issue.closed_at),
        "locked": issue.locked,
        "state": issue.state.upper(),
        "stateReason": reason,
        "labels": lambda info, **args: connection("labels", [label_node(each) for each in issue.labels], args),
        "timelineItems": timeline,
    }


def event_node(event: LabelEvent) -> dict[str, Any]:
    """`LabeledEvent` or `UnlabeledEvent`."""
    return {
        "__typename": KINDS[event.added][0],
        "id": f"LE_{event.id}",
        "actor": actor_node(event.user),
        "createdAt": stamp(event.created_at),
        "label": label_node(event.label),
    }


def label_node(label: Label) -> dict[str, Any]:
    """`Label`: in an old event it goes by its present name."""
    return {"id": f"LA_{label.id}", "name": label.name, "description": label.description, "color": label.color}

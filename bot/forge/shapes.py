"""GitHub's JSON -> our values, for what the API answers (what webhooks carry is read in events).

Field names: GitHub's REST schemas `simple-user`, `issue`, `pull-request`, `issue-comment`, `full-repository`.
"""

from __future__ import annotations

from typing import Any

from bot.types.event import Actor, Comment, PullInfo, Repository, Revision, Subject
from bot.types.value import CommentKind

GHOST = Actor(login="ghost", id=10137, type="User")
"""Whom GitHub shows in place of a deleted account (the API sends null)."""


def actor(data: dict[str, Any] | None) -> Actor:
    """`simple-user`; the ghost for null."""
    if data is None:
        return GHOST
    return Actor(login=data["login"], id=data["id"], type=data.get("type") or "User")


def repository(data: dict[str, Any]) -> Repository:
    """`full-repository`."""
    return Repository(
        full_name=data["full_name"],
        default_branch=data["default_branch"],
        id=data["id"],
        private=bool(data.get("private")),
        archived=bool(data.get("archived")),
        url=data.get("html_url") or "",
    )


def issue(data: dict[str, Any]) -> Subject:
    """`issue`, or what a pull request has in common with one."""
    return Subject(
        kind="issue",
        number=data["number"],
        title=data["title"] or "",
        body=data.get("body") or "",
        state=data["state"],
        locked=bool(data.get("locked")),
        author=actor(data.get("user")),
        labels=tuple(each if isinstance(each, str) else each["name"] or "" for each in data.get("labels") or ()),
        url=data.get("html_url") or "",
        updated_at=data.get("updated_at") or "",
    )


def pull(data: dict[str, Any]) -> Subject:
    """`pull-request` or `pull-request-simple`."""
    head, base = data["head"], data["base"]
    info = PullInfo(
        head=Revision(ref=head["ref"], sha=head["sha"]),
        base=Revision(ref=base["ref"], sha=base["sha"]),
        head_repository=head["repo"]["full_name"] if head.get("repo") else None,
        draft=bool(data.get("draft")),
        merged=bool(data.get("merged_at")),
    )
    return issue(data).changed(kind="pull_request", pull=info)


def comment(data: dict[str, Any], kind: CommentKind) -> Comment:
    """`issue-comment` or `pull-request-review-comment`."""
    return Comment(
        id=data["id"],
        kind=kind,
        author=actor(data.get("user")),
        body=data.get("body") or "",
        created_at=data.get("created_at") or "",
        updated_at=data.get("updated_at") or "",
        url=data.get("html_url") or "",
    )

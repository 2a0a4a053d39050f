"""A write that was carried out -> who made it and what on the server it changed, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from .exchange import Request
from .records import Issue, Repo, World

CONTENT = ("/git/blobs", "/git/trees", "/git/commits")
"""Routes that only store objects: nothing that people see changes, and a run may need thousands of them."""
LEVELS = ("none", "read", "write", "admin")


class Thing(NamedTuple):
    """What was changed."""

    repo: str
    """Lower-case full name; empty for what belongs to none."""
    kind: str
    """issue, comment, review_comment, thread, review, reaction, ref, check, status, label, run, dispatch, token."""
    name: str
    """Number, full name of a ref, or value of a token."""
    on: int = 0
    """Number of the issue or pull request that it belongs to."""


@dataclass(frozen=True)
class Credential:
    """Who wrote: the token behind the request as it was at that moment."""

    value: str
    login: str
    kind: Literal["actions", "pat", "app", "jwt", "none"]
    permissions: Mapping[str, str] | None
    """None: whatever its user may do."""
    repos: frozenset[str] | None
    """None: all."""

    @property
    def phase(self) -> Literal["app", "read", "write"]:
        """`app`: signed by the App itself. `read`: nothing in it may write. `write`: something may."""
        if self.kind == "jwt":
            return "app"
        levels = (self.permissions or {"*": "write"}).values()
        return "write" if any(LEVELS.index(level) > 1 for level in levels) else "read"


@dataclass(frozen=True)
class Write:
    """One write, refused ones included."""

    number: int
    """From 1, in the order in which they were carried out."""
    method: str
    path: str
    operation: str | None
    """`METHOD /template` of the description."""
    status: int
    """What the server answered, whether or not a planted fault let the client see it."""
    who: Credential
    changes: Mapping[Thing, tuple[Any, Any]]
    """What it changed: before and after, None for what was not there."""
    fault: str | None = None
    """Kind of the planted fault that hid the answer."""

    @property
    def done(self) -> bool:
        """Whether the server accepted it."""
        return self.status < 400


def credential_of(world: World, request: Request) -> Credential:
    """Who is behind a request that was routed."""
    token = world.tokens.get(request.token or "")
    if token is None:
        kind: Literal["jwt", "none"] = "jwt" if request.login else "none"
        return Credential("", request.login or "", kind, {}, frozenset())
    repos = None if token.repos is None else frozenset(token.repos)
    return Credential(token.value, token.user.login, token.kind, token.permissions, repos)


def changes_between(before: Mapping[Thing, Any], after: Mapping[Thing, Any]) -> dict[Thing, tuple[Any, Any]]:
    """What differs, in the order of the later state."""
    every = dict.fromkeys((*after, *before))
    return {each: (before.get(each), after.get(each)) for each in every if before.get(each) != after.get(each)}


def snapshot(world: World) -> dict[Thing, Any]:
    """Everything that people and programs can see, but for git's objects, which never change."""
    out: dict[Thing, Any] = {}
    for name, repo in world.repos.items():
        out |= dict(things_of(name, repo))
    for value, token in world.tokens.items():
        out[Thing("", "token", value)] = "revoked" if token.revoked else dict(token.permissions or {})
    return out


def things_of(name: str, repo: Repo) -> Iterator[tuple[Thing, Any]]:
    """The things of one repository."""
    for ref, sha in repo.git.refs().items():
        if not ref.startswith("refs/pull/"):  # the server's own bookkeeping
            yield Thing(name, "ref", ref), sha
    for label in repo.labels.values():
        yield Thing(name, "label", label.name), (label.color, label.description)
    for check in repo.check_runs:
        yield Thing(name, "check", str(check.id)), dict(check.fields) | {"annotations": len(check.annotations)}
    for status in repo.statuses:
        yield Thing(name, "status", str(status.id)), (status.context, status.state)
    for run in repo.runs.values():
        yield Thing(name, "run", str(run.id)), (run.status, run.conclusion)
    for number, body in enumerate(repo.dispatches, 1):
        yield Thing(name, "dispatch", str(number)), body
    for issue in repo.issues.values():
        yield from talk_of(name, issue)


def talk_of(repo: str, issue: Issue) -> Iterator[tuple[Thing, Any]]:
    """An issue or pull request and what was said on it."""
    number, pull = issue.number, issue.pull
    yield Thing(repo, "issue", str(number), number), issue_state(issue)
    for reaction in issue.reactions:
        yield Thing(repo, "reaction", str(reaction.id), number), (reaction.user.login, reaction.content)
    for kind, comments in (("comment", issue.comments), ("review_comment", pull.comments if pull else ())):
        for comment in comments:
            yield Thing(repo, kind, str(comment.id), number), comment.body
            for reaction in comment.reactions:
                yield Thing(repo, "reaction", str(reaction.id), number), (reaction.user.login, reaction.content)
    for first, user in pull.resolved.items() if pull else ():
        yield Thing(repo, "thread", str(first), number), user.login
    for review in pull.reviews if pull else ():
        yield Thing(repo, "review", str(review.id), number), (review.state, review.body)


def issue_state(issue: Issue) -> dict[str, Any]:
    """What an issue shows of itself; with head and base for a pull request."""
    out: dict[str, Any] = {
        "title": issue.title,
        "body": issue.body,
        "state": issue.state,
        "locked": issue.locked,
        "labels": sorted(issue.label_names),
        "assignees": [user.login for user in issue.assignees],
    }
    if issue.pull is not None:
        out |= {"head": issue.pull.head_ref, "base": issue.pull.base_ref, "draft": issue.pull.draft}
    return out

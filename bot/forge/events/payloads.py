"""Webhook payloads -> just the keys that the bot uses, checked; everything else in them is left alone.

Sources: GitHub's pages "Webhook events and payloads", "Events that trigger workflows" and "Workflow syntax".
Unknown keys are ignored without descending into them, so depth and size of the rest don't matter.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bot.types.event import Actor, Comment, PullInfo, Repository, Revision, Subject
from bot.types.value import CommentKind, FullName, Sha

GHOST = Actor(login="ghost", id=10137)
"""The account that GitHub shows in place of a deleted one, where its payloads say null."""

_UNSAFE = re.compile("[\0\ud800-\udfff]")


def clean(value: Any) -> Any:
    """Text that every store and encoder takes: lone surrogates and NUL become U+FFFD. Other values pass unchanged."""
    if not isinstance(value, str):
        return value
    return _UNSAFE.sub("\ufffd", value)


def _null_as_empty(value: Any) -> Any:
    return "" if value is None else clean(value)


def _names(value: Any) -> Any:
    """GitHub describes a label as an object with a name, or as the name itself."""
    if not isinstance(value, list):
        return () if value is None else value
    names = (each.get("name") if isinstance(each, dict) else each for each in value)
    return tuple(clean(each) for each in names if isinstance(each, str))


Text = Annotated[str, BeforeValidator(clean)]
Blank = Annotated[str, BeforeValidator(_null_as_empty)]
Number = Annotated[int, Field(ge=1, le=2**53)]
Identity = Annotated[int, Field(ge=0, le=2**63 - 1)]
Name = Annotated[Text, Field(min_length=1, max_length=255)]
Commit = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$"), BeforeValidator(_null_as_empty)]


class Shape(BaseModel):
    """A part of a payload: types must be right, other keys may be there."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Account(Shape):
    login: Name
    id: Identity
    type: Text = "User"

    def value(self) -> Actor:
        return Actor(login=self.login, id=self.id, type=self.type)


class RepositoryShape(Shape):
    full_name: FullName
    default_branch: Text = ""
    id: Identity = 0
    private: bool = False
    archived: bool = False
    html_url: Blank = ""

    def value(self) -> Repository:
        return Repository(
            full_name=self.full_name,
            default_branch=self.default_branch,
            id=self.id,
            private=self.private,
            archived=self.archived,
            url=self.html_url,
        )


class Home(RepositoryShape):
    """A repository to act in: policy is read from its default branch."""

    default_branch: Name


class Installation(Shape):
    id: Identity


class Envelope(Shape):
    """What every payload that the bot acts on has."""

    repository: Home
    sender: Account
    installation: Installation | None = None
    action: Text = ""


class Named(Shape):
    name: Text


class FullNamed(Shape):
    full_name: FullName


class Branch(Shape):
    ref: Name
    sha: Sha
    repo: FullNamed | None = None

    def value(self) -> Revision:
        return Revision(ref=self.ref, sha=self.sha)


class Thread(Shape):
    """What issues and pull requests share."""

    number: Number
    title: Text
    body: Blank = ""
    state: Literal["open", "closed"] = "open"
    locked: bool = False
    user: Account | None = None
    labels: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    html_url: Blank = ""
    updated_at: Blank = ""

    def subject(self, kind: Literal["issue", "pull_request"], pull: PullInfo | None) -> Subject:
        return Subject(
            kind=kind,
            number=self.number,
            title=self.title,
            body=self.body,
            state=self.state,
            locked=self.locked,
            author=self.user.value() if self.user else GHOST,
            labels=self.labels,
            pull=pull,
            url=self.html_url,
            updated_at=self.updated_at,
        )


class IssueShape(Thread):
    pull_request: Any = None

    def value(self) -> Subject:
        """GitHub's issues include pull requests: the key `pull_request` tells them apart."""
        return self.subject("issue" if self.pull_request is None else "pull_request", None)


class PullShape(Thread):
    head: Branch
    base: Branch
    draft: bool = False
    merged: bool = False

    def value(self) -> Subject:
        pull = PullInfo(
            head=self.head.value(),
            base=self.base.value(),
            head_repository=self.head.repo.full_name if self.head.repo else None,
            draft=self.draft,
            merged=self.merged,
        )
        return self.subject("pull_request", pull)


class CommentShape(Shape):
    id: Identity
    user: Account | None = None
    body: Blank = ""
    created_at: Blank = ""
    updated_at: Blank = ""
    html_url: Blank = ""
    commit_id: Commit = ""
    original_commit_id: Commit = ""

    def value(self, kind: CommentKind) -> Comment:
        # GitHub moves a thread on with the head, so that an answer in it names a commit that nobody may have seen.
        moved = self.original_commit_id not in ("", self.commit_id)
        return Comment(
            id=self.id,
            kind=kind,
            author=self.user.value() if self.user else GHOST,
            body=self.body,
            created_at=self.created_at,
            updated_at=self.updated_at,
            url=self.html_url,
            commit="" if moved else self.commit_id,
        )


class ReviewShape(Shape):
    """The words above a whole review. GitHub tells when it was submitted, and only sometimes when it was edited."""

    id: Identity
    user: Account | None = None
    body: Blank = ""
    submitted_at: Blank = ""
    updated_at: Blank = ""
    html_url: Blank = ""
    commit_id: Commit = ""

    def value(self) -> Comment:
        return Comment(
            id=self.id,
            kind="verdict",
            author=self.user.value() if self.user else GHOST,
            body=self.body,
            created_at=self.submitted_at,
            updated_at=self.updated_at or self.submitted_at,
            url=self.html_url,
            commit=self.commit_id,
        )


class IssuesPayload(Envelope):
    issue: IssueShape
    label: Named | None = None
    assignee: Account | None = None


class PullPayload(Envelope):
    pull_request: PullShape
    label: Named | None = None
    requested_reviewer: Account | None = None
    requested_team: Any = None


class ReviewPayload(Envelope):
    pull_request: PullShape
    review: ReviewShape


class IssueCommentPayload(Envelope):
    issue: IssueShape
    comment: CommentShape


class ReviewCommentPayload(Envelope):
    pull_request: PullShape
    comment: CommentShape


class DispatchPayload(Envelope):
    inputs: dict[Text, Any] | None = None


class RepositoryDispatchPayload(Envelope):
    client_payload: dict[Text, Any] | None = None


class SchedulePayload(Shape):
    """What GitHub's runner writes for a workflow that came due: nobody sent it, so it has no `sender`."""

    repository: Home
    schedule: Annotated[Text, Field(min_length=1, max_length=200)]


class HeadCommit(Shape):
    message: Blank = ""


class CheckedCommit(Shape):
    """What workflow runs and check suites share."""

    id: Identity
    conclusion: Blank = ""
    head_branch: Blank = ""
    head_sha: Sha
    head_commit: HeadCommit | None = None


class WorkflowRun(CheckedCommit):
    run_attempt: Identity = 1
    name: Blank = ""
    path: Blank = ""
    event: Text
    head_repository: FullNamed | None = None


class WorkflowRunPayload(Envelope):
    workflow_run: WorkflowRun


class CheckSuite(CheckedCommit):
    app: Named | None = None


class CheckSuitePayload(Envelope):
    check_suite: CheckSuite

"""The state of the server: users, repositories, issues, pull requests and what hangs on them, as plain records."""

import itertools
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from .objects import GitStore
from .trees import Identity

Role = Literal["admin", "maintain", "write", "triage", "read", "none"]
ROLES: tuple[Role, ...] = ("none", "read", "triage", "write", "maintain", "admin")


@dataclass
class User:
    """An account; a bot's login ends in `[bot]`."""

    login: str
    id: int
    type: str = "User"
    gone: bool = False
    """Deleted: GraphQL then says null."""

    @property
    def email(self) -> str:
        """The private address that GitHub gives everybody."""
        return f"{self.id}+{self.login}@users.noreply.github.com"


@dataclass
class Label:
    """A label of a repository."""

    id: int
    name: str
    color: str = "ededed"
    description: str | None = None


@dataclass
class LabelEvent:
    """Somebody put a label on or took it off."""

    id: int
    label: Label
    added: bool
    user: User | None
    created_at: datetime


@dataclass
class Reaction:
    """One user's emoji on something."""

    id: int
    user: User
    content: str
    created_at: datetime


@dataclass
class Comment:
    """A comment on an issue or a pull request."""

    id: int
    number: int
    user: User
    body: str
    created_at: datetime
    updated_at: datetime
    reactions: list[Reaction] = field(default_factory=list)
    app: "App | None" = None


@dataclass
class ReviewComment(Comment):
    """A comment on a line of a pull request's diff."""

    path: str = ""
    commit_id: str = ""
    line: int | None = None
    side: str = "RIGHT"
    start_line: int | None = None
    start_side: str | None = None
    subject_type: str = "line"
    in_reply_to: int | None = None
    review_id: int | None = None
    diff_hunk: str = ""
    minimized: str | None = None
    """Why it is folded away."""


@dataclass
class Review:
    """A review: a verdict over some review comments."""

    id: int
    user: User
    body: str
    state: str
    commit_id: str
    submitted_at: datetime


@dataclass
class Pull:
    """What makes an issue a pull request."""

    id: int
    base_ref: str
    head_ref: str
    head_owner: User
    head_repo: "Repo | None"
    """None when the fork was deleted."""
    head_sha: str
    base_sha: str
    draft: bool = False
    merged: bool = False
    maintainer_can_modify: bool = False
    comments: list[ReviewComment] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    resolved: dict[int, User] = field(default_factory=dict)
    """First comment of a thread -> who resolved it."""

    @property
    def head_label(self) -> str:
        """`owner:branch`."""
        return f"{self.head_owner.login}:{self.head_ref}"


@dataclass
class Issue:
    """An issue, or the conversation of a pull request."""

    id: int
    number: int
    user: User
    title: str
    body: str | None
    created_at: datetime
    updated_at: datetime
    state: str = "open"
    state_reason: str | None = None
    closed_at: datetime | None = None
    closed_by: User | None = None
    locked: bool = False
    labels: list[Label] = field(default_factory=list)
    label_events: list[LabelEvent] = field(default_factory=list)
    assignees: list[User] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    pull: Pull | None = None

    @property
    def label_names(self) -> list[str]:
        """Names of the labels, in the order in which they were put on."""
        return [label.name for label in self.labels]


@dataclass
class CheckRun:
    """A check run; `fields` holds what its creator sent, annotations added up."""

    id: int
    head_sha: str
    app: "App"
    fields: dict[str, Any]
    annotations: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Status:
    """A commit status."""

    id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    creator: User
    created_at: datetime


@dataclass
class WorkflowRun:
    """A run of a workflow, as much of it as can be cancelled."""

    id: int
    path: str
    event: str
    head_branch: str
    head_sha: str
    created_at: datetime
    status: str = "in_progress"
    conclusion: str | None = None


@dataclass
class App:
    """A GitHub App with one installation on each owner's account."""

    id: int
    slug: str
    user: User
    owner: User
    permissions: dict[str, str]
    installation_id: int
    created_at: datetime
    public_key: str | None = None
    """PEM; checks the JWT. None: the app cannot authenticate as itself (as GitHub Actions)."""
    repos: set[str] = field(default_factory=set)
    """Lower-case full names that it is installed on."""
    suspended_at: datetime | None = None
    """Since when the owner does not let it work."""

    @property
    def client_id(self) -> str:
        """What may stand in a JWT in the number's place."""
        return f"Iv1.{self.id:016x}"

    @property
    def granted(self) -> dict[str, str]:
        """Permissions of the installation; nobody needs to ask for `metadata`."""
        return {"metadata": "read"} | self.permissions


@dataclass
class Token:
    """A credential. `permissions` None: whatever the user may do (a classic token)."""

    value: str
    user: User
    kind: Literal["actions", "pat", "app"]
    permissions: dict[str, str] | None = None
    repos: set[str] | None = None
    """Lower-case full names that it reaches; None: all."""
    app: App | None = None
    scopes: str = "repo, workflow"
    expires_at: datetime | None = None
    revoked: bool = False
    used: int = 0
    """Requests counted against the rate limit."""


@dataclass
class Repo:
    """A repository: its git store and everything else."""

    id: int
    owner: User
    name: str
    git: GitStore
    created_at: datetime
    private: bool = False
    default_branch: str = "main"
    fork_of: "Repo | None" = None
    roles: dict[str, Role] = field(default_factory=dict)
    """Lower-case login -> role."""
    issues: dict[int, Issue] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    """Lower-case name -> label."""
    check_runs: list[CheckRun] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    runs: dict[int, WorkflowRun] = field(default_factory=dict)
    dispatches: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of repository and workflow dispatches; the latter carry `workflow`."""
    protected: set[str] = field(default_factory=set)
    """Branches that nobody may update or delete."""
    actions_may_open_pulls: bool = True
    drafts: bool = True
    required_checks: set[str] = field(default_factory=set)
    """Names of checks and statuses without which nothing is merged."""
    required_reviews: int = 0
    """Approvals without which nothing is merged."""
    slow_merges: bool = False
    """Whether it is only found out after the first question whether a pull request merges, as at GitHub."""
    tree_limit: int = 100_000
    archived: bool = False
    """Nobody may write any more."""
    gone: "dict[int, tuple[Repo, int] | None]" = field(default_factory=dict)
    """Issues that were transferred, and to where; None for one that was deleted."""
    merges: dict[tuple[str, str], str | None] = field(default_factory=dict)
    """(base, head) -> test merge commit, None when they conflict."""

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner.login}/{self.name}"

    @property
    def pulls(self) -> dict[int, Issue]:
        """The issues that are pull requests."""
        return {number: issue for number, issue in self.issues.items() if issue.pull is not None}

    def comments(self, number: int) -> list[str]:
        """Bodies of the comments of an issue or pull request, oldest first."""
        return [comment.body for comment in self.issues[number].comments]


@dataclass
class World:
    """Everything that the server knows, and the lock that guards it."""

    api: str
    html: str
    folder: Path
    users: dict[str, User] = field(default_factory=dict)
    repos: dict[str, Repo] = field(default_factory=dict)
    moved: dict[str, Repo] = field(default_factory=dict)
    """Old lower-case full names of repositories that were renamed."""
    tokens: dict[str, Token] = field(default_factory=dict)
    apps: dict[int, App] = field(default_factory=dict)
    manifests: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Code -> what a person confirmed on GitHub's page, until it is converted into an App."""
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(10_000_001))
    lock: threading.RLock = field(default_factory=threading.RLock)

    def next_id(self) -> int:
        """A number that no other record has."""
        return next(self.ids)

    def repo(self, full_name: str) -> Repo:
        """By name, whatever its case; KeyError."""
        return self.repos[full_name.lower()]

    def user(self, login: str) -> User:
        """By login; made on the way when it is new."""
        if login.lower() not in self.users:
            kind = "Bot" if login.endswith("[bot]") else "User"
            self.users[login.lower()] = User(login, self.next_id(), kind)
        return self.users[login.lower()]

    def identity(self, user: User) -> Identity:
        """A user as git names it, now."""
        return Identity(user.login, user.email, now())


def now() -> datetime:
    """The present second in UTC: GitHub's times have no fraction."""
    return datetime.now(UTC).replace(microsecond=0)


def stamp(moment: datetime | None) -> Any:
    """ISO 8601 with a Z, or None."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def role_of(repo: Repo, user: User | None) -> Role:
    """What a user may do: the owner everything, a stranger read what is public."""
    if user is None:
        return "none" if repo.private else "read"
    if user.login.lower() == repo.owner.login.lower():
        return "admin"
    return repo.roles.get(user.login.lower(), "none" if repo.private else "read")


def at_least(have: Role, need: Role) -> bool:
    """Whether one role includes another."""
    return ROLES.index(have) >= ROLES.index(need)

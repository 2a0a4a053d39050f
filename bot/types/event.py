"""What happened: one delivery from the forge, parsed into people, places and a trigger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from bot.types.value import CommentKind, FullName, Sha, SubjectKind, Value


class Actor(Value):
    """An account on the forge."""

    login: str
    """Its login, `[bot]` suffix included."""
    id: int
    """Its numeric id: a login can be renamed and taken over, an id can't."""
    type: str = "User"
    """GitHub's `type`: User, Bot, Organization, Mannequin."""


class Repository(Value):
    """The repository that an event belongs to."""

    full_name: FullName
    """`owner/name`."""
    default_branch: str
    """The branch that policy and conventions are read from."""
    id: int = 0
    """GitHub's numeric id, 0 for a folder on this machine."""
    private: bool = False
    """Whether only members can see it."""
    archived: bool = False
    """Whether it is read-only."""
    url: str = ""
    """Its web page."""

    @property
    def owner(self) -> str:
        return self.full_name.partition("/")[0]

    @property
    def name(self) -> str:
        return self.full_name.partition("/")[2]


class Revision(Value):
    """A commit under the name by which it was found."""

    ref: str
    """Branch name without `refs/heads/`."""
    sha: Sha
    """The commit."""


class PullInfo(Value):
    """What only a pull request has."""

    head: Revision
    """What is proposed."""
    base: Revision
    """What it is proposed against."""
    head_repository: str | None
    """`owner/name` of the head, None when that fork was deleted."""
    draft: bool = False
    """Whether it is a draft."""
    merged: bool = False
    """Whether it was merged."""


class Subject(Value):
    """The issue or pull request that an event is about: the only object a run may write to."""

    kind: SubjectKind
    """Issue or pull request."""
    number: int = Field(ge=1)
    """Its number in the repository."""
    title: str
    """A stranger's text."""
    body: str = ""
    """A stranger's text, empty where GitHub sends null."""
    state: Literal["open", "closed"] = "open"
    """Open or closed."""
    locked: bool = False
    """Whether the conversation is locked."""
    author: Actor
    """Who opened it."""
    labels: tuple[str, ...] = ()
    """Names of its labels."""
    pull: PullInfo | None = None
    """Head and base; None for an issue, and for a pull request whose event does not carry them."""
    url: str = ""
    """Its web page."""
    updated_at: str = ""
    """ISO time of its last change, as the event said."""


class Comment(Value):
    """A comment on an issue, a pull request, or a line of its diff."""

    id: int
    """GitHub's id."""
    kind: CommentKind = "issue"
    """`review` for a comment on the diff, `verdict` for the text above a whole review."""
    author: Actor
    """Who wrote it."""
    body: str
    """A stranger's text."""
    created_at: str = ""
    """ISO time."""
    updated_at: str = ""
    """ISO time of the last edit."""
    url: str = ""
    """Its web page."""
    commit: str = ""
    """The commit that was on the page when it was written: of a comment on the diff, and of a review's text."""


class Command(Value):
    """`/bot <verb> [text] [--key=value]...`, taken from the first line of a comment."""

    verb: str
    """What is asked for: a task's name, or help, status, stop, retry."""
    text: str = ""
    """The free text behind the verb and in the lines below it."""
    options: Mapping[str, str] = Field(default_factory=dict)
    """The `--key=value` words of the first line."""


class Labeled(Value):
    """A label was put on."""

    kind: Literal["label"] = "label"
    label: str
    """The label's name."""
    task: str | None = None
    """The task it names, None when it lacks the bot's prefix."""


class Commented(Value):
    """A comment was written or edited."""

    kind: Literal["comment"] = "comment"
    comment: Comment
    """The comment as the event carried it."""
    command: Command | None = None
    """The command in it, None when it holds none."""
    edited: bool = False
    """Whether the event is an edit, which never starts anything."""


class Dispatched(Value):
    """Asked directly: workflow_dispatch, repository_dispatch, or the command line."""

    kind: Literal["dispatch"] = "dispatch"
    task: str
    """The task's name."""
    prompt: str = ""
    """What to do, in free text."""
    number: int | None = None
    """Issue or pull request to work on."""
    ref: str | None = None
    """Branch to work on; the default branch if None."""
    options: Mapping[str, str] = Field(default_factory=dict)
    """Overrides, as in a command."""


class Summoned(Value):
    """An issue was assigned to somebody, or a review was requested from them."""

    kind: Literal["summoned"] = "summoned"
    moment: Literal["assigned", "review_requested"]
    """Which of both."""
    who: Actor
    """Whom; only the bot's own account counts."""


class Failed(Value):
    """Checks of a commit of this repository failed (`check_suite` or `workflow_run`)."""

    kind: Literal["failed"] = "failed"
    check: str
    """Name of the App or workflow whose checks failed."""
    head: Revision
    """The branch and commit that were checked."""


class Scheduled(Value):
    """The time came that the repository's own workflow names; nobody asked."""

    kind: Literal["scheduled"] = "scheduled"
    cron: str
    """The line of the workflow that came due."""


class Opened(Value):
    """An issue or a pull request came in or was changed; policy says whether that starts anything."""

    kind: Literal["opened"] = "opened"
    action: str
    """GitHub's action: opened, reopened, synchronize, ready_for_review, edited."""


class Upstream(Value):
    """Another workflow finished for a pull request of a fork (`workflow_run`)."""

    kind: Literal["upstream"] = "upstream"
    workflow: str
    """That workflow's name."""
    head: Revision
    """The fork's branch and commit, as GitHub (not the fork) reports them."""
    head_repository: str
    """`owner/name` of the fork."""


class Other(Value):
    """Something that the bot does not act on."""

    kind: Literal["other"] = "other"
    reason: str
    """Why not."""


Trigger = Annotated[
    Labeled | Commented | Dispatched | Summoned | Opened | Failed | Scheduled | Upstream | Other,
    Field(discriminator="kind"),
]


class Event(Value):
    """One delivery from the forge, parsed once at the door."""

    id: str
    """Identity: the same for every delivery of the same happening, different for every other."""
    name: str
    """GitHub's event name, for instance `issues`."""
    action: str = ""
    """GitHub's action, empty where the event has none."""
    repository: Repository
    """Where it happened."""
    actor: Actor
    """The account that caused it (`sender`), which may differ from the author of the text."""
    subject: Subject | None = None
    """The issue or pull request it is about."""
    trigger: Trigger
    """What happened."""
    attempt: int = Field(default=1, ge=1)
    """How often a person started this same event (GITHUB_RUN_ATTEMPT)."""
    installation: int | None = None
    """The App installation that delivered it."""

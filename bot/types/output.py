"""What may be written to the forge: the closed list of outputs, and the receipt of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bot.types.result import Annotation
from bot.types.sandbox import FileChange
from bot.types.value import CommentKind, Conclusion, Sha, Status, Value


class Reaction(Value):
    """An emoji on the thing that started the run: the first sign of life."""

    kind: Literal["reaction"] = "reaction"
    key: str
    """Identity of this write within the run."""
    number: int
    """The subject."""
    comment: int | None = None
    """The comment; None for the subject itself."""
    comment_kind: CommentKind = "issue"
    """Which kind of comment."""
    content: Literal["eyes", "rocket", "+1", "-1", "confused"] = "eyes"
    """GitHub's name of the emoji."""


class Note(Value):
    """A comment that is found again by its marker: written once, then edited."""

    kind: Literal["note"] = "note"
    key: str
    """Identity of this write."""
    number: int
    """The subject."""
    marker: str
    """Hidden first line (an HTML comment) that identifies the comment; a comment of ours with it is edited."""
    body: str
    """Sanitised Markdown behind the marker line, 65,536 characters at most with it."""
    new: bool = False
    """Whether the comments were just read and none has the marker, so that it need not be looked for again."""


class LabelChange(Value):
    """Labels put on and taken off; those to be put on are created where they are missing."""

    kind: Literal["labels"] = "labels"
    key: str
    """Identity of this write."""
    number: int
    """The subject."""
    add: tuple[str, ...] = ()
    """To put on."""
    remove: tuple[str, ...] = ()
    """To take off; one that is not there is no error."""


class Commit(Value):
    """A commit on a branch, made through the Git Data API so that GitHub signs it."""

    kind: Literal["commit"] = "commit"
    key: str
    """Identity of this write."""
    branch: str
    """Where: a new branch, or the pull request's own."""
    create: bool
    """True: the branch is ours and new. False: it must still stand at `parent`."""
    parent: Sha
    """The commit that the changes were made on."""
    message: str
    """Commit message."""
    files: tuple[FileChange, ...]
    """What changes; the bytes lie in the run's blob folder."""
    rebase: bool = False
    """Whether it may go on top of a branch that moved on, where nobody touched the same files meanwhile."""


class Pull(Value):
    """A draft pull request."""

    kind: Literal["pull"] = "pull"
    key: str
    """Identity of this write."""
    head: str
    """Our branch."""
    base: str
    """Branch to merge into."""
    title: str
    """Title, 256 characters at most."""
    body: str
    """Sanitised Markdown."""


class Check(Value):
    """A check run on a commit: made when the run starts, brought to its end with it."""

    kind: Literal["check"] = "check"
    key: str
    """Identity of this write, one for each stage."""
    external: str
    """The check run's external id, the same in each stage."""
    name: str
    """Shown name."""
    sha: Sha
    """The commit."""
    status: Status = "completed"
    """How far the run is."""
    conclusion: Conclusion | None
    """How it went; None before the end."""
    title: str
    """Heading."""
    summary: str
    """Sanitised Markdown, 65,535 characters at most."""
    annotations: tuple[Annotation, ...] = ()
    """Remarks on lines; sent 50 at a time."""


class Remark(Value):
    """A comment on lines of a pull request's diff."""

    path: str
    """File, as the head names it."""
    line: int = Field(ge=1)
    """The line, or the last of several; part of the diff."""
    first: int | None = Field(default=None, ge=1)
    """The first of several lines, in the same hunk."""
    fingerprint: str
    """What it says, in a form that the next review recognises: 16 hexadecimal digits."""
    body: str
    """Sanitised Markdown, with a suggestion block where there is one."""


class Review(Value):
    """One review of a pull request: remarks on lines and a text above them. It never approves and never blocks."""

    kind: Literal["review"] = "review"
    key: str
    """Identity of this write."""
    number: int
    """The pull request."""
    sha: Sha
    """The commit that was reviewed."""
    marker: str
    """Hidden first line of the review's text, by which it is found again."""
    body: str
    """Sanitised Markdown above the remarks, those included that have no line in the diff."""
    remarks: tuple[Remark, ...] = ()
    """Remarks on lines. One that an earlier review of ours made, and that still stands there, is not made twice."""


class ClosePull(Value):
    """A pull request of ours is closed: undo."""

    kind: Literal["close_pull"] = "close_pull"
    key: str
    """Identity of this write."""
    number: int
    """Its number."""
    head: str
    """Our branch, from which it must come."""


class DeleteBranch(Value):
    """A branch of ours is deleted where it stands at our own commit: undo."""

    kind: Literal["delete_branch"] = "delete_branch"
    key: str
    """Identity of this write."""
    branch: str
    """Its name, `bot/...`."""
    sha: Sha
    """The commit that it must stand at."""


class NewIssue(Value):
    """An issue: what is left to do. Only a person at the command line asks for one; no task and no policy can."""

    kind: Literal["issue"] = "issue"
    key: str
    """Identity of this write."""
    marker: str
    """Hidden first line of its text, by which an issue of ours is found again and not opened twice."""
    title: str
    """Title without formatting, 256 characters at most."""
    body: str
    """Sanitised Markdown behind the marker line."""
    labels: tuple[str, ...] = ()
    """Labels to open it with; created where they are missing."""


class Reply(Value):
    """An answer in a conversation on lines of a pull request. It ends no conversation: who opened it may do that.

    Only a person at the command line asks for one; no task and no policy can.
    """

    kind: Literal["reply"] = "reply"
    key: str
    """Identity of this write."""
    number: int
    """The pull request."""
    thread: str
    """The forge's id of the conversation."""
    marker: str
    """Hidden first line, by which an answer of ours is found again and not written twice."""
    body: str
    """Sanitised Markdown behind the marker line."""


class Revert(Value):
    """A commit that takes back one of ours on a branch that is not ours: undo. Nothing is forced."""

    kind: Literal["revert"] = "revert"
    key: str
    """Identity of this write."""
    branch: str
    """The branch, which holds our commit."""
    sha: Sha
    """Our commit."""
    message: str
    """Commit message."""


Output = Annotated[
    Reaction
    | Note
    | LabelChange
    | Commit
    | Pull
    | Check
    | Review
    | ClosePull
    | DeleteBranch
    | Revert
    | NewIssue
    | Reply,
    Field(discriminator="kind"),
]


class Receipt(Value):
    """Proof that an output was published."""

    key: str
    """The output's key."""
    kind: str
    """The output's kind."""
    url: str = ""
    """Where people see it."""
    id: int = 0
    """Comment id, number of an issue or pull request, or check run id."""
    sha: str = ""
    """The commit made."""
    name: str = ""
    """The branch written, or what a label's change really put on, one name a line."""
    remark: str = ""
    """What people should know about how it was written, a sentence of ours in Markdown."""
    done: bool = True
    """False where the world was left as it is, for the reason in `remark`: by what undoes, opens issues or answers."""

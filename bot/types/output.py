"""What may be written to the forge: the closed list of outputs, and the receipt of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bot.types.result import Annotation
from bot.types.sandbox import FileChange
from bot.types.value import CommentKind, Conclusion, Sha, Value


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
    """A check run on a commit."""

    kind: Literal["check"] = "check"
    key: str
    """Identity of this write, also the check run's external id."""
    name: str
    """Shown name."""
    sha: Sha
    """The commit."""
    conclusion: Conclusion
    """How it went."""
    title: str
    """Heading."""
    summary: str
    """Sanitised Markdown, 65,535 characters at most."""
    annotations: tuple[Annotation, ...] = ()
    """Remarks on lines; sent 50 at a time."""


Output = Annotated[Reaction | Note | LabelChange | Commit | Pull | Check, Field(discriminator="kind")]


class Receipt(Value):
    """Proof that an output was published."""

    key: str
    """The output's key."""
    kind: str
    """The output's kind."""
    url: str = ""
    """Where people see it."""
    id: int = 0
    """Comment id, pull request number or check run id."""
    sha: str = ""
    """The commit made."""

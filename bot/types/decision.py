"""What an event deserves: ignore, refuse, answer, or go; each with its reason."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bot.types.output import Output
from bot.types.result import Usage
from bot.types.task import RunSpec
from bot.types.value import Conclusion, Value


class Ignore(Value):
    """Nothing to do, and nobody is told but the log."""

    kind: Literal["ignore"] = "ignore"
    code: str
    """Stable word for the reason, for instance `edited_comment`."""
    reason: str
    """The reason in a sentence."""


class Refuse(Value):
    """Somebody asked and is not served."""

    kind: Literal["refuse"] = "refuse"
    code: str
    """Stable word for the reason, for instance `permission`."""
    reason: str
    """The reason in a sentence, fit to be shown to the person."""
    speak: bool = False
    """Whether a comment may say so (at most one for each person, subject and day)."""
    always: bool = False
    """Whether it is said each time: to who may write here, and would else wonder why nothing happens."""
    spent: bool = False
    """Whether the work was done before it was refused, by the first of two jobs."""
    defect: bool = False
    """Whether the repository's own files are at fault: then the run fails, so that whoever keeps them sees it."""


class Undoing(Value):
    """A run that is being undone; what is said at the end is made from the receipts of the answer's outputs."""

    number: int
    """The subject."""
    state: str
    """The run's state, as its status comment hides it."""
    kept: tuple[str, ...] = ()
    """What can't be taken back, known from the start; sentences of ours in Markdown."""


class Answer(Value):
    """Something that needs no sandbox: help, status, stop, undo, triage, a pull request that waits for approval."""

    kind: Literal["answer"] = "answer"
    code: str
    """What is answered: help, status, stop, retry, undo, approve, approval, triage, unknown_command."""
    reason: str
    """Why, in a sentence."""
    outputs: tuple[Output, ...]
    """What to publish."""
    undoing: Undoing | None = None
    """The run that the outputs take back: then each is tried, and the last words tell what came of it."""
    optional: bool = False
    """Whether it is a favour that a token without the right to write leaves undone."""
    conclusion: Conclusion = "success"
    """How the event ends; `action_required` where it waits for a person."""
    usage: Usage = Usage()
    """What a model cost that was asked for it."""


class Go(Value):
    """A run starts."""

    kind: Literal["run"] = "run"
    code: str = "accepted"
    """Stable word."""
    reason: str
    """Why it may start, in a sentence."""
    spec: RunSpec
    """The run."""


Decision = Annotated[Ignore | Refuse | Answer | Go, Field(discriminator="kind")]

"""An event that passed the payload's screen, with what was looked up about it, and what is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import Field

from bot.errors import Cancelled, SandpiperError
from bot.protocols import LLM, ForgeReader, Knowledge, OpensKnowledge
from bot.settings import Settings
from bot.triage.policy_shape import Apply, Policy, TriagePolicy
from bot.types.event import Event
from bot.types.task import Task
from bot.types.value import Permission, Value

Model = Callable[[str | None], LLM]


@dataclass(frozen=True)
class Case:
    """An event that passed the payload's screen, and what was looked up about it."""

    event: Event
    level: Permission
    """What the actor may do here."""
    policy: Policy
    digest: str
    """Of the policy file."""
    tasks: Mapping[str, Task]
    reader: ForgeReader
    settings: Settings
    model: Model | None
    knowledge: OpensKnowledge | None = None


def known(
    open_it: OpensKnowledge | None, policy: TriagePolicy, tell: Callable[[str], None] | None = None
) -> Knowledge | None:
    """What was learned of the repository, as policy wants it; a past that can't be opened is no reason not to judge."""
    if open_it is None:
        return None
    try:
        return open_it(error=(policy.apply or Apply()).error, types=policy.named_types)
    except Cancelled:
        raise
    except SandpiperError as error:
        if tell is not None:
            tell(f"the offline model is left out: {error.message}")
        return None


class Request(Value):
    """What is asked for, whichever way it was asked."""

    name: str
    """A task, or one of the bot's own words."""
    text: str = ""
    """Free text."""
    options: Mapping[str, str] = Field(default_factory=dict)
    """Overrides."""
    sha: str = ""
    """The only commit that it may work on; empty for the one that is there."""

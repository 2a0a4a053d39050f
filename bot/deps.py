"""What one run needs of the world, in one value, and how it tells its news."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.protocols import (
    LLM,
    AgentRuntime,
    Cancelled,
    Checkouts,
    ForgeReader,
    ForgeWriter,
    Observer,
    OpensKnowledge,
    SandboxProvider,
    Store,
)
from bot.redaction import redact
from bot.settings import Settings
from bot.types.run import Progress, Stage
from bot.types.task import RunSpec


@dataclass(frozen=True)
class Deps:
    """The adapters that one run uses, chosen by bot.wiring."""

    settings: Settings
    reader: ForgeReader
    writer: ForgeWriter
    store: Store
    sandboxes: SandboxProvider
    runtime: Callable[[RunSpec], AgentRuntime]
    model: Callable[[str | None], LLM] | None
    checkouts: Checkouts
    watch: Observer
    cancelled: Cancelled
    knowledge: OpensKnowledge | None = None
    """Opens what was learned from the repository's past, bringing it up to date first; None where that is off."""
    secrets: Sequence[str] = ()
    """Values that must never leave; asked each time, because tokens are made while a run goes on."""
    give_back: Callable[[], None] = lambda: None
    """Gives back what was lent to this run, such as tokens."""
    artifacts_url: str = ""
    """Page where people find the run's files, empty where there is none."""

    def close(self) -> None:
        """What was made ahead and not taken goes with us, and tokens are given back; a second call does nothing."""
        try:
            self.sandboxes.close()
        finally:
            self.give_back()


def tell(deps: Deps, stage: Stage, text: str) -> None:
    """Say what happens to whoever watches, without a secret in it."""
    deps.watch.notify(Progress(stage=stage, text=redact(text, deps.secrets)))

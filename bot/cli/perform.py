"""An event and settings -> what the pipeline made of it, watched on stderr and stoppable by a signal."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from bot.cli.output import plain, print_json
from bot.deps import Deps
from bot.errors import ConfigurationError
from bot.forge.client.credentials import has_credentials
from bot.forge.render.story import step_summary
from bot.pipeline import exit_code, handle
from bot.protocols import ForgeWriter
from bot.redaction import Secrets, secrets_of
from bot.settings import Settings
from bot.stop import stoppable
from bot.telemetry.display import observer_for, watched_by
from bot.telemetry.view import show_run
from bot.types.event import Event, Other
from bot.types.output import Output, Receipt
from bot.types.run import Run
from bot.wiring import wire


class Recording:
    """A ForgeWriter in front of another one that remembers what passed, in order."""

    def __init__(self, writer: ForgeWriter) -> None:
        self._writer = writer
        self.outputs: list[Output] = []

    def apply(self, output: Output, *, blobs: Path, doubt: bool = False) -> Receipt:
        """Publish, and remember it once it is published."""
        receipt = self._writer.apply(output, blobs=blobs, doubt=doubt)
        self.outputs.append(output)
        return receipt


@dataclass(frozen=True)
class Performed:
    """What one event came to."""

    run: Run
    outputs: tuple[Output, ...]
    """Published, or in a dry run what would have been."""
    folder: Path
    """The run's artifacts."""


def perform(
    event: Event,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    checkout: Path | None = None,
    local: Path | None = None,
) -> Performed:
    """The whole story for one event. Raises ConfigurationError where a token or another setting is missing."""
    with opened(event, settings, environ, checkout=checkout, local=local) as deps:
        writer = Recording(deps.writer)
        run = handle(event, replace(deps, writer=writer))
        return Performed(run, tuple(writer.outputs), deps.store.folder(run.run_id))


@contextmanager
def opened(
    event: Event,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    checkout: Path | None = None,
    local: Path | None = None,
) -> Iterator[Deps]:
    """The adapters for an event's repository, with a display on stderr and a signal handler while they are in use."""
    if local is None and not isinstance(event.trigger, Other):
        require_token(settings, environ, event.repository.full_name)
    with ExitStack() as stack:
        display = observer_for(Console(stderr=True, highlight=False), environ)
        stack.enter_context(display)
        secrets = Secrets(secrets_of(environ, settings))
        deps = wire(
            private_state(settings),
            event.repository,
            watch=watched_by(display, secrets=secrets),
            environ=environ,
            checkout=checkout,
            local=local,
            cancelled=stack.enter_context(stoppable(signal.SIGTERM)),
            actor=event.actor.login,
            installation=event.installation,
            secrets=secrets,
        )
        yield stack.enter_context(closing(deps))


def require_token(settings: Settings, environ: Mapping[str, str], full_name: str) -> None:
    """Say at once that a token is missing, instead of with GitHub's answer to a stranger."""
    if not has_credentials(settings, environ, full_name):
        owner = full_name.partition("/")[0]
        hint = "set SANDPIPER_TOKEN (or GITHUB_TOKEN) to a token for that repository"
        if settings.tokens:
            hint += f", or name its variable in SANDPIPER_TOKENS: {owner}=VARIABLE"
        raise ConfigurationError("token_missing", f"{full_name} needs a GitHub token", hint=hint)


def private_state(settings: Settings) -> Settings:
    """In a dry run a state folder of its own, so that the event's real run is still to come and can be tried again."""
    if not settings.dry_run:
        return settings
    return settings.changed(state=settings.state / "dry-runs" / uuid.uuid4().hex[:12])


def present(performed: Performed, *, as_json: bool) -> int:
    """Print what came out, and return the process's exit code."""
    if as_json:
        print_json(as_object(performed))
    else:
        console = Console(highlight=False)
        summary = step_summary(performed.run) if performed.run.result else ""
        show_run(console, performed.run, performed.outputs, folder=performed.folder, comment=summary)
    return exit_code(performed.run)


def as_object(performed: Performed) -> dict[str, object]:
    """The object that `--json` prints: the decision with its reason, what was published, the whole run."""
    run = performed.run
    return {
        "run_id": run.run_id,
        "status": run.status,
        "conclusion": run.conclusion,
        "exit_code": exit_code(run),
        "decision": plain(run.decision),
        "outputs": plain(performed.outputs),
        "artifacts_dir": str(performed.folder),
        "run": plain(run),
    }

"""Settings -> Deps: the only module that knows which adapter stands behind which seam."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bot.deps import Deps
from bot.forge.checkout import GitCheckouts
from bot.forge.dry import DryRunWriter
from bot.forge.forge import open_forge
from bot.forge.local_writer import open_local
from bot.llm.chat import open_model
from bot.llm.library import warm
from bot.llm.models import choose_model
from bot.plugins import load_adapter
from bot.protocols import LLM, AgentRuntime, Cancelled, ForgeReader, ForgeWriter, Observer
from bot.redaction import secrets_of
from bot.sandboxes import open_sandboxes, watchers
from bot.settings import Settings
from bot.store.folder import FolderStore
from bot.types.event import Repository
from bot.types.task import RunSpec


def wire(
    settings: Settings,
    repository: Repository,
    *,
    watch: Observer,
    environ: Mapping[str, str],
    checkout: Path | None = None,
    local: Path | None = None,
    cancelled: Cancelled = lambda: False,
    actor: str = "",
) -> Deps:
    """The adapters for one repository. `checkout` is one that is there already, `local` a local forge's folder.

    `actor` is who asked, for the audit log.
    Raises ConfigurationError where a setting is missing, PluginError where a name has no adapter.
    """
    secrets = secrets_of(environ, settings)
    watch = watchers(settings, watch, secrets)
    reader, writer = _forge(settings, repository, local)
    model = partial(_model, settings, dict(environ))
    return Deps(
        settings=settings,
        reader=reader,
        writer=DryRunWriter() if settings.dry_run else writer,
        store=FolderStore(settings.state),
        sandboxes=open_sandboxes(settings, watch, actor=actor),
        runtime=partial(_runtime, model),
        model=model if choose_model(settings, environ) else None,
        checkouts=GitCheckouts(settings, local / "repository.git" if local else checkout),
        watch=watch,
        cancelled=cancelled,
        secrets=secrets,
    )


def _forge(settings: Settings, repository: Repository, local: Path | None) -> tuple[ForgeReader, ForgeWriter]:
    if local is not None:
        return open_local(local)
    return open_forge(settings, repository.full_name)


def _model(settings: Settings, environ: Mapping[str, str], name: str | None) -> LLM:
    """A model, whose library takes seconds to import: that goes on while the checkout is prepared."""
    warm()
    return open_model(settings, name, environ)


def _runtime(model: Callable[[str | None], LLM], spec: RunSpec) -> AgentRuntime:
    """The runtime that a task names; a model is opened only for one that asks for it."""
    adapter = load_adapter("runtimes", spec.task.runtime)
    runtime: AgentRuntime = adapter(model(spec.task.model)) if getattr(adapter, "needs_model", False) else adapter()
    return runtime

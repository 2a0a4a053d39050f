"""Settings -> Deps: the only module that knows which adapter stands behind which seam."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bot.deps import Deps
from bot.forge.checkout.checkout import GitCheckouts
from bot.forge.client.credentials import open_credentials
from bot.forge.client.pace import Paces
from bot.forge.dry import DryRunWriter
from bot.forge.forge import open_forge
from bot.forge.local.writer import open_local
from bot.llm.budget import Budget
from bot.llm.chat import open_model
from bot.llm.library import warm
from bot.llm.models import choose_model
from bot.plugins import load_adapter
from bot.protocols import LLM, AgentRuntime, Cancelled, ForgeReader, Knowledge, Observer, OpensKnowledge
from bot.redaction import Secrets, secrets_of
from bot.sandboxes import open_sandboxes, watchers
from bot.settings import Settings
from bot.store.folder import FolderStore
from bot.types.event import Repository
from bot.types.run import SPENT
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
    installation: int | None = None,
    secrets: Secrets | None = None,
    paces: Paces | None = None,
) -> Deps:
    """The adapters for one repository. `checkout` is one that is there already, `local` a local forge's folder.

    `actor` is who asked, for the audit log; `installation` the App's that the event names; `secrets` what the door
    hides already, to which tokens are added that are made for the run; `paces` the limits that its runs share.
    Raises ConfigurationError where a setting is missing, PluginError where a name has no adapter.
    """
    hidden = Secrets(secrets_of(environ, settings)) if secrets is None else secrets
    watch = watchers(settings, watch, hidden)
    name = repository.full_name
    lent = None if local else open_credentials(settings, environ, name, installation=installation, hide=hidden.add)
    reader, writer = open_local(local) if local else open_forge(settings, name, credentials=lent, paces=paces)
    source = local / "repository.git" if local else checkout
    model = partial(_model, settings, dict(environ))
    store = FolderStore(settings.state)
    offline = {"checkout": checkout, "watch": watch, "cancelled": cancelled}
    return Deps(
        settings=settings,
        reader=reader,
        writer=DryRunWriter() if settings.dry_run else writer,
        store=store,
        sandboxes=open_sandboxes(settings, watch, actor=actor),
        runtime=partial(_runtime, model, store),
        model=model if choose_model(settings, environ) else None,
        checkouts=GitCheckouts(settings, source, tokens=lent.read if lent else None),
        watch=watch,
        cancelled=cancelled,
        knowledge=_once(partial(_learn, settings, repository, reader, **offline)) if settings.offline else None,
        secrets=hidden,
        give_back=lent.close if lent else lambda: None,
    )


def _learn(settings: Settings, repository: Repository, reader: ForgeReader, **wanted: Any) -> Knowledge:
    """What was learned from the repository's past. Its arithmetic takes long to import, and most runs need none."""
    opened: Knowledge = importlib.import_module("bot.learning").open_knowledge(settings, repository, reader, **wanted)
    return opened


def _once(open_it: OpensKnowledge) -> OpensKnowledge:
    """The same, opened once for each way in which it is wanted."""
    known: list[tuple[dict[str, Any], Knowledge]] = []

    def opened(**wanted: Any) -> Knowledge:
        for before, found in known:
            if before == wanted:
                return found
        known.append((wanted, open_it(**wanted)))
        return known[-1][1]

    return opened


def _model(settings: Settings, environ: Mapping[str, str], name: str | None) -> LLM:
    """A model, whose library takes seconds to import: that goes on while the checkout is prepared."""
    warm()
    return open_model(settings, name, environ)


def _runtime(model: Callable[[str | None], LLM], store: FolderStore, spec: RunSpec) -> AgentRuntime:
    """The runtime that a task names; a model is opened only for one that asks for it, with the run's own budget."""
    adapter = load_adapter("runtimes", spec.task.runtime)
    models: tuple[LLM, ...] = ()
    if getattr(adapter, "needs_model", False):
        journal = store.folder(spec.run_id) / SPENT
        models = (Budget(model(spec.task.model), spec.task.limits.usd, journal),)
    runtime: AgentRuntime = adapter(*models)
    return runtime

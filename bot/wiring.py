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
from bot.sandbox.watched import Watched
from bot.settings import Settings
from bot.store.folder import FolderStore
from bot.telemetry.alarm import Alarm
from bot.telemetry.audit import AuditLog, audit_path
from bot.telemetry.display import watched_by
from bot.telemetry.log import LoggedNews
from bot.telemetry.metrics import Metrics, MetricsFile
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
    watch = _watchers(settings, watch, secrets)
    provider = load_adapter("sandboxes", settings.sandbox)(work=settings.state / "sandboxes")
    reader, writer = _forge(settings, repository, local)
    model = partial(_model, settings, dict(environ))
    return Deps(
        settings=settings,
        reader=reader,
        writer=DryRunWriter() if settings.dry_run else writer,
        store=FolderStore(settings.state),
        sandboxes=Watched(provider, watch, actor=actor),
        runtime=partial(_runtime, model),
        model=model if choose_model(settings, environ) else None,
        checkouts=GitCheckouts(settings, local / "repository.git" if local else checkout),
        watch=watch,
        cancelled=cancelled,
        secrets=secrets,
    )


def _watchers(settings: Settings, people: Observer, secrets: tuple[str, ...]) -> Observer:
    """Everybody who watches: the audit log always, a metrics file where one is asked for. None disturbs another."""
    audit = AuditLog(audit_path(settings), secrets=secrets)
    if settings.audit_log is not None:
        audit.open()  # who asked for it learns before anything happens that it can't be had
    files = () if settings.metrics_file is None else (MetricsFile(Metrics(), settings.metrics_file),)
    told = watched_by(people, audit, LoggedNews(), *files)
    return watched_by(told, Alarm(told))


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

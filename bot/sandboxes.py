"""Settings and the name of a provider -> a SandboxProvider whose every step is told to those who watch.

The part of the wiring that needs no forge and no model: what `sandpiper sandbox` uses, and bot.wiring as well.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bot.errors import ConfigurationError
from bot.plugins import load_adapter
from bot.protocols import Observer, SandboxProvider
from bot.sandbox.news import egress_news
from bot.sandbox.watched import Watched
from bot.settings import Settings
from bot.telemetry.alarm import Alarm
from bot.telemetry.audit import AuditLog, audit_path
from bot.telemetry.display import watched_by
from bot.telemetry.log import LoggedNews
from bot.telemetry.metrics import Metrics, MetricsFile
from bot.types.network import EgressRecord

CLOSED = ("auto", "docker", "bubblewrap")
"""Those that shut code in. `local` does not, and is never chosen by itself."""

OnEgress = Callable[[EgressRecord], None]


def watchers(settings: Settings, people: Observer, secrets: Sequence[str]) -> Observer:
    """Everybody who watches: the audit log always, a metrics file where one is asked for. None disturbs another."""
    audit = AuditLog(audit_path(settings), secrets=secrets)
    if settings.audit_log is not None:
        audit.open()  # who asked for it learns before anything happens that it can't be had
    files = () if settings.metrics_file is None else (MetricsFile(Metrics(), settings.metrics_file),)
    told = watched_by(people, audit, LoggedNews(), *files)
    return watched_by(told, Alarm(told))


def open_sandboxes(
    settings: Settings,
    watch: Observer,
    *,
    name: str = "",
    unisolated: bool = False,
    actor: str = "",
    on_egress: OnEgress | None = None,
) -> SandboxProvider:
    """The provider by its name, the settings' one if empty. `watch` comes from `watchers`; `actor` is who asked.

    `unisolated`: a trusted user said that `local` may be used. `on_egress` sees what restricted sandboxes asked for.
    Raises PluginError for an unknown name, ConfigurationError for `local` without that word. Nothing is asked of any
    engine before a sandbox is.
    """
    told = _egress(watch, on_egress)
    chosen = name or settings.sandbox
    return Watched(_opened(settings, chosen, told, unisolated), watch, actor=actor)


def work_of(settings: Settings) -> Path:
    """Where all providers keep the folders of their sandboxes."""
    return settings.state.absolute() / "sandboxes"


def _egress(watch: Observer, also: OnEgress | None) -> Callable[[str, str, EgressRecord], None]:
    def tell(sandbox_id: str, run_id: str, record: EgressRecord) -> None:
        watch.notify(egress_news(record, sandbox_id=sandbox_id, run_id=run_id))
        if also is not None:
            also(record)

    return tell


def _opened(
    settings: Settings, name: str, told: Callable[[str, str, EgressRecord], None], unisolated: bool
) -> SandboxProvider:
    if name == "local" and not unisolated:
        hint = "take `auto`; only a flag on a trusted user's own command line allows `local`"
        raise ConfigurationError("local_not_allowed", "`local` runs code without any isolation", hint=hint)
    options: dict[str, Any] = {"work": work_of(settings)}
    if name in CLOSED:
        options["on_egress"] = told
    if name in ("auto", "docker"):
        options["images"] = _image_rules(settings)
    if name == "local":
        options["allowed"] = unisolated
    provider: SandboxProvider = load_adapter("sandboxes", name)(**options)
    return provider


def _image_rules(settings: Settings) -> Any:
    """The operator's word on images. By name, because the engine's library is needed for nothing else."""
    images, pull = (importlib.import_module(f"bot.sandbox.docker.{each}") for each in ("images", "pull"))
    return images.ImageRules(pulling=pull.Pulling(policy=settings.pull), allowed=settings.images)

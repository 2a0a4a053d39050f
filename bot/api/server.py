"""Settings -> a server for webhooks that runs until a signal ends it.

A signal: nothing more is taken, what is under way has some seconds to end, then the process goes. What was not done by
then lies in the inbox, and the next start goes on with it after the last stage that was finished.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import uvicorn

from bot.api.door import Door, make_app
from bot.api.signature import secrets_for
from bot.api.work import Crew
from bot.deps import Deps
from bot.errors import ConfigurationError
from bot.forge.client.pace import Paces
from bot.pipeline import handle
from bot.publishing import finalise
from bot.settings import Settings
from bot.store.inbox import Inbox
from bot.types.event import Event
from bot.types.result import Failure
from bot.types.run import Progress, Run, run_id_of
from bot.wiring import wire

SIGNALS = (signal.SIGTERM, signal.SIGINT)
CONNECTIONS = 200

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """Where the server listens and how it ends."""

    host: str = "127.0.0.1"
    port: int = 8000
    path: str = "/webhook"
    grace: float = 8.0
    """Seconds that runs have to end after a signal."""


def serve(settings: Settings, environ: Mapping[str, str], address: Address) -> None:
    """Run the server. Raises ConfigurationError before anything listens where a setting is missing or a placeholder."""
    secrets = secrets_for(settings)
    _require_account(settings)
    with contextlib.closing(Inbox(settings.state, limit=settings.inbox_limit)) as inbox, _bound(address) as listening:
        known = settings, environ, Paces()
        crew = Crew(inbox, settings, partial(perform, *known), partial(abandon, *known))
        door = Door(inbox, secrets, crew.schedule.add, partial(_health, crew))
        server = uvicorn.Server(_config(door, address.path))
        with _until_signalled(server):
            crew.start()
            host, port = listening.getsockname()[:2]
            log.info("listening", extra={"address": f"http://{host}:{port}{address.path}", "workers": settings.workers})
            server.run(sockets=[listening])
        if not crew.stop(address.grace):
            log.warning("runs under way are left to the next start")
            # A run's own threads would be waited for: whoever sends a signal does not wait for an hour's work.
            os._exit(0)
    log.info("stopped")


def perform(settings: Settings, environ: Mapping[str, str], paces: Paces, event: Event) -> Run:
    """The whole story of one event, as every other door tells it; GitHub's limits are shared by all runs."""
    with contextlib.closing(_wired(settings, environ, paces, event)) as deps:
        return handle(event, deps)


def abandon(settings: Settings, environ: Mapping[str, str], paces: Paces, event: Event, reason: str) -> None:
    """End an event's run that was begun and never ended, so that its comment and its check say so."""
    with contextlib.closing(_wired(settings, environ, paces, event)) as deps:
        run = deps.store.load(run_id_of(event))
        if run is not None:
            hint = "its log on the server says why; ask once more"
            finalise(run, deps, Failure(code="given_up", message=reason, hint=hint, blame="provider"))


def _wired(settings: Settings, environ: Mapping[str, str], paces: Paces, event: Event) -> Deps:
    return wire(
        settings,
        event.repository,
        watch=_News(event),
        environ=environ,
        actor=event.actor.login,
        installation=event.installation,
        paces=paces,
    )


class _News:
    """An Observer that writes a run's news into the log."""

    def __init__(self, event: Event) -> None:
        self._facts = {"repository": event.repository.full_name, "event": event.id[:200]}

    def notify(self, progress: Progress) -> None:
        """Log what is for people; the audit log has the rest."""
        if progress.stage != "audit":
            log.info("%s", progress.text, extra={**self._facts, "stage": progress.stage})


def _require_account(settings: Settings) -> None:
    if settings.token is None and not settings.tokens and settings.app_id is None:
        hint = "create an App with `sandpiper app create`, and give its SANDPIPER_APP_ID and SANDPIPER_APP_KEY_FILE"
        raise ConfigurationError("token_missing", "there is no account on GitHub to act as", hint=hint)


def _health(crew: Crew) -> tuple[bool, dict[str, int]]:
    waiting, running = crew.schedule.counts()
    return crew.healthy(), {"waiting": waiting, "running": running}


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=256)
    except OSError as error:
        message = f"can't listen on {address.host} port {address.port}: {error.strerror or error}"
        hint = "choose another --port, or stop what listens there"
        raise ConfigurationError("address_unusable", message, hint=hint) from None


def _config(door: Door, path: str) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(door, path),
        log_config=None,
        access_log=False,
        http="h11",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
    )


@contextlib.contextmanager
def _until_signalled(server: uvicorn.Server) -> Iterator[None]:
    """The library hands signals on when it is done with them: here they must not end the process yet."""

    def receive(number: int, frame: object) -> None:
        server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, receive) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

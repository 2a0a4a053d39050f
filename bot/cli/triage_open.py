"""OWNER/NAME -> what a triage command works with: its adapters and the repository, closed again at the end."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from rich.console import Console

from bot.cli.perform import require_token
from bot.deps import Deps
from bot.errors import ConfigurationError
from bot.forge.client.credentials import open_credentials
from bot.forge.client.pace import Paces
from bot.forge.forge import checked_name, lookup_repository
from bot.redaction import Secrets, secrets_of
from bot.settings import Settings, load_settings
from bot.stop import stoppable
from bot.telemetry.display import observer_for, watched_by
from bot.types.event import Repository
from bot.wiring import wire

WHERE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._-]+)#(?P<number>[1-9][0-9]{0,9})")


def place_of(text: str) -> tuple[str, int]:
    """`OWNER/NAME#N` -> both parts. Raises ConfigurationError `no_such_place`."""
    found = WHERE.fullmatch(text)
    if found is None:
        raise ConfigurationError("no_such_place", f"{text[:200]!r} is not OWNER/NAME#NUMBER", hint="such as acme/app#7")
    return found["name"], int(found["number"])


@contextmanager
def at_repository(
    name: str, *, paces: Paces | None = None, **overrides: object
) -> Iterator[tuple[Deps, Repository, Settings]]:
    """The adapters for one repository on GitHub. Raises ConfigurationError without a token, NotFound, ForgeError.

    `paces` keeps to the forge's rate limits, for who wants to see its waits.
    """
    settings = load_settings(os.environ, **overrides)
    require_token(settings, os.environ, name)
    with ExitStack() as stack:
        secrets = Secrets(secrets_of(os.environ, settings))
        with closing(open_credentials(settings, os.environ, checked_name(name))) as lent:
            repository = lookup_repository(settings, name, credentials=lent)
        display = observer_for(Console(stderr=True, highlight=False), os.environ)
        stack.enter_context(display)
        deps = wire(
            settings,
            repository,
            watch=watched_by(display, secrets=secrets),
            environ=os.environ,
            cancelled=stack.enter_context(stoppable(signal.SIGTERM)),
            secrets=secrets,
            paces=paces,
        )
        yield stack.enter_context(closing(deps)), repository, settings

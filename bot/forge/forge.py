"""Settings, credentials and a repository's name -> its reader and its writer on GitHub.

The reader's hands hold no more than the reading phase's token; limits are shared, because GitHub counts them together.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial

from bot.errors import ConfigurationError
from bot.forge.auth import viewer_of
from bot.forge.client import Client, Reads
from bot.forge.credentials import Credentials, fixed
from bot.forge.pace import Pace
from bot.forge.reader import GitHubReader, lookup
from bot.forge.transport import Transport
from bot.forge.writer import GitHubWriter
from bot.settings import Settings
from bot.types.event import Repository

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/(?!\.{1,2}$)[A-Za-z0-9._-]+")


def open_forge(
    settings: Settings,
    full_name: str,
    *,
    credentials: Credentials | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> tuple[GitHubReader, GitHubWriter]:
    """Reader and writer of `owner/name`; nothing is asked yet. Without credentials `token` is used.

    Raises ConfigurationError for an impossible name.
    """
    name = checked_name(full_name)
    given = credentials or fixed(settings.token)
    pace = Pace(sleep=sleep)
    reading = Transport(settings, given.read)
    writing = reading if given.write is given.read else Transport(settings, given.write)
    reads = Reads(reading, sleep=sleep, clock=clock, pace=pace)
    reader = GitHubReader(reads, name, partial(viewer_of, reads, given.slug))
    return reader, GitHubWriter(Client(writing, sleep=sleep, clock=clock, pace=pace), name, reader.viewer)


def lookup_repository(settings: Settings, full_name: str, *, credentials: Credentials | None = None) -> Repository:
    """What GitHub says about `owner/name`, under its present name. Raises NotFound, ForgeError."""
    name = checked_name(full_name)
    transport = Transport(settings, (credentials or fixed(settings.token)).read)
    try:
        return lookup(Reads(transport), name)
    finally:
        transport.close()


def checked_name(full_name: str) -> str:
    """The name, if a repository can have it. Raises ConfigurationError `invalid_repository`."""
    if not NAME.fullmatch(full_name):
        raise ConfigurationError(
            "invalid_repository", f"not the name of a repository: {full_name!r}", hint="write it as OWNER/NAME"
        )
    return full_name

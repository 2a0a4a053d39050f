"""Settings, credentials and a repository's name -> its reader and its writer on GitHub.

The reader's hands hold no more than the reading phase's token; limits are shared, because GitHub counts them together.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from functools import partial

from bot.errors import ConfigurationError
from bot.forge.client.auth import viewer_of
from bot.forge.client.client import Client, Reads
from bot.forge.client.credentials import Credentials, fixed
from bot.forge.client.failures import Answer
from bot.forge.client.pace import Paces
from bot.forge.client.tokens import Tokens
from bot.forge.client.transport import Request, Transport
from bot.forge.reading.reader import GitHubReader, lookup
from bot.forge.writing.writer import GitHubWriter
from bot.settings import Settings
from bot.types.event import Repository

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*/(?!\.{1,2}$)[A-Za-z0-9._-]+")


class Writing(Transport):
    """Writes with the writing phase's token; what is looked up for a write goes by the reading one's."""

    def __init__(self, settings: Settings, tokens: Tokens, reading: Transport) -> None:
        super().__init__(settings, tokens)
        self._reading = reading

    def send(self, request: Request) -> Answer:
        """So a write that turns out to be done already takes no token that can write."""
        return self._reading.send(request) if request.is_read else super().send(request)


def open_forge(
    settings: Settings,
    full_name: str,
    *,
    credentials: Credentials | None = None,
    paces: Paces | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> tuple[GitHubReader, GitHubWriter]:
    """Reader and writer of `owner/name`; nothing is asked yet. Without credentials `token` is used.

    `paces` has the budgets of a process that opens more than one, so that those of one credential share its limits.
    Raises ConfigurationError for an impossible name.
    """
    name = checked_name(full_name)
    given = credentials or fixed(settings.token)
    pace = (paces or Paces(sleep=sleep)).of(whose(given, name))
    reading = Transport(settings, given.read)
    writing = reading if given.write is given.read else Writing(settings, given.write, reading)
    reads = Reads(reading, sleep=sleep, clock=clock, pace=pace)
    reader = GitHubReader(reads, name, partial(viewer_of, reads, given.slug))
    return reader, GitHubWriter(Client(writing, sleep=sleep, clock=clock, pace=pace), name, reader.viewer)


def whose(credentials: Credentials, full_name: str) -> str:
    """Whose limits count: an installation's, which is one for its account; else the token's, wherever it is used."""
    if credentials.slug is not None:
        return f"installation {full_name.partition('/')[0].lower()}"
    return f"token {hashlib.sha256(credentials.read.token().encode(errors='replace')).hexdigest()}"


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

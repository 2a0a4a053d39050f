"""Settings and a repository's name -> its reader and its writer on GitHub, over one connection."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from bot.errors import ConfigurationError
from bot.forge.client import Client, Reads
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
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> tuple[GitHubReader, GitHubWriter]:
    """Reader and writer of `owner/name`; nothing is asked yet. Raises ConfigurationError for an impossible name."""
    name = _checked(full_name)
    transport = Transport(settings)
    reader = GitHubReader(Reads(transport, sleep=sleep, clock=clock), name)
    return reader, GitHubWriter(Client(transport, sleep=sleep, clock=clock), name, reader.viewer)


def lookup_repository(settings: Settings, full_name: str) -> Repository:
    """What GitHub says about `owner/name`, under its present name. Raises NotFound, ForgeError."""
    name = _checked(full_name)
    transport = Transport(settings)
    try:
        return lookup(Reads(transport), name)
    finally:
        transport.close()


def _checked(full_name: str) -> str:
    if not NAME.fullmatch(full_name):
        raise ConfigurationError(
            "invalid_repository", f"not the name of a repository: {full_name!r}", hint="write it as OWNER/NAME"
        )
    return full_name

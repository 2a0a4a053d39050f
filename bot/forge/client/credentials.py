"""Settings and a repository's name -> tokens to read and to write it with: an App's, its organisation's, or the one.

What reads gets tokens that can't write, wherever GitHub lets us choose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from pydantic import SecretStr

from bot.errors import ConfigurationError
from bot.forge.client.apps import (
    READ,
    WRITE,
    AppSignature,
    Installation,
    InstallationTokens,
    Minted,
    not_installed,
    read_key,
)
from bot.forge.client.client import Client
from bot.forge.client.tokens import FixedToken, Tokens
from bot.forge.client.transport import Transport
from bot.settings import PREFIX, Settings


@dataclass(frozen=True)
class Credentials:
    """Tokens for one repository."""

    read: Tokens
    write: Tokens
    slug: Callable[[], str] | None = None
    """The App's name, where an App acts."""
    _ends: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """Give tokens back that were made for us; a second call does nothing."""
        self._ends.close()


def open_credentials(
    settings: Settings,
    environ: Mapping[str, str],
    full_name: str,
    *,
    installation: int | None = None,
    hide: Callable[[str], None] = lambda value: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> Credentials:
    """Tokens for `owner/name`; nothing is asked yet. `hide` is told every secret before it is used.

    `installation` is the event's. Raises ConfigurationError `token_missing`, `app_incomplete`, `app_key_*`.
    """
    owner = full_name.partition("/")[0]
    if (named := token_of_owner(settings, environ, owner)) is not None:
        hide(named.get_secret_value())
        return fixed(named)
    if not has_app(settings):
        return fixed(settings.token)
    return _of_app(settings, full_name, installation, hide, sleep, clock)


def has_credentials(settings: Settings, environ: Mapping[str, str], full_name: str) -> bool:
    """Whether there is anything to sign with. Raises ConfigurationError `token_missing`, `app_incomplete`."""
    named = token_of_owner(settings, environ, full_name.partition("/")[0])
    return named is not None or has_app(settings) or settings.token is not None


def token_of_owner(settings: Settings, environ: Mapping[str, str], owner: str) -> SecretStr | None:
    """The token that is set for an organisation: by its exact name, else whatever the case of its letters.

    Raises ConfigurationError `token_missing` where its variable is empty.
    """
    folded = {name.lower(): variable for name, variable in reversed(tuple(settings.tokens.items()))}
    variable = settings.tokens.get(owner) or folded.get(owner.lower())
    if variable is None:
        return None
    value = environ.get(variable, "").strip()
    if not value:
        message = f"the token of {owner} is to be in the variable {variable}, which is empty or not set"
        raise ConfigurationError("token_missing", message, hint=f"set {variable}, or take {owner} out of `tokens`")
    return SecretStr(value)


def has_app(settings: Settings) -> bool:
    """Whether an App acts. Raises ConfigurationError `app_incomplete` where only half of it is set."""
    has_key = settings.app_key is not None or settings.app_key_file is not None
    if has_key == (settings.app_id is not None):
        return has_key
    missing = PREFIX + ("APP_ID" if has_key else "APP_KEY")
    message = f"a GitHub App needs its number and its private key, and {missing} is not set"
    raise ConfigurationError("app_incomplete", message, hint=f"set {missing}, or neither of them")


def fixed(token: SecretStr | None) -> Credentials:
    """The same for reading and writing: what such a token may do was decided where it was made."""
    tokens = FixedToken(token)
    return Credentials(tokens, tokens)


def _of_app(
    settings: Settings,
    full_name: str,
    number: int | None,
    hide: Callable[[str], None],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Credentials:
    key = read_key(settings)
    hide(key)
    ends = ExitStack()
    transport = Transport(settings, AppSignature(settings.app_id or "", key, clock=clock))
    ends.callback(transport.close)
    app = Client(transport, sleep=sleep, clock=clock)
    place = Installation(app, full_name, settings.installation or number, sure=settings.installation is not None)

    revoke = partial(_give_back, settings, sleep)

    def mint(permissions: Mapping[str, str]) -> Minted:
        made = place.mint(permissions)
        hide(made.value)
        if made.reaches != {full_name.lower()}:  # an installation on another account, where the same name is known
            revoke(made.value)
            raise not_installed(full_name)
        return made

    read, write = (InstallationTokens(partial(mint, each), revoke, clock=clock) for each in (READ, WRITE))
    for each in (read, write):
        ends.callback(each.close)
    return Credentials(read, write, place.slug, ends)


def _give_back(settings: Settings, sleep: Callable[[float], None], token: str) -> None:
    """`DELETE /installation/token` with that very token. Twice is no more than once: then GitHub knows it no longer."""
    transport = Transport(settings, FixedToken(SecretStr(token)))
    try:
        Client(transport, sleep=sleep).repeat("DELETE", "/installation/token")
    finally:
        transport.close()

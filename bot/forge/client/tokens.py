"""What a request is signed with: a seam, because an App's tokens live an hour and a person's for years."""

from __future__ import annotations

from typing import Protocol

from pydantic import SecretStr


class Tokens(Protocol):
    """Where the token of the moment comes from."""

    def token(self) -> str:
        """What to send now, empty for none. Raises ForgeError where a new one is needed and can't be had."""

    def renew(self, refused: str) -> bool:
        """After a 401 for `refused`: True when another token is there to be tried."""


class FixedToken:
    """A job's token or a person's: the same for ever."""

    def __init__(self, secret: SecretStr | None) -> None:
        self._secret = secret

    def token(self) -> str:
        """The one that was given."""
        return self._secret.get_secret_value() if self._secret else ""

    def renew(self, refused: str) -> bool:
        """There is no other."""
        return False

"""A GitHub App's private key -> tokens for one repository: made for a phase, renewed in time, given back at the end.

Sources: GitHub's pages "Generating a JSON Web Token (JWT) for a GitHub App" and "REST API endpoints for GitHub Apps".
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from bot.errors import ConfigurationError, ForgeError, NotFound
from bot.forge.client.client import Client, shaped
from bot.settings import Settings

log = logging.getLogger(__name__)

READ: Mapping[str, str] = {
    "metadata": "read",
    "contents": "read",
    "issues": "read",
    "pull_requests": "read",
    "checks": "read",
}
"""What a token of the reading phase may do; checkouts use it, too."""
WRITE: Mapping[str, str] = {**dict.fromkeys(READ, "write"), "metadata": "read"}
"""What a token of the writing phase may do. `workflows` is never among it, so GitHub refuses changed workflows."""
LEVELS = ("read", "write", "admin")
BACK, LIFE = 60, 540
"""A JWT is dated 60 s back, because clocks differ, and ends 600 s after that: GitHub's longest."""
AHEAD = 300.0
"""Seconds before its end at which a token is replaced."""
FRESH = 30.0
"""Seconds in which a token that was made after a 401 and is refused as well is not replaced again."""
KEY_BYTES = 65_536


class Minted(NamedTuple):
    """A token as GitHub made it."""

    value: str
    ends: float
    """Unix time."""
    reaches: frozenset[str] = frozenset()
    """Lower-case names of repositories."""


class AppSignature:
    """Tokens by which an App speaks for itself: JWTs that it signs. Thread-safe."""

    def __init__(self, app_id: str, key: str, *, clock: Callable[[], float] = time.time) -> None:
        self._app_id, self._key, self._clock = app_id, key, clock
        self._signed = Minted("", 0.0)
        self._signing = threading.Lock()

    def token(self) -> str:
        """A JWT that is good for a minute at least. Raises ConfigurationError `invalid_app_key`."""
        with self._signing:
            now = self._clock()
            if self._signed.ends - now < 60:
                self._signed = Minted(_signed(self._app_id, self._key, int(now)), now + LIFE)
            return self._signed.value

    def renew(self, refused: str) -> bool:
        """What was signed a moment ago is refused for its key or its clock: another would be, too."""
        return False


class Installation:
    """An App's installation on one repository, asked by the App itself; found once."""

    def __init__(self, app: Client, full_name: str, number: int | None = None, *, sure: bool = False) -> None:
        self._app, self._name, self._number, self._sure = app, full_name, number, sure
        self._finding = threading.Lock()

    def slug(self) -> str:
        """The App's name in addresses; its account is `<slug>[bot]`."""
        try:
            return shaped(slug_of, self._app.get("/app"))
        except ForgeError as error:
            raise (refused(error) if error.code == "unauthorized" else error) from None

    def mint(self, permissions: Mapping[str, str]) -> Minted:
        """A token with these permissions, for this repository only.

        Raises ForgeError: `installation_missing`, `installation_suspended`, `permission_missing`, `app_refused`.
        """
        try:
            try:
                return self._made(permissions)
            except NotFound:
                # The number came with an event, and another App's events look the same.
                if self._sure or self._number is None:
                    raise
                self._number = None
                return self._made(permissions)
        except ForgeError as error:
            raise self._explained(error, permissions) from None

    def _made(self, permissions: Mapping[str, str]) -> Minted:
        body = {"repositories": [self._name.partition("/")[2]], "permissions": dict(permissions)}
        # A lost answer leaves a token that nobody knows and that ends in an hour: a second one does no harm.
        return shaped(minted_of, self._app.repeat("POST", f"/app/installations/{self._found()}/access_tokens", body))

    def _found(self) -> int:
        with self._finding:
            if self._number is None:
                self._number = shaped(number_of, self._app.get(f"/repos/{quote(self._name, safe='/')}/installation"))
            return self._number

    def _explained(self, error: ForgeError, permissions: Mapping[str, str]) -> ForgeError:
        """Why GitHub made no token; that costs a request more, and only now."""
        if error.code == "unauthorized":
            return refused(error)
        if isinstance(error, NotFound):
            return not_installed(self._name)
        if self._number is None or error.code not in ("forbidden", "rejected", "suspended"):
            return error
        data = self._app.get(f"/app/installations/{self._number}")
        return shaped(lambda found: _reason(found, self._name, permissions), data) or not_installed(self._name)


class InstallationTokens:
    """Tokens of one phase. Thread-safe; nothing is asked before the first is needed."""

    def __init__(
        self, mint: Callable[[], Minted], revoke: Callable[[str], None], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._mint, self._revoke, self._clock = mint, revoke, clock
        self._lock = threading.Lock()
        self._alive: list[Minted] = []
        """Newest last; older ones may still be on their way in another thread."""
        self._due, self._renewed, self._closed = 0.0, float("-inf"), False

    def token(self) -> str:
        """The present one, replaced at least five minutes before its end. Raises ForgeError."""
        with self._lock:
            if not self._alive or self._clock() >= self._due:
                self._replace()
            return self._alive[-1].value

    def renew(self, refused: str) -> bool:
        """After a 401: one more token for all that were refused the same one, and none after a new one is refused."""
        with self._lock:
            if self._alive and self._alive[-1].value != refused:
                return True
            now = self._clock()
            if self._closed or now - self._renewed < FRESH:
                return False
            self._renewed = now
            self._alive = [each for each in self._alive if each.value != refused]
            self._replace()
            return True

    def close(self) -> None:
        """Give back what has not ended. Whatever fails, the token ends within the hour; a second call does nothing."""
        with self._lock:
            given, self._alive, self._closed = self._alive, [], True
        for each in given:
            if each.ends > self._clock():
                try:
                    self._revoke(each.value)
                except ForgeError as error:
                    log.warning("an installation token could not be given back: %s", error.code)

    def _replace(self) -> None:
        if self._closed:
            raise ForgeError("tokens_returned", "the run is over, its tokens are given back")
        made, now = self._mint(), self._clock()
        self._alive = [*(each for each in self._alive if each.ends > now), made]
        # A clock that is far ahead must not lead to a token for each request.
        self._due = max(made.ends - AHEAD, now + 60)


def read_key(settings: Settings) -> str:
    """The App's private key. Raises ConfigurationError `app_key_unreadable`, `app_key_exposed`."""
    if settings.app_key is not None:
        return settings.app_key.get_secret_value()
    path = settings.app_key_file or Path(os.devnull)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigurationError("app_key_unreadable", f"{path} is no file", hint="name the App's .pem file")
            if mode & 0o077:
                message = f"others may read the App's key: {path} has mode {stat.S_IMODE(mode):04o}"
                raise ConfigurationError("app_key_exposed", message, hint=f"chmod 600 {path}")
            return file.read(KEY_BYTES).decode("ascii", "replace")
    except OSError as error:
        message = f"the App's key can't be read: {path}: {error.strerror}"
        raise ConfigurationError("app_key_unreadable", message, hint="set SANDPIPER_APP_KEY_FILE to it") from None


def _signed(app_id: str, key: str, now: int) -> str:
    import jwt
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return jwt.encode({"iat": now - BACK, "exp": now + LIFE, "iss": app_id}, key, algorithm="RS256")
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
        # The error's own text may quote the key.
        hint = "give the .pem file that GitHub made for the App, whole and unchanged"
        raise ConfigurationError("invalid_app_key", "the App's key is no private RSA key in PEM", hint=hint) from None


def _reason(data: Any, name: str, permissions: Mapping[str, str]) -> ForgeError | None:
    """What about an installation stands in the way; None when only the repository is left."""
    if data["suspended_at"]:
        hint = "unsuspend it under Settings -> GitHub Apps of the account"
        return ForgeError("installation_suspended", f"the App's installation on {name} is suspended", hint=hint)
    granted = data["permissions"]
    lacking = [f"{each}: {level}" for each, level in permissions.items() if _below(granted.get(each), level)]
    if not lacking:
        return None
    message = f"the App's installation on {name} lacks the permission {', '.join(lacking)}"
    hint = "grant it in the App's settings; then the owner of the installation accepts the new permissions"
    return ForgeError("permission_missing", message, hint=hint)


def _below(granted: str | None, wanted: str) -> bool:
    return granted not in LEVELS or LEVELS.index(granted) < LEVELS.index(wanted)


def refused(error: ForgeError) -> ForgeError:
    """The error for a JWT that GitHub does not take."""
    hint = "see that app_id and app_key belong to the same App, and that this machine's clock is right"
    return ForgeError("app_refused", f"GitHub does not accept the App: {error.message}", hint=hint)


def not_installed(name: str) -> ForgeError:
    """The error for a repository that the App has no business in."""
    hint = f"install the App on the account {name.partition('/')[0]} and let it access this repository"
    return ForgeError("installation_missing", f"the App is not installed on {name}", hint=hint)


def slug_of(data: Mapping[str, Any]) -> str:
    """Of an `integration`."""
    return str(data["slug"])


def number_of(data: Mapping[str, Any]) -> int:
    """Of an `installation`."""
    return int(data["id"])


def minted_of(data: Mapping[str, Any]) -> Minted:
    """Of an `installation-token`."""
    reaches = frozenset(str(each["full_name"]).lower() for each in data["repositories"])
    return Minted(str(data["token"]), datetime.fromisoformat(data["expires_at"]).timestamp(), reaches)

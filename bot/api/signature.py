"""The bytes of a delivery and its signature -> whether GitHub sent it ("Validating webhook deliveries")."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from pydantic import SecretStr

from bot.errors import ConfigurationError
from bot.settings import Settings

SHORTEST = 16
"""Characters of a secret; `sandpiper app create` takes one of 40 from GitHub."""
_PLACEHOLDER = re.compile(
    r"^[<{\[$%].*[>}\])%]$|change_?me|replace_?me|place_?holder|(your|my|the|a)?_?web_?hook_?secret|your_?secret|example",
    re.IGNORECASE,
)
_HINT = "set SANDPIPER_WEBHOOK_SECRET to the secret of the App's webhook, for instance what `openssl rand -hex 32` says"


def secrets_for(settings: Settings) -> tuple[bytes, ...]:
    """The webhook's secrets, the one before the last rotation included. Raises ConfigurationError for a bad one."""
    if settings.webhook_secret is None:
        message = "without the webhook's secret anybody could start runs"
        raise ConfigurationError("webhook_secret_missing", message, hint=_HINT)
    given = [("the secret of the webhook", settings.webhook_secret)]
    if settings.webhook_secret_old is not None:
        given.append(("the old secret of the webhook", settings.webhook_secret_old))
    return tuple(_good(name, secret) for name, secret in given)


def _good(name: str, secret: SecretStr) -> bytes:
    text = secret.get_secret_value().strip()
    what = ""
    if not text:
        what = "is empty"
    elif _PLACEHOLDER.search(re.sub(r"[\s-]+", "_", text)) or len(set(text)) < 6:
        what = "is a placeholder, not a secret"
    elif len(text) < SHORTEST:
        what = f"has fewer than {SHORTEST} characters"
    if what:
        raise ConfigurationError("webhook_secret_weak", f"{name} {what}", hint=_HINT)
    return text.encode("utf-8", "surrogatepass")


def is_signed(body: bytes, signature: bytes, secrets: Sequence[bytes]) -> bool:
    """Whether the signature was made with one of the secrets. Takes as long for a wrong one as for a right one."""
    good = False
    for secret in secrets:
        wanted = b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
        good |= hmac.compare_digest(wanted, signature)  # bytes: text that is not ASCII would raise
    return good

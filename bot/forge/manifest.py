"""GitHub's manifest flow: a manifest and a name -> a form for GitHub; the code that comes back -> an App's credentials.

Source: GitHub's page "Registering a GitHub App from a manifest".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from bot.errors import ForgeError, NotFound
from bot.forge.client.addresses import server_base
from bot.forge.client.client import Client, shaped
from bot.forge.client.failures import InDoubt
from bot.forge.client.tokens import FixedToken
from bot.forge.client.transport import Transport
from bot.settings import Settings


class NewApp(NamedTuple):
    """An App that GitHub has just made."""

    id: int
    slug: str
    client_id: str
    page: str
    """Its page, where it is installed from."""
    pem: str
    """Its private key, which GitHub shows once."""
    webhook_secret: str
    """Empty where the App has no webhook yet."""


def registration_url(settings: Settings, organization: str | None, state: str) -> str:
    """Where the form goes: the settings of a person, or of an organisation."""
    base = server_base(settings)
    owner = f"organizations/{quote(organization, safe='')}/" if organization else ""
    return f"{base}/{owner}settings/apps/new?state={quote(state, safe='')}"


def filled(
    manifest: Mapping[str, Any], *, name: str | None, homepage: str, webhook: str | None, redirect: str
) -> dict[str, Any]:
    """The manifest with what is known only now. Without an address the App has no webhook until it is given one."""
    more: dict[str, Any] = {"url": homepage, "redirect_url": redirect}
    if name:
        more["name"] = name
    if webhook:
        more["hook_attributes"] = {"url": webhook, "active": True}
    return {**manifest, **more}


def convert(settings: Settings, code: str) -> NewApp:
    """Trade the code, once and within an hour, for the App's credentials.

    Raises ForgeError `app_code_refused` for one that is used up or too old, `app_in_doubt` where the answer was lost.
    """
    client = Client(Transport(settings, FixedToken(None)))
    try:
        return shaped(_app, client.write("POST", f"/app-manifests/{quote(code, safe='')}/conversions"))
    except InDoubt as error:
        message = f"GitHub made the App, but its answer with the key was lost: {error.message}"
        hint = "make a new private key on the App's settings page, or delete the App there and begin again"
        raise ForgeError("app_in_doubt", message, hint=hint) from None
    except ForgeError as error:
        if not isinstance(error, NotFound) and error.code not in ("rejected", "conflict"):
            raise
        hint = "a code is good for one hour and one use: begin again"
        raise ForgeError("app_code_refused", "GitHub does not know the code (any more)", hint=hint) from None


def _app(data: Any) -> NewApp:
    slug, pem = str(data["slug"]), str(data["pem"])
    if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", slug) or "PRIVATE KEY" not in pem:
        raise ValueError(slug)
    secret = str(data.get("webhook_secret") or "")
    if secret and not re.fullmatch(r"[!-~]{1,500}", secret):
        raise ValueError("webhook_secret")
    return NewApp(int(data["id"]), slug, str(data.get("client_id") or ""), str(data["html_url"]), pem, secret)

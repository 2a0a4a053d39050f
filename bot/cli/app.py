"""`sandpiper app` -> the GitHub App that the bot acts as, created by GitHub's manifest flow."""

from __future__ import annotations

import json
import os
import re
import secrets
import webbrowser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

import bot
from bot.cli.app_files import KEY, prepared, store
from bot.cli.app_page import CreationPage
from bot.cli.output import json_option, print_json, say
from bot.forge.client.addresses import server_base
from bot.forge.manifest import NewApp, convert, filled, registration_url
from bot.settings import load_settings

MANIFEST = "github-app-manifest.json"
ORGANIZATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@click.group()
def app() -> None:
    """Create the GitHub App that the bot acts as."""


@app.command()
@click.option("--org", help="Organisation that the App belongs to; your own account if not given.")
@click.option("--name", help="The App's name, unique on GitHub; GitHub's page asks for it if not given.")
@click.option("--webhook", metavar="URL", help="Where GitHub sends events: the public address of `sandpiper serve`.")
@click.option("--into", default="sandpiper-app", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--minutes", default=10.0, show_default=True, type=click.FloatRange(0, 60), help="How long to wait.")
@click.option("--browser/--no-browser", default=True, help="Open a browser, or only print the address.")
@json_option
def create(
    org: str | None, name: str | None, webhook: str | None, into: Path, minutes: float, browser: bool, as_json: bool
) -> None:
    """Create a GitHub App with the least permissions, and keep its key in a folder that only you can read."""
    _check(org, name, webhook)
    settings, folder = load_settings(os.environ), prepared(into)
    page = CreationPage()
    homepage = f"{server_base(settings)}/{org or ''}".rstrip("/")
    manifest = filled(load_manifest(), name=name, homepage=homepage, webhook=webhook, redirect=page.redirect)
    with page.opened(registration_url(settings, org, page.state), manifest):
        say(f"Open this page and confirm on GitHub: {page.url}", err=as_json)
        if browser:
            webbrowser.open(page.url)
        code = page.code(minutes * 60)
    made = convert(settings, code)
    # Without a webhook GitHub makes up no secret; the one that we make up is entered together with the address.
    secret = made.webhook_secret or secrets.token_hex(32)
    env = store(made, secret, folder, settings)
    if as_json:
        files = {"key_file": str(folder / KEY), "env_file": str(env)}
        print_json({"app_id": made.id, "slug": made.slug, "client_id": made.client_id, "page": made.page, **files})
    else:
        say(_next_steps(made, env, folder, webhook))


def load_manifest() -> dict[str, Any]:
    """What the App may do: beside the package in a checkout, inside it where it is installed."""
    package = Path(bot.__file__).parent
    path = next(each for each in (package / MANIFEST, package.parent / MANIFEST) if each.is_file())
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _check(org: str | None, name: str | None, webhook: str | None) -> None:
    if org is not None and not ORGANIZATION.fullmatch(org):
        raise click.UsageError("--org is an organisation's name, as it stands in its address")
    if name is not None and not (1 <= len(name.strip()) <= 34 and name.isprintable()):
        raise click.UsageError("--name has 34 characters at most, GitHub's limit")
    parts = urlsplit(webhook or "https://example.com")
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username:
        raise click.UsageError("--webhook is an address such as https://bot.example.com/webhook")


def _next_steps(made: NewApp, env: Path, folder: Path, webhook: str | None) -> str:
    steps = [
        f"Created the App {made.slug} (id {made.id}). Its key is in {folder / KEY}, its settings are in {env}.",
        "Next:",
        f"  1. Install it on repositories: {made.page}/installations/new",
        f"  2. Start the server:           sandpiper serve --env {env}",
    ]
    if not webhook:
        where = "on its settings page enter the address of `sandpiper serve` as webhook URL,"
        steps.append(f"  3. The App has no webhook yet: {where}\n     with the secret from {env.name}.")
    return "\n".join(steps)

"""A GitHub App on the server of the tests -> its key, settings and credentials that act as it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from bot.agent.runtimes.command import CommandRuntime
from bot.deps import Deps
from bot.forge.client.apps import WRITE
from bot.forge.client.credentials import Credentials, open_credentials
from bot.forge.events.parsing import parse_event
from bot.pipeline import handle
from bot.settings import Settings
from bot.testing.sandbox import FakeProvider
from bot.types.event import Event
from bot.types.run import Run
from bot.wiring import wire
from tests.forge_fixtures import FILES, NAME
from tests.github_server.exchange import Request
from tests.github_server.records import App, Token
from tests.github_server.server import GitHubServer
from tests.github_server.webhooks import issues_labeled
from tests.pipeline_fixtures import POLICY, News, make

APP_ID = 77
MINTING = "POST /app/installations/{installation_id}/access_tokens"
REVOKING = "DELETE /installation/token"


@lru_cache
def key_pair() -> tuple[str, str]:
    """A private key and its public key, both in PEM; made once, because that takes long."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def install(server: GitHubServer, name: str, *, permissions: Mapping[str, str] = WRITE, app_id: int = APP_ID) -> App:
    """An App on a repository."""
    return server.add_app(app_id, f"sandpiper-{app_id}", [name], permissions, key_pair()[1])


def app_settings(server: GitHubServer, **more: Any) -> Settings:
    """Settings that act as the App."""
    key = {"app_key": SecretStr(key_pair()[0])} if "app_key_file" not in more else {}
    return Settings(app_id=str(APP_ID), api_url=server.url, server_url=server.html_url, **key, **more)


def minted(server: GitHubServer) -> list[Token]:
    """Tokens that were made for Apps, oldest first."""
    return [each for each in server.world.tokens.values() if each.kind == "app"]


def of_kind(token: Token) -> str:
    """The phase that a token is for."""
    return "write" if "write" in (token.permissions or {}).values() else "read"


def sent(request: Request) -> str:
    """The token that a request was signed with."""
    return request.headers.get("authorization", "").partition(" ")[2]


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    """A repository with an App on it."""
    with GitHubServer() as server:
        server.add_repo(NAME, {**FILES, ".github/bot.yml": POLICY, "table.txt": "old\n"})
        install(server, NAME)
        yield server
        assert server.violations == []
        assert server.unknown == []


def lent_by(server: GitHubServer, **more: Any) -> Credentials:
    naps: list[float] = []
    options = {name: more.pop(name) for name in ("installation", "hide", "clock") if name in more}
    return open_credentials(app_settings(server, **more), {}, NAME, sleep=naps.append, **options)


def operations(server: GitHubServer) -> list[str | None]:
    return [each.operation for each in server.requests]


def labelled(server: GitHubServer) -> Event:
    server.add_user("maria")
    server.set_permission(NAME, "maria", "write")
    server.open_issue(NAME, title="The table is old", labels=["bot:regenerate"])
    payload = issues_labeled(server, NAME, 1, "bot:regenerate", "maria")
    return parse_event("issues", payload, settings=Settings())


def wired(server: GitHubServer, event: Event, folder: Path, news: News, **more: Any) -> Deps:
    """As every door wires it, but for the sandbox: commands run in a folder."""
    settings = app_settings(server, state=folder / "state")
    deps = wire(settings, event.repository, watch=news, environ={"PATH": "/usr/bin:/bin"}, **more)
    return replace(deps, sandboxes=FakeProvider(folder / "boxes", make), runtime=lambda spec: CommandRuntime())


def perform(server: GitHubServer, folder: Path, **more: Any) -> Run:
    event = labelled(server)
    with closing(wired(server, event, folder, News(), **more)) as deps:
        return handle(event, deps)


def other_key(which: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    if which == "public":
        public = rsa.generate_private_key(65537, 2048).public_key()
        return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

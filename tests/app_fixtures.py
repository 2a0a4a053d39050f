"""A GitHub App on the server of the tests -> its key, settings and credentials that act as it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from bot.forge.apps import WRITE
from bot.settings import Settings
from tests.github_server.exchange import Request
from tests.github_server.records import App, Token
from tests.github_server.server import GitHubServer

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

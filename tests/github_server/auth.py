"""Authorization header -> caller, and what a caller may do: 401, 403 and the hidden 404 as GitHub gives them."""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt

from .exchange import ApiError, not_found
from .records import App, Repo, Role, Token, User, World, at_least, now, role_of

LEVELS = ("none", "read", "write", "admin")
INTEGRATION = "Resource not accessible by integration"
FINE_GRAINED = "Resource not accessible by personal access token"
SUSPENDED = "This installation has been suspended"
JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")


@dataclass(frozen=True)
class Caller:
    """Who asks: a token's user, an app by its JWT, or nobody."""

    token: Token | None = None
    app: App | None = None

    @property
    def user(self) -> User | None:
        """The account that acts."""
        return self.token.user if self.token is not None else None


def credential(header: str) -> str | None:
    """The secret inside an Authorization header (token, Bearer or Basic)."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() in ("token", "bearer"):
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return password if password not in ("", "x-oauth-basic") else user


def authenticate(world: World, header: str | None) -> Caller:
    """The caller; ApiError 401 for a credential that is not good."""
    if header is None:
        return Caller()
    secret = credential(header)
    token = world.tokens.get(secret or "")
    if token is not None:
        if token.revoked or (token.expires_at is not None and token.expires_at <= now()):
            raise ApiError(401, "Bad credentials")
        token.used += 1
        if token.app is not None and token.app.suspended_at is not None:
            raise ApiError(403, SUSPENDED)
        return Caller(token)
    signed = secret is not None and JWT.fullmatch(secret) and header.lower().startswith("bearer ")
    if secret is not None and signed and any(app.public_key for app in world.apps.values()):
        return Caller(app=app_of_jwt(world, secret))
    raise ApiError(401, "Bad credentials")


def app_of_jwt(world: World, secret: str) -> App:
    """The app that signed: RS256, dated no later than now, ten minutes at the most; 401 for anything else.

    Source: GitHub's page "Generating a JSON Web Token (JWT) for a GitHub App".
    """
    undecodable = ApiError(401, "A JSON web token could not be decoded")
    try:
        issuer = str(jwt.decode(secret, options={"verify_signature": False}).get("iss"))
    except jwt.InvalidTokenError:
        raise undecodable from None
    app = next((app for app in world.apps.values() if issuer in (str(app.id), app.client_id) and app.public_key), None)
    if app is None or app.public_key is None:
        raise ApiError(401, "'Issuer' claim ('iss') must be an Integer")
    try:
        options: Any = {"require": ["iat", "exp", "iss"]}
        claims: dict[str, Any] = jwt.decode(secret, app.public_key, algorithms=["RS256"], leeway=5, options=options)
    except jwt.MissingRequiredClaimError as error:
        raise ApiError(401, f"Missing claim ('{error.claim}') in assertion") from None
    except jwt.ImmatureSignatureError:
        wrong = "must be an Integer representing the time that the assertion was issued"
        raise ApiError(401, f"'Issued at' claim ('iat') {wrong}") from None
    except jwt.ExpiredSignatureError:
        raise ApiError(401, "'Expiration time' claim ('exp') must be a numeric value in the future") from None
    except jwt.InvalidTokenError:
        raise undecodable from None
    if claims.get("exp", float("inf")) > (now() + timedelta(minutes=10, seconds=5)).timestamp():
        raise ApiError(401, "'Expiration time' claim ('exp') is too far in the future")
    return app


def reaches(caller: Caller, repo: Repo) -> bool:
    """Whether the token was made for this repository."""
    token = caller.token
    return token is not None and (token.repos is None or repo.full_name.lower() in token.repos)


def see(caller: Caller, repo: Repo) -> None:
    """Raise 404 where a private repository is none of the caller's business."""
    if not repo.private:
        return
    token = caller.token
    if token is None or not reaches(caller, repo):
        raise not_found()
    if token.kind == "pat" and not at_least(role_of(repo, token.user), "read"):
        raise not_found()


def granted(permissions: dict[str, str], need: str) -> bool:
    """Whether `issues:write`, or one of `issues|pull_requests:write`, is among the permissions."""
    names, _, level = need.partition(":")
    have = {"metadata": "read"} | permissions
    return any(LEVELS.index(have.get(name, "none")) >= LEVELS.index(level) for name in names.split("|"))


def allow(caller: Caller, repo: Repo, need: str, role: Role) -> None:
    """Raise unless the caller may: installations by their permissions, people by their role.

    What is public needs no permission to read.
    """
    writes = not need.endswith(":read")
    token = caller.token
    if token is None:
        if writes:
            raise ApiError(401, "Requires authentication")
        return
    if not writes and not repo.private:
        return
    refusal = FINE_GRAINED if token.kind == "pat" else INTEGRATION
    accepted = need.replace(":", "=").replace("|", f"={need.partition(':')[2]}; ")
    denied = ApiError(403, refusal, None, X_Accepted_GitHub_Permissions=accepted)
    if token.kind == "pat" and need.startswith("checks") and writes:
        raise ApiError(403, "You must authenticate via a GitHub App.")
    if token.kind == "pat" and not at_least(role_of(repo, token.user), role):
        raise denied
    if not reaches(caller, repo) or (token.permissions is not None and not granted(token.permissions, need)):
        raise denied

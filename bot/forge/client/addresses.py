"""Settings -> where the forge is: its API and its pages. No host is written down; PyGithub knows the public one."""

from __future__ import annotations

from urllib.parse import urlsplit

from bot.errors import ConfigurationError
from bot.settings import Settings
from bot.types.event import Repository

ENTERPRISE = "/api/v3"
"""Below it GitHub Enterprise Server has its API, on the host of its pages."""


def api_base(settings: Settings) -> str:
    """Address of the API without a slash at the end. Raises ConfigurationError `invalid_setting`."""
    url = (settings.api_url or _public()).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ConfigurationError(
            "invalid_setting",
            f"not the address of an API: {url!r}",
            hint="set SANDPIPER_API_URL to https://HOST/api/v3",
        )
    return url


def server_base(settings: Settings) -> str:
    """Address of the pages and of git over HTTP without a slash at the end; derived from the API's if it is not set.

    Raises ConfigurationError `invalid_setting`.
    """
    if settings.server_url:
        url = settings.server_url.rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            hint = "set SANDPIPER_SERVER_URL to https://HOST"
            raise ConfigurationError("invalid_setting", f"not the address of a server: {url!r}", hint=hint)
        return url
    parts = urlsplit(api_base(settings))
    return f"{parts.scheme}://{parts.netloc.removeprefix('api.')}{parts.path.removesuffix(ENTERPRISE)}"


def pages_of(settings: Settings, repository: Repository) -> str:
    """Address of the pages of a repository's server; empty for a folder on this machine, which has none."""
    return "" if repository.url.startswith("file:") else server_base(settings)


def _public() -> str:
    from github.Consts import DEFAULT_BASE_URL

    return DEFAULT_BASE_URL

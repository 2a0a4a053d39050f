"""Method, path and body -> one answer of the API host: PyGithub signs and addresses, our connection carries.

What the connection adds: a redirect never leaves the API host and never changes a method, an answer has a largest
size and a deadline, and nothing is retried behind our back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import requests

from bot.errors import ConfigurationError, ForgeError
from bot.forge.failures import Answer, in_doubt, moved
from bot.settings import Settings

USER_AGENT = "sandpiper-bot"
JSON = "application/vnd.github+json"
TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and between two packets."""
DEADLINE = 120.0
"""Seconds for one whole answer, however slowly it drips."""
LIMIT = 48_000_000
"""Bytes of an answer; a recursive tree of 100,000 entries, GitHub's largest, stays below."""
HOPS = 3
REDIRECTS = (301, 302, 303, 307, 308)


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


def _public() -> str:
    from github.Consts import DEFAULT_BASE_URL

    return DEFAULT_BASE_URL


class Connection:
    """One request on a shared session, in the shape in which PyGithub's requester wants its connections."""

    def __init__(self, session: requests.Session, base: str, limit: int, cut: bool) -> None:
        self._session, self._base, self._limit, self._may_cut = session, base, limit, cut
        self.status = 0
        self.was_cut = False
        self._headers: Mapping[str, str] = {}
        self._text = ""

    def request(self, verb: str, url: str, body: Any, headers: dict[str, str], stream: bool = False) -> None:
        """Send it and read the answer to its end."""
        parts = urlsplit(self._base)
        address = f"{parts.scheme}://{parts.netloc}{url}"
        data = body.encode() if isinstance(body, str) else body
        for _ in range(HOPS + 1):
            answer = self._session.request(
                verb, address, headers=headers, data=data, timeout=TIMEOUT, allow_redirects=False, stream=True
            )
            with answer:
                if answer.status_code in REDIRECTS:
                    address = self._next(verb, address, answer.headers.get("location", ""))
                    continue
                self.status, self._headers = answer.status_code, answer.headers
                self._text = self._read(answer).decode("utf-8", "replace")
                return
        raise moved(verb, url)

    def getresponse(self) -> Connection:
        """The answer."""
        return self

    def getheaders(self) -> list[tuple[str, str]]:
        """Its headers."""
        return list(self._headers.items())

    def read(self) -> str:
        """Its body."""
        return self._text

    def _next(self, verb: str, address: str, location: str) -> str:
        """Where a redirect may lead: a read, within the API. A write would leave its object: refused."""
        target = urljoin(address, location)
        here, there = urlsplit(self._base), urlsplit(target)
        inside = (there.scheme, there.netloc) == (here.scheme, here.netloc) and there.path.startswith(here.path + "/")
        if verb != "GET" or not location or not inside:
            raise moved(verb, urlsplit(address).path)
        return target

    def _read(self, answer: requests.Response) -> bytes:
        parts, size, start = [], 0, time.monotonic()
        for part in answer.iter_content(65_536):
            parts.append(part)
            size += len(part)
            if size > self._limit:
                if not self._may_cut:
                    raise ForgeError("answer_too_large", f"GitHub's answer has more than {self._limit} bytes")
                self.was_cut = True
                break
            if time.monotonic() - start > DEADLINE:
                raise requests.Timeout("the answer took too long")
        return b"".join(parts)[: self._limit]


class Transport:
    """The way to one API with one token; holds the connections."""

    def __init__(self, settings: Settings) -> None:
        from github import Auth, Github
        from github.Consts import API_VERSION_2022_11_28

        self._token = settings.token.get_secret_value() if settings.token else ""
        self.base = api_base(settings)
        auth = Auth.Token(self._token) if self._token else None
        options: dict[str, Any] = {"seconds_between_requests": 0, "seconds_between_writes": 0, "retry": None}
        options["api_version"] = API_VERSION_2022_11_28
        github = Github(auth=auth, base_url=self.base, user_agent=USER_AGENT, per_page=100, lazy=True, **options)
        self._requester = github.requester
        self._session = requests.Session()
        # Without this a .netrc on the machine could replace the token.
        self._session.auth = lambda request: request

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        media: str = JSON,
        limit: int = LIMIT,
        cut: bool = False,
    ) -> Answer:
        """Ask once. Raises InDoubt for a lost answer or a 5xx, ForgeError `moved` and `answer_too_large`."""
        connection = Connection(self._session, self.base, limit, cut)
        try:
            status, headers, text = self._requester.requestJson(
                method, path, dict(query or {}), {"Accept": media}, body, cast(Any, connection)
            )
        except requests.RequestException as error:
            # The error's own text names addresses and proxies, its type says enough.
            raise in_doubt(method, path, type(error).__name__) from None
        if status >= 500:
            raise in_doubt(method, path, f"HTTP {status}")
        return Answer(status, headers, self._without_token(text) if status >= 400 else text, connection.was_cut)

    def close(self) -> None:
        """Drop the connections."""
        self._session.close()

    def _without_token(self, text: str) -> str:
        """A server that echoes the token must not bring it into an error message."""
        return text.replace(self._token, "***") if self._token else text

"""One request -> one answer of the API host: PyGithub addresses and encodes, our connection signs and carries.

What the connection adds: the token of the moment, which PyGithub never sees; a redirect never leaves the API and never
changes a method; an answer has a largest size and a deadline; nothing is retried behind our back.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import unquote, urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from bot.errors import ConfigurationError, ForgeError
from bot.forge.client.addresses import api_base
from bot.forge.client.cache import LARGEST, Cache
from bot.forge.client.failures import Answer, in_doubt, moved, parse
from bot.forge.client.tokens import Tokens
from bot.settings import Settings

USER_AGENT = "sandpiper-bot"
JSON = "application/vnd.github+json"
GRAPHQL = "/graphql"
"""Path of the GraphQL endpoint in a Request; its address is derived from the API's, which differs by server."""
TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and between two packets."""
DEADLINE = 120.0
"""Seconds for one whole answer, however slowly it drips."""
LIMIT = 48_000_000
"""Bytes of an answer; a recursive tree of 100,000 entries, GitHub's largest, stays below."""
PART = 65_536
HOPS = 3
REDIRECTS = (301, 302, 303, 307, 308)
TOKEN = re.compile(r"[!-~]*")
"""What can stand in a header: printable ASCII without blanks."""
STRANGE = re.compile(r"[^!-~]|\\")
"""What no address of GitHub's holds, and what parsers of addresses disagree about."""

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]


@dataclass(frozen=True)
class Request:
    """All that is asked in one request."""

    method: Method
    path: str
    """Below the API's address, or GRAPHQL."""
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    media: str = JSON
    """What to accept."""
    limit: int = LIMIT
    """Bytes of the answer at the most."""
    cut: bool = False
    """Whether a longer answer is cut there; an error otherwise."""
    harmless: bool = False
    """A POST that changes nothing: a GraphQL query."""
    optional: bool = False
    """A poll or a guess, which the rate limit's last part is not spent on."""

    @property
    def is_read(self) -> bool:
        """Whether asking twice is as good as once."""
        return self.method == "GET" or self.harmless


class Session(requests.Session):
    """Carries what it is told to and nothing else: no redirect looked into, no .netrc, no cookies."""

    def __init__(self) -> None:
        super().__init__()
        # Without this a .netrc on the machine could replace the token.
        self.auth = lambda request: request
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None ever: to prepare the next request, the body of a redirect would be read to its end, however long."""
        return


class Connection:
    """One request on a session, in the shape in which PyGithub's requester wants its connections."""

    def __init__(self, session: Session, base: str, request: Request, token: str, deadline: float) -> None:
        self._session, self._base, self._request, self._token = session, base, request, token
        self._deadline = deadline
        self.answer: Answer | None = None
        self.status = 200
        """What PyGithub is told: it would sleep and ask again after a 202, for ever, and follow a 301 by itself."""

    def request(self, verb: str, url: str, body: Any, headers: dict[str, str], stream: bool = False) -> None:
        """Send it and read the answer to its end."""
        start, parts = time.monotonic(), urlsplit(self._base)
        address = f"{parts.scheme}://{parts.netloc}{url}"
        data = body.encode() if isinstance(body, str) else body
        signed = headers | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        for _ in range(HOPS + 1):
            answer = self._session.request(
                verb, address, headers=signed, data=data, timeout=TIMEOUT, allow_redirects=False, stream=True
            )
            with answer:
                if answer.status_code in REDIRECTS:
                    address = self._next(verb, address, answer.headers.get("location", ""))
                    continue
                text, was_cut = self._read(answer, start)
                named = {name.lower(): value for name, value in answer.headers.items()}
                self.answer = Answer(answer.status_code, named, text.decode("utf-8", "replace"), was_cut)
                return
        raise moved(verb, url)

    def getresponse(self) -> Connection:
        """The answer."""
        return self

    def getheaders(self) -> list[tuple[str, str]]:
        """None: PyGithub would stumble over a rate limit that is no number."""
        return []

    def read(self) -> str:
        """Nothing: we have the body."""
        return ""

    def _next(self, verb: str, address: str, location: str) -> str:
        """Where a redirect may lead: a read, within the API. A write would leave its object: refused."""
        if verb != "GET" or not location or STRANGE.search(location) or not is_inside(self._base, address, location):
            raise moved(verb, urlsplit(address).path)
        return urljoin(address, location)

    def _read(self, answer: requests.Response, start: float) -> tuple[bytes, bool]:
        parts, size, limit = [], 0, self._request.limit
        # One packet at a time: a read that waits until its buffer is full would not see the deadline.
        while part := answer.raw.read1(PART, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > limit:
                if not self._request.cut:
                    raise ForgeError("answer_too_large", f"GitHub's answer has more than {limit} bytes")
                break
            if time.monotonic() - start > self._deadline:
                raise requests.Timeout("the answer took too long")
        return b"".join(parts)[:limit], size > limit


def is_inside(base: str, address: str, location: str) -> bool:
    """Whether a redirect from `address` stays on the API's scheme, host and port and below its path."""
    try:
        here, there = urlsplit(base), urlsplit(urljoin(address, location))
    except ValueError:
        return False
    steps = unquote(there.path).split("/")
    same = (there.scheme, there.netloc) == (here.scheme, here.netloc)
    return same and there.path.startswith(here.path + "/") and not {".", ".."} & set(steps)


class Lane(NamedTuple):
    """What one request at a time travels on."""

    session: Session
    requester: Any


class Transport:
    """The way to one API with one credential; holds the connections. May be used by many threads."""

    def __init__(
        self, settings: Settings, tokens: Tokens, *, cache: Cache | None = None, deadline: float = DEADLINE
    ) -> None:
        self.base = api_base(settings)
        self._tokens, self._deadline = tokens, deadline
        self._cache = cache if cache is not None else Cache()
        self._lock = threading.Lock()
        self._idle: list[Lane] = []
        self._closed = False

    def send(self, request: Request) -> Answer:
        """Ask once, and once more after a 401 when there is another token: a 401 took no effect.

        Raises InDoubt for a lost answer or a 5xx, ForgeError `moved` and `answer_too_large`.
        """
        token = self._tokens.token()
        answer = self._once(request, token)
        if answer.status == 401 and token and self._tokens.renew(token):
            answer = self._once(request, self._tokens.token())
        return answer

    def close(self) -> None:
        """Drop the connections; one that is in use is dropped after its request."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for lane in idle:
            lane.session.close()

    def _once(self, request: Request, token: str) -> Answer:
        headers = {"Accept": request.media}
        known = self._cache.find(token, request.path, request.query, request.media) if request.method == "GET" else None
        if known is not None:
            headers |= known.conditions
        answer = self._carried(request, _checked(token), headers)
        if known is not None and answer.status == 304:
            return known.confirmed(answer.headers)
        if answer.status >= 500:
            raise in_doubt(request.method, request.path, f"HTTP {answer.status}")
        if request.method == "GET" and answer.status == 200 and not answer.cut and _is_whole(request, answer):
            self._cache.keep(token, request.path, request.query, request.media, answer)
        # A server that echoes the token must not bring it into an error message.
        echo = token and (answer.status >= 400 or request.path == GRAPHQL)
        return answer._replace(text=answer.text.replace(token, "***")) if echo else answer

    def _carried(self, request: Request, token: str, headers: dict[str, str]) -> Answer:
        with self._lane() as lane:
            connection = Connection(lane.session, self.base, request, token, self._deadline)
            url = lane.requester.graphql_url if request.path == GRAPHQL else request.path
            try:
                lane.requester.requestJson(
                    request.method, url, dict(request.query), headers, request.body, cast(Any, connection)
                )
            except (requests.RequestException, HTTPError, OSError) as error:
                # The error's own text names addresses and proxies, its type says enough.
                raise in_doubt(request.method, request.path, type(error).__name__) from None
        if connection.answer is None:
            raise in_doubt(request.method, request.path, "no answer")
        return connection.answer

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        """A session that no other thread uses meanwhile: neither requests nor PyGithub promise to bear that."""
        with self._lock:
            lane = self._idle.pop() if self._idle else None
        lane = lane or Lane(Session(), _requester(self.base))
        try:
            yield lane
        finally:
            with self._lock:
                closed = self._closed
                if not closed:
                    self._idle.append(lane)
            if closed:
                lane.session.close()


def _requester(base: str) -> Any:
    from github import Github
    from github.Consts import API_VERSION_2022_11_28

    options: dict[str, Any] = {"seconds_between_requests": 0, "seconds_between_writes": 0, "retry": None}
    options["api_version"] = API_VERSION_2022_11_28
    return Github(base_url=base, user_agent=USER_AGENT, per_page=100, lazy=True, **options).requester


def _is_whole(request: Request, answer: Answer) -> bool:
    """Whether it may be asked for again under a condition: half a document would be confirmed for ever."""
    return len(answer.text) <= LARGEST and (request.media != JSON or parse(answer.text) is not None)


def _checked(token: str) -> str:
    if not TOKEN.fullmatch(token):
        raise ConfigurationError(
            "invalid_setting", "the GitHub token holds characters that no token has", hint="set it anew, without blanks"
        )
    return token

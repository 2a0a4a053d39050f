"""Requests -> parsed answers under our own policy of retries, waits and doubts; reading and writing are two types.

A read that fails is tried again. A write is never repeated blindly: when its answer is lost, InDoubt is raised and
the caller reads back. A rate limit is waited for, up to a bound, because nothing took effect.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from bot.errors import ForgeError
from bot.forge.failures import Answer, InDoubt, failure_of, in_doubt, parse, rate_limited, wait_of
from bot.forge.transport import JSON, LIMIT, Transport

TRIES = 3
PATIENCE = 180.0
"""Seconds that one request waits for a rate limit at the most."""
PAGE = 100
"""Entries of a page, GitHub's largest."""

Made = TypeVar("Made")
Write = Literal["POST", "PATCH", "PUT", "DELETE"]


class Reads:
    """GET requests: all that a reader has in its hands."""

    def __init__(
        self,
        transport: Transport,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transport, self.sleep, self._clock = transport, sleep, clock

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """A JSON document. Raises ForgeError by status, NotFound included."""
        return self._retried(lambda: _document(self._ask("GET", path, query=query), "GET", path))

    def text(self, path: str, media: str, limit: int) -> str:
        """A document in another media type, cut after `limit` bytes."""
        return self._retried(lambda: self._ask("GET", path, media=media, limit=limit, cut=True).text)

    def pages(self, path: str, query: Mapping[str, Any] | None = None, *, most: int = 10) -> tuple[Any, ...]:
        """A list, page by page; of more than `most` pages the last ones. Only page numbers are taken from links."""
        first, last = self._page(path, query, 1)
        rows, start = list(first), 2
        if last > most:
            rows, start = [], last - most + 1
        at = start
        while at <= last:
            found, _ = self._page(path, query, at)
            rows += found
            at += 1
        return tuple(rows)

    def _page(self, path: str, query: Mapping[str, Any] | None, number: int) -> tuple[list[Any], int]:
        def ask() -> tuple[list[Any], int]:
            answer = self._ask("GET", path, query={**(query or {}), "per_page": PAGE, "page": number})
            rows = _document(answer, "GET", path)
            if not isinstance(rows, list):
                raise bad_answer(path)
            return rows, last_page(answer.headers.get("link", ""))

        return self._retried(ask)

    def _ask(
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
        """One request, asked again only after a rate limit."""
        waited = 0.0
        while True:
            answer = self._transport.send(method, path, query=query, body=body, media=media, limit=limit, cut=cut)
            if answer.status < 300:
                return answer
            wait = wait_of(answer, self._clock())
            if wait is None:
                raise failure_of(answer, method, path)
            if waited + wait > PATIENCE:
                raise rate_limited(wait)
            self.sleep(wait)
            waited += max(wait, 1.0)

    def _retried(self, ask: Callable[[], Made]) -> Made:
        for attempt in range(1, TRIES):
            try:
                return ask()
            except InDoubt:
                self.sleep(pause(attempt))
        return ask()


class Client(Reads):
    """The same with writes."""

    def write(self, method: Write, path: str, body: Any = None) -> Any:
        """Ask once. Raises InDoubt when it is unknown whether it took effect."""
        answer = self._ask(method, path, body=body)
        return None if answer.status == 204 or not answer.text else _document(answer, method, path)

    def repeat(self, method: Write, path: str, body: Any = None) -> Any:
        """A write that may take effect twice without harm."""
        return self._retried(lambda: self.write(method, path, body))

    def settle(self, make: Callable[[], Made], find: Callable[[], Made | None], *, doubt: bool = False) -> Made:
        """Make it exactly once: after a lost answer it is looked for before it is made again."""
        for attempt in range(1, TRIES + 1):
            if doubt and (found := find()) is not None:
                return found
            try:
                return make()
            except InDoubt as error:
                doubt, lost = True, error
                # Time for a request that is still under way to take effect before we look.
                self.sleep(pause(attempt))
        if (found := find()) is not None:
            return found
        raise lost


def pause(attempt: int) -> float:
    """Seconds before the next try: 1, 2, 4 and so on, spread so that many clients do not come back at once."""
    return float(2 ** (attempt - 1)) * random.uniform(0.75, 1.25)  # noqa: S311 - timing, not a secret


def last_page(link: str) -> int:
    """The number behind `rel="last"` in a Link header, 1 if there is none."""
    for part in link.split(","):
        address, _, rel = part.partition(";")
        if 'rel="last"' in rel:
            for pair in address.strip(" <>").partition("?")[2].split("&"):
                name, _, value = pair.partition("=")
                if name == "page" and value.isdecimal():
                    return int(value)
    return 1


def shaped(shape: Callable[[Any], Made], data: Any) -> Made:
    """The value of a JSON document. Raises ForgeError `bad_answer` when it is not what GitHub describes."""
    try:
        return shape(data)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        raise bad_answer(shape.__name__) from None


def bad_answer(what: str) -> ForgeError:
    """The error for a document that is not what GitHub describes."""
    return ForgeError("bad_answer", f"GitHub's answer is not as described: {what}", hint="is SANDPIPER_API_URL right?")


def _document(answer: Answer, method: str, path: str) -> Any:
    data = parse(answer.text)
    if data is None:
        # A proxy's page instead of JSON: whether the request took effect is open.
        raise in_doubt(method, path, "the answer is no JSON")
    return data

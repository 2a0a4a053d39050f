"""Requests -> parsed answers under our own policy of retries, waits and doubts; reading and writing are two types.

A read that fails is tried again. A write is never repeated blindly: when its answer is lost, InDoubt is raised and
the caller reads back. A rate limit is waited for, up to a bound, because nothing took effect.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

from bot.errors import Conflict, ForgeError
from bot.forge.client import graphql
from bot.forge.client.failures import Answer, InDoubt, failure_of, in_doubt, parse, rate_limited, wait_of
from bot.forge.client.pace import Pace
from bot.forge.client.transport import GRAPHQL, Request, Transport

TRIES = 3
PATIENCE = 180.0
"""Seconds that one request waits for a rate limit at the most."""
PAGE = 100
"""Entries of a page, GitHub's largest."""

UNSEEN = re.compile(
    r"PullRequest\.head invalid|PullRequest\.head_sha missing_field|Head sha can't be blank|"
    r"Object does not exist|(?:Tree|Parent) SHA does not exist|BadObjectState"
)
"""What GitHub says for a moment after a branch or an object was made, until all of its servers know it. No page of its
documentation promises that what was written can be read at once."""

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
        pace: Pace | None = None,
        optional: bool = False,
    ) -> None:
        """`clock` is the time of day; `pace` is shared by all that use one credential; `optional`: see Request."""
        self._transport, self.sleep, self._clock, self._optional = transport, sleep, clock, optional
        self._pace = pace or Pace(sleep=sleep)

    def as_optional(self) -> Reads:
        """The same for polls and guesses: they never wait for GitHub, and leave the limit's last part to the work."""
        return Reads(self._transport, sleep=self.sleep, clock=self._clock, pace=self._pace, optional=True)

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """A JSON document. Raises ForgeError by status, NotFound included."""
        return self._retried(lambda: _document(self._ask(Request("GET", path, query or {})), "GET", path))

    def text(self, path: str, media: str, limit: int) -> str:
        """A document in another media type, cut after `limit` bytes."""
        return self._retried(lambda: self._ask(Request("GET", path, media=media, limit=limit, cut=True)).text)

    def query(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The `data` of a GraphQL query; values go into `variables`, never into the document. Raises as `get` does."""
        request = graphql.request_of(document, variables or {}, "query")
        return self._retried(lambda: graphql.data_of(self._ask(request)))

    def query_part(self, document: str, variables: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The same, but fields that the token may not see are null; also, whether there are such."""
        request = graphql.request_of(document, variables, "query")
        return self._retried(lambda: graphql.part_of(self._ask(request)))

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
            answer = self._ask(Request("GET", path, {**(query or {}), "per_page": PAGE, "page": number}))
            rows = _document(answer, "GET", path)
            if not isinstance(rows, list):
                raise bad_answer(path)
            return rows, last_page(answer.headers.get("link", ""))

        return self._retried(ask)

    def _ask(self, request: Request) -> Answer:
        """One request, asked again only after a rate limit, for then nothing took effect."""
        request = replace(request, optional=self._optional)
        waited = 0.0
        while True:
            with self._pace.turn(request, PATIENCE - waited) as slept:
                answer = self._transport.send(request)
                now = self._clock()
                self._pace.heard(request, answer, now)
                # Before the place is given away: who gets it must find the silence.
                wait = graphql.wait_of(answer, now) if request.path == GRAPHQL else wait_of(answer, now)
                if wait is not None:
                    self._pace.hold(request, answer, wait)
            waited += slept
            if wait is None:
                if answer.status < 300:
                    return answer
                raise failure_of(answer, request.method, request.path)
            # A limit that names no time at all must not be asked for ever.
            waited += max(1.0 - wait, 0.0)
            if self._optional or waited + wait > PATIENCE:
                raise rate_limited(wait)

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
        """Ask once, and again where GitHub does not know yet what it was just given, for then nothing took effect.

        Raises InDoubt when it is unknown whether it took effect.
        """
        for attempt in range(1, TRIES):
            try:
                return self._written(method, path, body)
            except Conflict as error:
                if not UNSEEN.search(error.message):
                    raise
                self.sleep(pause(attempt))
        return self._written(method, path, body)

    def _written(self, method: Write, path: str, body: Any) -> Any:
        answer = self._ask(Request(method, path, body=body))
        return None if answer.status == 204 or not answer.text else _document(answer, method, path)

    def mutate(self, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The `data` of a GraphQL mutation, asked once. Raises InDoubt when it is unknown whether it took effect."""
        return graphql.data_of(self._ask(graphql.request_of(document, variables, "mutation")))

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

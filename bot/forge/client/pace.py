"""GitHub's limits -> when a request may go: one budget for all threads that use one credential.

Sources: GitHub's pages "Rate limits for the REST API", "Rate limits and query limits for the GraphQL API" and "Best
practices for using the REST API". What was asked is counted here, so that a long upload stays below the secondary
limits instead of running into them; what GitHub asks for is kept by every thread.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import NamedTuple

from bot.errors import ForgeError
from bot.forge.client.failures import Answer, number_of, rate_limited
from bot.forge.client.transport import GRAPHQL, Request

AT_ONCE = 16
"""Requests under way at the same time; GitHub's limit is 100 for all that use the credential."""
MINUTE, HOUR = 60.0, 3600.0
POINTS = {"core": 800, "graphql": 1800}
"""Points in a minute. GitHub's limits are 900 and 2,000; others may use the credential, too."""
WRITE, READ = 5, 1
"""Points of a request."""
CREATED_A_MINUTE, CREATED_AN_HOUR = 72, 450
"""Requests that make something people are told of. GitHub's limits are 80 and 500."""
RESERVE = 0.1
"""Share of the primary limit that polls and guesses leave to the work."""
FIELDS = ("remaining", "limit", "reset")
APART = re.compile(r"/git/|/access_tokens$|^/app-manifests/")
EVERYTHING = ""
"""A secondary limit is one of the credential, whatever it asks for."""


class Window:
    """What was spent in the last so many seconds. Guarded by the lock of its owner."""

    def __init__(self, most: int, span: float) -> None:
        self._most, self._span, self._used = most, span, 0
        self._spent: deque[tuple[float, int]] = deque()

    def due(self, now: float, cost: int) -> Due | None:
        """How long until there is room for `cost`."""
        self.forget(now - self._span)
        over = self._used + cost - self._most
        if over <= 0:
            return None
        for at, points in self._spent:
            over -= points
            if over <= 0:
                return Due(at + self._span - now, at, window=self)
        return None

    def spend(self, now: float, cost: int) -> None:
        """Count it."""
        self._spent.append((now, cost))
        self._used += cost

    def forget(self, until: float) -> None:
        """Drop what was spent up to then."""
        while self._spent and self._spent[0][0] <= until:
            self._used -= self._spent.popleft()[1]


class Due(NamedTuple):
    """Why a request has to wait."""

    seconds: float
    mark: float
    """End of the silence, or the time up to which the count may then forget."""
    resource: str = ""
    """Whose silence it is, if GitHub asked for it."""
    window: Window | None = None
    """Our own count that is full, if it is that."""


class Left(NamedTuple):
    """What GitHub said is left of a primary limit."""

    remaining: float
    limit: float
    until: float


class Pace:
    """One credential's budget: reader and writer of all its threads share it.

    `sleep` and `clock` (any clock that does not go back, in seconds) are given by tests.
    """

    def __init__(
        self, *, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sleep, self._clock = sleep, clock
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._silent: dict[str, float] = {}
        self._left: dict[str, Left] = {}
        self._points = {resource: Window(most, MINUTE) for resource, most in POINTS.items()}
        self._created = (Window(CREATED_A_MINUTE, MINUTE), Window(CREATED_AN_HOUR, HOUR))

    @contextmanager
    def turn(self, request: Request, patience: float) -> Iterator[float]:
        """A block in which the request may be sent; gives the seconds that GitHub had us wait.

        Raises ForgeError `rate_limited` when that would be more than `patience`, or any for an optional request,
        for which `rate_reserved` is raised when little is left.
        """
        with self._places:
            yield self._waited(request, patience)

    def heard(self, request: Request, answer: Answer, now: float) -> None:
        """Learn from an answer's headers; `now` is the time of day, in seconds since 1970."""
        left, most, reset = (number_of(answer.headers.get(f"x-ratelimit-{each}", "")) for each in FIELDS)
        if left is None or most is None or reset is None:
            return
        resource = answer.headers.get("x-ratelimit-resource") or resource_of(request)
        with self._lock:
            until = self._clock() + max(reset - now, 0.0)
            self._left[resource] = Left(left, most, until)
            if left == 0 and reset > now:
                self._silent[resource] = max(self._silent.get(resource, 0.0), until + 1.0)

    def hold(self, request: Request, answer: Answer, seconds: float) -> None:
        """Let nobody ask for so long: for this resource after a primary limit, for anything after a secondary one."""
        resource = resource_of(request) if answer.headers.get("x-ratelimit-remaining") == "0" else EVERYTHING
        with self._lock:
            until = self._clock() + seconds
            self._silent[resource] = max(self._silent.get(resource, 0.0), until)

    def _waited(self, request: Request, patience: float) -> float:
        waited = 0.0
        while due := self._due(request):
            if due.seconds > patience - waited or (request.optional and due.window is None):
                raise rate_limited(due.seconds)
            self._sleep(due.seconds)
            self._pass(due)
            waited += 0.0 if due.window else due.seconds
        return waited

    def _due(self, request: Request) -> Due | None:
        """Why it has to wait; None when it may go, and then it is counted."""
        resource, cost = resource_of(request), READ if request.is_read else WRITE
        points = self._points.get(resource, self._points["core"])
        created = self._created if is_creation(request) else ()
        with self._lock:
            now = self._clock()
            for each in (EVERYTHING, resource):
                if (until := self._silent.get(each, 0.0)) > now:
                    return Due(float(ceil(until - now)), until, resource=each)
            left = self._left.get(resource)
            if request.optional and left and left.until > now and left.remaining < RESERVE * left.limit:
                raise reserved()
            windows = ((points, cost), *((each, 1) for each in created))
            for window, price in windows:
                if due := window.due(now, price):
                    return due
            for window, price in windows:
                window.spend(now, price)
        return None

    def _pass(self, due: Due) -> None:
        """The time is over, for it was slept: by a clock that was put back it would never be."""
        with self._lock:
            if due.window is not None:
                due.window.forget(due.mark)
            elif self._silent.get(due.resource) == due.mark:
                del self._silent[due.resource]


class Paces:
    """The budgets of a process that works for several credentials at a time. May be used by many threads."""

    def __init__(self, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep, self._lock = sleep, threading.Lock()
        self._known: dict[str, Pace] = {}

    def of(self, credential: str) -> Pace:
        """The one budget of a credential, by a name that is no secret."""
        with self._lock:
            return self._known.setdefault(credential, Pace(sleep=self._sleep))


def resource_of(request: Request) -> str:
    """The primary limit that a request counts against, as GitHub calls it in `x-ratelimit-resource`."""
    if request.path == GRAPHQL:
        return "graphql"
    if request.path.startswith("/search/"):
        return "code_search" if request.path == "/search/code" else "search"
    return "core"


def is_creation(request: Request) -> bool:
    """Whether it counts as making content: what people are told of, not the objects of git or a token."""
    return not request.is_read and request.method == "POST" and not APART.search(request.path)


def reserved() -> ForgeError:
    """The error for an optional request when little is left."""
    return ForgeError(
        "rate_reserved",
        "what is left of GitHub's rate limit is kept for the work",
        hint="nothing to do: it is asked later",
    )

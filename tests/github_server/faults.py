"""Planted failures: which request meets which fault, and what the client then sees."""

import re
import time
from dataclasses import dataclass, field
from typing import Literal

from .exchange import DOCS, Answer, Request

Kind = Literal[
    "drop_before", "drop_after", "delay", "status", "secondary_limit", "primary_limit", "expired", "redirect"
]
SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. "
    "If you reach out to GitHub Support for help, please include the request ID."
)


@dataclass
class Fault:
    """One planted failure."""

    method: str
    path: re.Pattern[str]
    kind: Kind
    times: int
    skip: int
    status: int
    retry_after: int | None
    seconds: float
    location: str | None
    met: int = 0
    """How many requests it has struck."""

    def fits(self, request: Request) -> bool:
        """Whether it is meant for this request."""
        return self.method in ("*", request.method) and self.path.search(request.path) is not None


@dataclass
class Faults:
    """The failures that are planted, struck in the order in which they were added."""

    planted: list[Fault] = field(default_factory=list)

    def add(
        self,
        method: str,
        path: str,
        kind: Kind,
        times: int = 1,
        *,
        skip: int = 0,
        status: int | None = None,
        retry_after: int | None = None,
        seconds: float = 0.0,
        location: str | None = None,
    ) -> Fault:
        """Plant a failure for the next `times` requests (-1: all), after the first `skip`, of a method (`*`: any) whose
        path matches a regular expression.

        drop_before: the connection closes, nothing was done. drop_after: it closes after the write was done.
        delay: `seconds` pass first. status: `status`, HTML above 499. secondary_limit: `status` 403 or 429 with
        Retry-After. primary_limit: 403 with nothing remaining
        and a reset `seconds` from now. expired: 401. redirect: `status` 301 to `location`,
        by default the same resource by its repository's number.
        """
        usual = {"status": 502, "secondary_limit": 403, "primary_limit": 403, "expired": 401, "redirect": 301}
        fault = Fault(
            method,
            re.compile(path),
            kind,
            times,
            skip,
            status or usual.get(kind, 0),
            retry_after,
            seconds,
            location,
        )
        self.planted.append(fault)
        return fault

    def take(self, request: Request) -> Fault | None:
        """The failure that this request meets, used up by one."""
        for fault in self.planted:
            if not fault.fits(request) or fault.times == 0:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            fault.met += 1
            return fault
        return None


def answer_of(fault: Fault, elsewhere: str) -> Answer | None:
    """What the client gets instead of an answer; None where the request goes on."""
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.kind == "status":
        if fault.status >= 500:
            page = f"<html><body><h1>{fault.status}</h1>This page is taking too long to load.</body></html>"
            return Answer(fault.status, page.encode(), headers, "text/html; charset=utf-8")
        return message(fault.status, "Planted failure", headers)
    if fault.kind == "secondary_limit":
        return message(fault.status, SECONDARY, headers)
    if fault.kind == "primary_limit":
        spent = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time() + fault.seconds))}
        return message(fault.status, "API rate limit exceeded for installation.", headers | spent)
    if fault.kind == "expired":
        return message(fault.status, "Bad credentials", headers)
    if fault.kind == "redirect":
        target = fault.location or elsewhere
        return Answer(
            fault.status,
            {"message": "Moved Permanently", "url": target, "documentation_url": DOCS},
            {"Location": target},
        )
    return None


def message(status: int, text: str, headers: dict[str, str]) -> Answer:
    """An error with GitHub's JSON body."""
    return Answer(status, {"message": text, "documentation_url": DOCS, "status": str(status)}, headers)

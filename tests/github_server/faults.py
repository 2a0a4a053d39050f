"""Planted failures: which request meets which fault, and what the client then sees."""

import re
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from .exchange import DOCS, Answer, Request

Kind = Literal[
    "drop_before", "drop_after", "delay", "status", "secondary_limit", "primary_limit", "expired", "redirect",
    "status_after", "cut_after", "mangle_after", "hang_after", "stale",
]  # fmt: skip
Body = Literal["", "json", "html", "empty", "truncated"]
SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. "
    "If you reach out to GitHub Support for help, please include the request ID."
)
TEXTS = {
    400: "Problems parsing JSON",
    401: "Bad credentials",
    404: "Not Found",
    409: "Git Repository is empty.",
    410: "This issue was deleted",
    422: "Validation Failed",
    451: "Repository access blocked",
}
"""What GitHub says with a status; what it does not name gets a plain text."""
USUAL = {
    "status": 502, "status_after": 502, "secondary_limit": 403, "primary_limit": 403, "expired": 401, "redirect": 301,
}  # fmt: skip


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
    body: Body
    says: dict[str, Any] = field(default_factory=dict)
    """Fields of GitHub's JSON that differ from the usual ones."""
    met: int = 0
    """How many requests it has struck."""

    def fits(self, request: Request) -> bool:
        """Whether it is meant for this request; only what reads can be answered with an older state."""
        if self.kind == "stale" and not request.reads:
            return False
        return self.method in ("*", request.method) and self.path.search(request.path) is not None


@dataclass
class Faults:
    """The failures that are planted, struck in the order in which they were added."""

    planted: list[Fault] = field(default_factory=list)

    @property
    def want_past(self) -> bool:
        """Whether answers with an older state will be needed."""
        return any(fault.kind == "stale" and fault.times != 0 for fault in self.planted)

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
        body: Body = "",
        says: dict[str, Any] | None = None,
    ) -> Fault:
        """Plant a failure for the next `times` requests (-1: all), after the first `skip`, of a method (`*`: any) whose
        path matches a regular expression.

        Nothing is done: drop_before closes the connection; status answers `status` with GitHub's JSON or, above 499,
        its HTML page, or whatever `body` asks for; secondary_limit is 403 or 429, with Retry-After if `retry_after` is
        given; primary_limit has nothing remaining and a reset `seconds` from now; expired is 401; redirect leads to
        `location`, by default to the same resource by its repository's number.
        It is done, and the client can't know: drop_after closes the connection, cut_after in the middle of the answer,
        hang_after once `seconds` of silence are over; status_after answers `status`; mangle_after sends half of the
        JSON as if it were whole.
        It is done: delay answers `seconds` later; stale answers a read as it would have been answered before the last
        write that changed the answer.
        """
        fault = Fault(
            method, re.compile(path), kind, times, skip, status or USUAL.get(kind, 0), retry_after, seconds, location,
            body, says or {},
        )  # fmt: skip
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


def instead_of(fault: Fault, elsewhere: str) -> Answer | None:
    """What the client gets where nothing is done; None where the request goes on."""
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.kind == "status":
        return refusal(fault, headers)
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


def afterwards(fault: Fault, made: Answer) -> Answer | None:
    """What the client gets of an answer to a request that was carried out; None closes the connection."""
    if fault.kind in ("drop_after", "hang_after"):
        time.sleep(fault.seconds)
        return None
    if fault.kind == "status_after":
        return refusal(fault, {})
    if fault.kind == "cut_after":
        return Answer(made.status, made.body, made.headers, made.content_type, ends_early=True)
    if fault.kind == "mangle_after":
        half = made.wire()[: len(made.wire()) // 2]
        return Answer(made.status, half, made.headers, made.content_type) if half else None
    return made


def refusal(fault: Fault, headers: dict[str, str]) -> Answer:
    """An error answer with the body that the fault asks for."""
    kind = fault.body or ("html" if fault.status >= 500 else "json")
    if kind == "html":
        page = f"<html><body><h1>{fault.status}</h1>This page is taking too long to load.</body></html>"
        return Answer(fault.status, page.encode(), headers, "text/html; charset=utf-8")
    made = message(fault.status, TEXTS.get(fault.status, "Planted failure"), headers)
    if kind == "json":
        return Answer(fault.status, {**made.body, **fault.says}, headers)
    return Answer(fault.status, b"" if kind == "empty" else made.wire()[:20], headers)


def message(status: int, text: str, headers: dict[str, str]) -> Answer:
    """An error with GitHub's JSON body."""
    return Answer(status, {"message": text, "documentation_url": DOCS, "status": str(status)}, headers)

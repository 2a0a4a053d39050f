"""A GraphQL document with variables -> a request, and its answer -> `data`, or the error that a REST call would raise.

Source: GitHub's page "Forming calls with GraphQL". A document is a constant of ours; what differs goes into its
variables, so that nothing that people wrote is ever parsed as a query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from bot.errors import Conflict, ForgeError, NotFound
from bot.forge.client import failures
from bot.forge.client.failures import MESSAGE_LIMIT, Answer, in_doubt, parse
from bot.forge.client.transport import GRAPHQL, Request

Operation = Literal["query", "mutation"]
WORD = re.compile(r"\s*(\w+|\{)")
WHAT = f"POST {GRAPHQL}"
OPEN = re.compile(r"something went wrong|timed? ?out|temporarily", re.IGNORECASE)
"""What GitHub says when it gave up in the middle; whether a mutation took effect is open."""


def request_of(document: str, variables: Mapping[str, Any], operation: Operation) -> Request:
    """The request. Raises ValueError for a document of another operation: a reader must not hold a mutation."""
    found = WORD.match(document)
    if (found[1] if found else "").replace("{", "query") != operation:
        raise ValueError(f"not a {operation}: {document[:40]!r}")
    body = {"query": document, "variables": dict(variables)}
    return Request("POST", GRAPHQL, body=body, harmless=operation == "query")


def wait_of(answer: Answer, now: float) -> float | None:
    """Seconds for which GitHub wants silence: here it may say so with status 200, in the first error's type."""
    if answer.status == 200 and any(_type(each) == "RATE_LIMITED" for each in _errors(answer)):
        return failures.wait_of(answer._replace(status=429), now)
    return failures.wait_of(answer, now)


def data_of(answer: Answer) -> dict[str, Any]:
    """The `data` of an answer without errors. Raises NotFound, Conflict, InDoubt, ForgeError by the first error."""
    errors = _errors(answer)
    if errors:
        raise _failure(errors)
    document = parse(answer.text)
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        raise in_doubt("POST", GRAPHQL, "the answer is no GraphQL")
    return data


def part_of(answer: Answer) -> tuple[dict[str, Any], bool]:
    """The same where fields that the token may not see are null, and whether there are any. Raises for the rest."""
    errors = _errors(answer)
    document = parse(answer.text) if errors else None
    data = document.get("data") if isinstance(document, dict) else None
    if isinstance(data, dict) and _holds(data) and all(_type(each) == "FORBIDDEN" for each in errors):
        return data, True
    return data_of(answer), False


def _holds(data: object) -> bool:
    """Whether anything is left in it but nulls."""
    return any(_holds(each) for each in data.values()) if isinstance(data, dict) else data is not None


def _errors(answer: Answer) -> list[Any]:
    # Most answers have none and are large: they are parsed once, for their data.
    document = parse(answer.text) if '"errors"' in answer.text else None
    errors = document.get("errors") if isinstance(document, dict) else None
    return errors if isinstance(errors, list) else []


def _type(error: object) -> str:
    return str(error.get("type") or "") if isinstance(error, dict) else ""


def _failure(errors: list[Any]) -> ForgeError:
    said = "; ".join(str(each.get("message", "")) if isinstance(each, dict) else str(each) for each in errors)
    said = said[:MESSAGE_LIMIT] or "no message"
    match next((_type(each) for each in errors if _type(each)), ""):
        case "NOT_FOUND":
            hint = "check the name, and that the token may see it"
            return NotFound("not_found", f"not there, or not visible to the token: {WHAT}: {said}", hint=hint)
        case "FORBIDDEN" | "INSUFFICIENT_SCOPES":
            hint = "the token lacks a permission for this: see `permissions:` in the workflow, or the token's scopes"
            return ForgeError("forbidden", f"GitHub refuses: {WHAT}: {said}", hint=hint)
        case "UNPROCESSABLE" | "STALE_DATA":
            hint = "the object is not in the state that the request expects"
            return Conflict("rejected", f"GitHub rejects {WHAT}: {said}", hint=hint)
        case "SERVICE_UNAVAILABLE" | "INTERNAL":
            return in_doubt("POST", GRAPHQL, said)
        case "" if OPEN.search(said):
            return in_doubt("POST", GRAPHQL, said)
        case _:
            return ForgeError(
                "query_rejected", f"GitHub rejects {WHAT}: {said}", hint="is the server of a later version?"
            )

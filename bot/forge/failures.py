"""An answer of GitHub's API that is no success -> one error of ours, with what to do about it.

Sources: GitHub's pages "Troubleshooting the REST API" and "Rate limits for the REST API".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from bot.errors import Conflict, ForgeError, NotFound
from bot.forge.events_shapes import clean

MESSAGE_LIMIT = 500
SECONDARY_WAIT = 60.0
"""Seconds to wait after a secondary limit that names no time, as GitHub's page asks."""

CREDENTIAL_HINT = "check that the token is set, has not expired and belongs to this server"
PULLS_HINT = "allow it under Settings -> Actions -> General -> Workflow permissions, or give the bot a token of its own"


class Answer(NamedTuple):
    """One answer: headers with lower-case names, body as text."""

    status: int
    headers: Mapping[str, str]
    text: str
    cut: bool = False
    """Whether the text ends where the caller's limit was."""


class InDoubt(ForgeError):
    """No answer, or one that leaves open whether the request took effect: read back before asking again."""


def in_doubt(method: str, path: str, why: str) -> InDoubt:
    """The error for a request whose end is unknown."""
    return InDoubt(
        "unreachable", f"GitHub did not answer {method} {path}: {why}", hint="try again later; see GitHub's status page"
    )


def wait_of(answer: Answer, now: float) -> float | None:
    """Seconds for which GitHub wants silence, None when the answer is no rate limit."""
    if answer.status not in (403, 429):
        return None
    after = answer.headers.get("retry-after", "")
    if after:
        return float(after) if after.isdecimal() else SECONDARY_WAIT
    if answer.headers.get("x-ratelimit-remaining") == "0":
        reset = answer.headers.get("x-ratelimit-reset", "")
        return max(float(reset) - now, 0.0) + 1.0 if reset.isdecimal() else SECONDARY_WAIT
    limited = answer.status == 429 or "secondary rate limit" in answer.text.lower()
    return SECONDARY_WAIT if limited else None


def rate_limited(seconds: float) -> ForgeError:
    """The error for a wait that is longer than we are ready to wait."""
    return ForgeError(
        "rate_limited",
        f"GitHub's rate limit is used up; it asks to wait {seconds:.0f} s",
        hint="run it again after that time, or give the bot a token of its own",
    )


def failure_of(answer: Answer, method: str, path: str) -> ForgeError:
    """The error for a status that is no success; 5xx and rate limits are dealt with before."""
    said = message_of(answer.text)
    what = f"{method} {path}: {said or 'no message'} (HTTP {answer.status})"
    match answer.status:
        case 401:
            return ForgeError("unauthorized", f"GitHub does not accept the token: {what}", hint=CREDENTIAL_HINT)
        case 403 if "not permitted to create or approve pull requests" in said:
            return ForgeError("pull_requests_not_permitted", f"GitHub refuses: {what}", hint=PULLS_HINT)
        case 403 if "is locked" in said:
            return ForgeError("locked", f"the conversation is locked: {what}", hint="unlock it and start again")
        case 403 if "archived" in said:
            return ForgeError("archived", f"the repository is read-only: {what}", hint="unarchive it and start again")
        case 403 | 451:
            return ForgeError("forbidden", f"GitHub refuses: {what}", hint=_permission_hint(answer))
        case 404:
            hint = "check the name, and that the token may see it"
            return NotFound("not_found", f"not there, or not visible to the token: {what}", hint=hint)
        case 410:
            return NotFound("gone", f"no longer there: {what}", hint="it was deleted or switched off")
        case 409 | 422:
            hint = "the object is not in the state that the request expects"
            return Conflict("rejected", f"GitHub rejects {what}", hint=hint)
        case status if 300 <= status < 400:
            return moved(method, path)
        case status:
            return ForgeError(f"http_{status}", f"unexpected answer to {what}", hint="see GitHub's REST documentation")


def moved(method: str, path: str) -> ForgeError:
    """The error for a redirect that is not followed."""
    return ForgeError(
        "moved",
        f"GitHub redirects {method} {path}, which is not followed",
        hint="the repository or issue was renamed or transferred: use its present name",
    )


def message_of(text: str) -> str:
    """GitHub's `message` with the entries of `errors`, cut; empty when the body is something else."""
    data = parse(text)
    if not isinstance(data, dict):
        return ""
    errors = data.get("errors")
    parts = [str(data.get("message", "")), *(_entry(each) for each in (errors if isinstance(errors, list) else []))]
    return "; ".join(part for part in parts if part)[:MESSAGE_LIMIT]


def parse(text: str) -> Any:
    """JSON as values whose texts can be stored and sent; None when it is not JSON."""
    try:
        data = json.loads(text)
        return _clean(data) if "\\u" in text else data
    except (ValueError, RecursionError):
        return None


def _clean(data: Any) -> Any:
    if isinstance(data, list):
        return [_clean(each) for each in data]
    if isinstance(data, dict):
        return {clean(name): _clean(value) for name, value in data.items()}
    return clean(data)


def _entry(error: object) -> str:
    if not isinstance(error, dict):
        return str(error)
    where = ".".join(str(error[name]) for name in ("resource", "field") if error.get(name))
    return " ".join(part for part in (where, str(error.get("message") or error.get("code") or "")) if part)


def _permission_hint(answer: Answer) -> str:
    needed = answer.headers.get("x-accepted-github-permissions", "")
    if needed:
        return f"the token needs the permission {needed}"
    return "the token lacks a permission for this: see `permissions:` in the workflow, or the token's scopes"

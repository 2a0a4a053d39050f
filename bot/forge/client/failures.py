"""An answer of GitHub's API that is no success -> one error of ours, with what to do about it.

Sources: GitHub's pages "Troubleshooting the REST API" and "Rate limits for the REST API".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from bot.errors import Conflict, ForgeError, NotFound
from bot.forge.events.payloads import clean

MESSAGE_LIMIT = 500
SECONDARY_WAIT = 60.0
"""Seconds to wait after a secondary limit that names no time, as GitHub's page asks."""

TOO_QUICKLY = "was submitted too quickly"
"""The limit for comments and reviews, which GitHub puts as a mistake of the caller's."""

NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")

CREDENTIAL_HINT = "check that the token is set, has not expired and belongs to this server"
PULLS_HINT = "allow it under Settings -> Actions -> General -> Workflow permissions, or give the bot a token of its own"

SSO_HINT = "authorise the token for the organisation (Settings -> Developer settings -> the token -> Configure SSO)"
BLOCKED_HINT = "GitHub or a notice of takedown blocked it; its owner finds the reason on its page"
REASONS = (
    ("not permitted to create or approve pull requests", "pull_requests_not_permitted", "GitHub refuses", PULLS_HINT),
    ("is locked", "locked", "the conversation is locked", "unlock it and start again"),
    ("archived", "archived", "the repository is read-only", "unarchive it and start again"),
    ("suspended", "suspended", "the account or installation is suspended", "its owner can lift that, or GitHub"),
    ("ip allow list", "ip_denied", "the organisation does not accept this address", "add it to the IP allow list"),
    ("access blocked", "unavailable", "the repository is blocked", BLOCKED_HINT),
    ("has been disabled", "unavailable", "the repository is disabled", BLOCKED_HINT),
)
"""Words of a refusal, in lower case -> code, reason, what to do."""


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
    """Seconds for which GitHub wants silence, None when the answer is no rate limit. `now`: seconds since 1970."""
    if answer.status == 422 and TOO_QUICKLY in answer.text:
        return SECONDARY_WAIT
    if answer.status not in (403, 429):
        return None
    if after := answer.headers.get("retry-after", ""):
        return seconds_of(after, now)
    if answer.headers.get("x-ratelimit-remaining") == "0":
        reset = number_of(answer.headers.get("x-ratelimit-reset", ""))
        return SECONDARY_WAIT if reset is None else max(reset - now, 0.0) + 1.0
    said = answer.text.lower()
    limited = answer.status == 429 or "secondary rate limit" in said or "abuse detection" in said
    return SECONDARY_WAIT if limited else None


def seconds_of(after: str, now: float) -> float:
    """`Retry-After`: seconds or a date (RFC 9110, 10.2.3); what is neither means a minute."""
    seconds = number_of(after)
    if seconds is not None:
        return seconds
    try:
        return max(parsedate_to_datetime(after).timestamp() - now, 0.0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return SECONDARY_WAIT


def number_of(text: str) -> float | None:
    """A number of a header, None for anything else; some servers write them with a fraction."""
    return float(text) if NUMBER.fullmatch(text.strip()) else None


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
        case 403 | 451:
            return _refused(answer, said, what)
        case 404:
            hint = "check the name, and that the token may see it"
            return NotFound("not_found", f"not there, or not visible to the token: {what}", hint=hint)
        case 410:
            return NotFound("gone", f"no longer there: {what}", hint="it was deleted or switched off")
        case 409 | 422:
            hint = "the object is not in the state that the request expects"
            return Conflict("rejected", f"GitHub rejects {what}", hint=hint)
        case status if 300 <= status < 400 and status != 304:
            return moved(method, path)
        case status:
            return ForgeError(f"http_{status}", f"unexpected answer to {what}", hint="see GitHub's REST documentation")


def _refused(answer: Answer, said: str, what: str) -> ForgeError:
    """A refusal by the reason that people can mend."""
    if answer.status == 403 and "x-github-sso" in answer.headers:
        return ForgeError("sso_required", f"the organisation asks for single sign-on: {what}", hint=SSO_HINT)
    for words, code, why, hint in REASONS:
        if words in said.lower():
            return ForgeError(code, f"{why}: {what}", hint=hint)
    if answer.status == 451:
        return ForgeError("unavailable", f"withheld for legal reasons: {what}", hint=BLOCKED_HINT)
    return ForgeError("forbidden", f"GitHub refuses: {what}", hint=_permission_hint(answer))


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

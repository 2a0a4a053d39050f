"""A webhook's name and payload -> an Event. Sans-I/O; with its siblings `events_*` the only place that knows payloads.

An event's id is the same for every delivery of one happening, on every machine, and differs from all others. A job of
an Action knows no delivery id and a redelivery repeats one, so it is made of what the payload says:

    issues, pull_request       name, action, number, the subject's updated_at, and the label, who was assigned or asked
                               for a review, the head's SHA
    comments, reviews          name, action, the comment's or review's id; for edits and deletions when that was, too
    workflow_dispatch,         the delivery: GITHUB_RUN_ID of the job, X-GitHub-Delivery of a webhook
    repository_dispatch,
    schedule
    workflow_run of a fork     the run's id and attempt, and the head's SHA
    checks that failed         `failed` and the head's SHA: check_suite and workflow_run of all that failed on one
                               commit are one happening, so one run follows
    everything else            the delivery, or a digest of the payload
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bot.errors import EventError
from bot.forge.events import machines, people
from bot.forge.events.machines import INPUTS
from bot.forge.events.payloads import Account, Envelope, Installation, RepositoryShape, clean
from bot.forge.events.people import OPENED, Reading
from bot.settings import Settings
from bot.types.event import Actor, Event, Failed, Other, Repository

__all__ = ["INPUTS", "MAX_BYTES", "PARSERS", "load_payload", "parse_event"]

MAX_BYTES = 25 * 1024 * 1024
"""GitHub's own cap for a payload, in bytes (page "Webhook events and payloads")."""

NOBODY = Actor(login="unknown", id=0)
NOWHERE = Repository(full_name="unknown/unknown", default_branch="")
"""Stand-ins for events of organizations and installations, which the bot does not act on."""
WORKFLOW = Actor(login="github-actions[bot]", id=41898282, type="Bot")
"""Who acts in an event that nobody sent: the repository's own workflow."""

Part = TypeVar("Part", bound=BaseModel)
Parser = Callable[[dict[str, Any], Settings, str], Reading]


def load_payload(data: bytes) -> Mapping[str, Any]:
    """A payload's bytes as an object. Raises EventError `payload_too_large` and `payload_invalid`."""
    if len(data) > MAX_BYTES:
        raise EventError("payload_too_large", f"the payload has {len(data)} bytes, GitHub sends {MAX_BYTES} at most")
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"the payload is not JSON: {type(error).__name__}") from None
    if not isinstance(payload, dict):
        raise _invalid("the payload is not a JSON object")
    return payload


def parse_event(
    name: str, payload: Mapping[str, Any], *, settings: Settings, delivery: str = "", attempt: int = 1
) -> Event:
    """The event that a delivery describes; one that the bot does not act on has the trigger `other`.

    `delivery` identifies a dispatch or a schedule (see the table above), `attempt` is GITHUB_RUN_ATTEMPT.
    Raises EventError `payload_invalid` when a payload lacks what GitHub says it has.
    """
    if not isinstance(payload, Mapping):
        raise _invalid("the payload is not a JSON object")
    name, delivery = clean(name), clean(delivery)
    action = clean(payload.get("action"))
    action = action if isinstance(action, str) else ""
    parser = PARSERS.get((name, action)) or PARSERS.get((name, "*"))
    try:
        if parser is None:
            return _other(name, action, payload, delivery, attempt, f"the bot does not act on {name} {action}".strip())
        reading = parser(dict(payload), settings, delivery)
        return _event(name, action, payload, reading, attempt)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _invalid(f"{name}: {where}: {first['msg']}") from None


def _event(name: str, action: str, payload: Mapping[str, Any], reading: Reading, attempt: int) -> Event:
    sender = {"sender": WORKFLOW.model_dump()} if name == "schedule" else {}
    envelope = Envelope.model_validate({**payload, **sender})
    parts = ("failed", reading.identity) if isinstance(reading.trigger, Failed) else (name, action, reading.identity)
    return Event(
        id=":".join(part for part in parts if part),
        name=name,
        action=action,
        repository=envelope.repository.value(),
        actor=envelope.sender.value(),
        subject=reading.subject,
        trigger=reading.trigger,
        attempt=max(1, attempt),
        installation=envelope.installation.id if envelope.installation else None,
    )


def _invalid(message: str) -> EventError:
    return EventError(
        "payload_invalid", message, hint="pass a payload as GitHub sends it, under the name of its own event"
    )


def _other(name: str, action: str, payload: Mapping[str, Any], delivery: str, attempt: int, reason: str) -> Event:
    repository = _part(RepositoryShape, payload.get("repository"))
    sender = _part(Account, payload.get("sender"))
    installation = _part(Installation, payload.get("installation"))
    return Event(
        id=":".join(part for part in (name, action, delivery or machines.digest(payload)) if part),
        name=name,
        action=action,
        repository=repository.value() if repository else NOWHERE,
        actor=sender.value() if sender else NOBODY,
        trigger=Other(reason=reason),
        attempt=max(1, attempt),
        installation=installation.id if installation else None,
    )


def _part(shape: type[Part], value: Any) -> Part | None:
    """A part of a payload that may be missing or different where the bot does not act on it."""
    try:
        return shape.model_validate(value)
    except ValidationError:
        return None


PARSERS: Mapping[tuple[str, str], Parser] = {
    ("issues", "labeled"): people.issue_labeled,
    ("issues", "assigned"): people.issue_assigned,
    **{("issues", action): people.issue_opened for action in ("opened", "reopened", "edited")},
    **{(name, "labeled"): people.pull_labeled for name in ("pull_request", "pull_request_target")},
    **{(name, "review_requested"): people.review_requested for name in ("pull_request", "pull_request_target")},
    **{(name, action): people.pull_opened for name in ("pull_request", "pull_request_target") for action in OPENED},
    **{("issue_comment", action): people.issue_commented for action in ("created", "edited", "deleted")},
    **{("pull_request_review_comment", action): people.review_commented for action in ("created", "edited", "deleted")},
    **{("pull_request_review", action): people.review_submitted for action in ("submitted", "edited")},
    ("workflow_dispatch", "*"): machines.workflow_dispatched,
    ("repository_dispatch", "*"): machines.repository_dispatched,
    ("schedule", "*"): machines.scheduled,
    ("workflow_run", "completed"): machines.workflow_ended,
    ("check_suite", "completed"): machines.suite_ended,
}
"""GitHub's event name and action -> what reads it. All else is `other`."""

"""A webhook's name and payload -> an Event. Sans-I/O, and the only place that looks into payloads.

An event's id is the same for every delivery of one happening, on every machine, and differs from all others. A job of
an Action knows no delivery id and a redelivery repeats one, so it is made of what the payload says:

    issues, pull_request       name, action, number, the subject's updated_at, and the label or the head's SHA
    comments                   name, action, the comment's id; for edits and deletions its updated_at too
    workflow_dispatch          the delivery: GITHUB_RUN_ID of the job, X-GitHub-Delivery of a webhook
    workflow_run               the run's id and attempt, and the head's SHA
    everything else            the delivery, or a digest of the payload
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bot.errors import EventError
from bot.forge.commands import find_command
from bot.forge.events_shapes import (
    Account,
    DispatchPayload,
    Envelope,
    Installation,
    IssueCommentPayload,
    IssuesPayload,
    PullPayload,
    RepositoryShape,
    ReviewCommentPayload,
    WorkflowRunPayload,
    clean,
)
from bot.settings import Settings
from bot.types.event import (
    Actor,
    Commented,
    Dispatched,
    Event,
    Labeled,
    Opened,
    Other,
    Repository,
    Revision,
    Subject,
    Trigger,
    Upstream,
)
from bot.types.task import OPTIONS
from bot.types.value import CommentKind

MAX_BYTES = 25 * 1024 * 1024
"""GitHub's own cap for a payload, in bytes (page "Webhook events and payloads")."""

OPENED = ("opened", "reopened", "edited", "synchronize", "ready_for_review")
INPUTS = ("task", "number", "ref", "prompt")

NOBODY = Actor(login="unknown", id=0)
NOWHERE = Repository(full_name="unknown/unknown", default_branch="")
"""Stand-ins for events of organizations and installations, which the bot does not act on."""

Part = TypeVar("Part", bound=BaseModel)
Parsed = tuple[str, Subject | None, Trigger]
"""The identity within the event's name and action, the subject, and the trigger."""


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

    `delivery` identifies a workflow_dispatch (see the table above), `attempt` is GITHUB_RUN_ATTEMPT.
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
        envelope = Envelope.model_validate(dict(payload))
        identity, subject, trigger = parser(dict(payload), settings, delivery)
        return Event(
            id=":".join(part for part in (name, action, identity) if part),
            name=name,
            action=action,
            repository=envelope.repository.value(),
            actor=envelope.sender.value(),
            subject=subject,
            trigger=trigger,
            attempt=max(1, attempt),
            installation=envelope.installation.id if envelope.installation else None,
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _invalid(f"{name}: {where}: {first['msg']}") from None


def _invalid(message: str) -> EventError:
    return EventError(
        "payload_invalid", message, hint="pass a payload as GitHub sends it, under the name of its own event"
    )


def _other(name: str, action: str, payload: Mapping[str, Any], delivery: str, attempt: int, reason: str) -> Event:
    repository = _part(RepositoryShape, payload.get("repository"))
    sender = _part(Account, payload.get("sender"))
    installation = _part(Installation, payload.get("installation"))
    return Event(
        id=":".join(part for part in (name, action, delivery or _digest(payload)) if part),
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


def _digest(payload: Any) -> str:
    try:
        text = json.dumps(payload, sort_keys=True, default=repr)
    except (ValueError, TypeError, RecursionError):
        text = ""  # nested too deep to be GitHub's, and nothing is done with it
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _task_of(label: str, prefix: str) -> str | None:
    """GitHub's labels keep their case but don't differ by it."""
    if not label.casefold().startswith(prefix.casefold()):
        return None
    return label[len(prefix) :].strip().lower() or None


def _labeled(subject: Subject, label: str, settings: Settings) -> Parsed:
    trigger = Labeled(label=label, task=_task_of(label, settings.label_prefix))
    return f"{subject.number}:{subject.updated_at}:{label}", subject, trigger


def _issue_labeled(payload: dict[str, Any], settings: Settings, delivery: str) -> Parsed:
    shape = IssuesPayload.model_validate(payload)
    return _labeled(shape.issue.value(), shape.label.name if shape.label else "", settings)


def _pull_labeled(payload: dict[str, Any], settings: Settings, delivery: str) -> Parsed:
    shape = PullPayload.model_validate(payload)
    return _labeled(shape.pull_request.value(), shape.label.name if shape.label else "", settings)


def _issue_opened(payload: dict[str, Any], settings: Settings, delivery: str) -> Parsed:
    shape = IssuesPayload.model_validate(payload)
    subject = shape.issue.value()
    return f"{subject.number}:{subject.updated_at}", subject, Opened(action=shape.action)


def _pull_opened(payload: dict[str, Any], settings: Settings, delivery: str) -> Parsed:
    shape = PullPayload.model_validate(payload)
    subject = shape.pull_request.value()
    identity = f"{subject.number}:{subject.updated_at}:{shape.pull_request.head.sha}"
    return identity, subject, Opened(action=shape.action)


def _commented(
    shape: IssueCommentPayload | ReviewCommentPayload, kind: CommentKind, subject: Subject, settings: Settings
) -> Parsed:
    comment = shape.comment.value(kind)
    new = shape.action == "created"
    trigger = Commented(
        comment=comment,
        command=None if shape.action == "deleted" else find_command(comment.body, settings.phrase),
        edited=shape.action == "edited",
    )
    return str(comment.id) if new else f"{comment.id}:{comment.updated_at}", subject, trigger


def _issue_commented(payload: dict[str, Any], settings: Settings, delivery: str) -> Parsed:
    shape = IssueCommentPayload.model_validate(payload)
    return _commented(shape, "issue", shape.issue.value(), settings)


def _review_commented(payload: dict[str, Any], settings: Settings, delivery: str) -> Parsed:
    shape = ReviewCommentPayload.model_validate(payload)
    return _commented(shape, "review", shape.pull_request.value(), settings)


def _dispatched(payload: dict[str, Any], settings: Settings, delivery: str) -> Parsed:
    inputs = DispatchPayload.model_validate(payload).inputs or {}
    identity = delivery or _digest(payload)
    unknown = sorted(set(inputs) - {*INPUTS, *OPTIONS})
    if unknown:
        known = ", ".join((*INPUTS, *OPTIONS))
        return identity, None, Other(reason=f"the workflow has inputs that are not the bot's; those are {known}")
    words = {key: _input(key, value) for key, value in inputs.items()}
    if not words.get("task"):
        return identity, None, Other(reason="the workflow was started without the input `task`")
    trigger = Dispatched(
        task=words["task"].lower(),
        prompt=words.get("prompt", ""),
        number=_issue_number(words.get("number", "")),
        ref=words.get("ref", "").removeprefix("refs/heads/") or None,
        options={key: words[key] for key in OPTIONS if words.get(key)},
    )
    return identity, None, trigger


def _input(key: str, value: Any) -> str:
    """Inputs arrive as text from the API, and as their own type from a job's event file."""
    if value is None:
        return ""
    if isinstance(value, bool | list | dict) or not isinstance(value, str | int | float):
        raise EventError("input_invalid", f"input `{key}` is neither text nor a number", hint="mend the workflow")
    try:
        return str(clean(str(value))).strip()
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        raise EventError("input_invalid", f"input `{key}` is too large", hint="mend the workflow") from None


def _issue_number(text: str) -> int | None:
    text = text.removeprefix("#")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text) >= 1):
        hint = "give the number of an issue or a pull request, for instance 12"
        raise EventError("input_invalid", "input `number` is not a number", hint=hint)
    return int(text)


def _upstream(payload: dict[str, Any], settings: Settings, delivery: str) -> Parsed:
    shape = WorkflowRunPayload.model_validate(payload)
    run, home = shape.workflow_run, shape.repository.full_name
    identity = f"{run.id}:{run.run_attempt}:{run.head_sha}"
    fork = run.head_repository.full_name if run.head_repository else ""
    if run.event != "pull_request" or not run.head_branch or fork.lower() in ("", home.lower()):
        return identity, None, Other(reason="the workflow did not run for the pull request of a fork")
    head = Revision(ref=run.head_branch, sha=run.head_sha)
    return identity, None, Upstream(workflow=run.name, head=head, head_repository=fork)


PARSERS: Mapping[tuple[str, str], Callable[[dict[str, Any], Settings, str], Parsed]] = {
    ("issues", "labeled"): _issue_labeled,
    **{("issues", action): _issue_opened for action in ("opened", "reopened", "edited")},
    **{(name, "labeled"): _pull_labeled for name in ("pull_request", "pull_request_target")},
    **{(name, action): _pull_opened for name in ("pull_request", "pull_request_target") for action in OPENED},
    **{("issue_comment", action): _issue_commented for action in ("created", "edited", "deleted")},
    **{("pull_request_review_comment", action): _review_commented for action in ("created", "edited", "deleted")},
    ("workflow_dispatch", "*"): _dispatched,
    ("workflow_run", "completed"): _upstream,
}
"""GitHub's event name and action -> what reads it. All else is `other`."""

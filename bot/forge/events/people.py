"""What people did to issues and pull requests (labels, words, assignments) -> identity, subject and trigger."""

from dataclasses import dataclass
from typing import Any

from bot.forge.events.commands import find_command
from bot.forge.events.payloads import (
    IssueCommentPayload,
    IssuesPayload,
    PullPayload,
    ReviewCommentPayload,
    ReviewPayload,
)
from bot.settings import Settings
from bot.types.event import Comment, Commented, Labeled, Opened, Other, Subject, Summoned, Trigger

OPENED = ("opened", "reopened", "edited", "synchronize", "ready_for_review")


@dataclass(frozen=True)
class Reading:
    """What a payload says."""

    identity: str
    """What tells this happening from others of the same event name and action."""
    subject: Subject | None
    """The issue or pull request."""
    trigger: Trigger
    """What happened."""


def issue_labeled(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    shape = IssuesPayload.model_validate(payload)
    return _labeled(shape.issue.value(), shape.label.name if shape.label else "", settings)


def pull_labeled(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    shape = PullPayload.model_validate(payload)
    return _labeled(shape.pull_request.value(), shape.label.name if shape.label else "", settings)


def issue_opened(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    shape = IssuesPayload.model_validate(payload)
    subject = shape.issue.value()
    return Reading(_at(subject), subject, Opened(action=shape.action))


def pull_opened(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    shape = PullPayload.model_validate(payload)
    subject = shape.pull_request.value()
    return Reading(f"{_at(subject)}:{shape.pull_request.head.sha}", subject, Opened(action=shape.action))


def issue_assigned(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    shape = IssuesPayload.model_validate(payload)
    subject = shape.issue.value()
    if shape.assignee is None:
        return Reading(_at(subject), subject, Other(reason="the account that was assigned does not exist any more"))
    trigger = Summoned(moment="assigned", who=shape.assignee.value())
    return Reading(f"{_at(subject)}:{shape.assignee.id}", subject, trigger)


def review_requested(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    shape = PullPayload.model_validate(payload)
    subject = shape.pull_request.value()
    identity = f"{_at(subject)}:{shape.pull_request.head.sha}"
    if shape.requested_reviewer is None:
        whom = "a team" if shape.requested_team is not None else "nobody"
        return Reading(identity, subject, Other(reason=f"the review was requested from {whom}, not from an account"))
    trigger = Summoned(moment="review_requested", who=shape.requested_reviewer.value())
    return Reading(f"{identity}:{shape.requested_reviewer.id}", subject, trigger)


def issue_commented(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    shape = IssueCommentPayload.model_validate(payload)
    return _commented(shape.action, shape.comment.value("issue"), shape.issue.value(), settings)


def review_commented(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    shape = ReviewCommentPayload.model_validate(payload)
    return _commented(shape.action, shape.comment.value("review"), shape.pull_request.value(), settings)


def review_submitted(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    """The words above a review; the comments on lines below it are events of their own."""
    shape = ReviewPayload.model_validate(payload)
    return _commented(shape.action, shape.review.value(), shape.pull_request.value(), settings)


def _at(subject: Subject) -> str:
    return f"{subject.number}:{subject.updated_at}"


def _labeled(subject: Subject, label: str, settings: Settings) -> Reading:
    trigger = Labeled(label=label, task=_task_of(label, settings.label_prefix))
    return Reading(f"{_at(subject)}:{label}", subject, trigger)


def _task_of(label: str, prefix: str) -> str | None:
    """GitHub's labels keep their case but don't differ by it."""
    if not label.casefold().startswith(prefix.casefold()):
        return None
    return label[len(prefix) :].strip().lower() or None


def _commented(action: str, comment: Comment, subject: Subject, settings: Settings) -> Reading:
    deleted = action == "deleted"
    trigger = Commented(
        comment=comment,
        command=None if deleted else find_command(comment.body, settings.phrase, settings.mention),
        edited=action == "edited",
    )
    identity = str(comment.id)
    if action not in ("created", "submitted"):
        # An edited review may tell no time of its own; the pull request's is new then.
        changed = subject.updated_at if comment.kind == "verdict" else comment.updated_at
        identity = f"{comment.id}:{changed}"
    return Reading(identity, subject, trigger)

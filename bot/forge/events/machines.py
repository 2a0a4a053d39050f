"""What programs and clocks did (dispatches, schedules, checks that ended) -> identity, subject and trigger."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from bot.errors import EventError
from bot.forge.events.payloads import (
    CheckedCommit,
    CheckSuitePayload,
    DispatchPayload,
    RepositoryDispatchPayload,
    SchedulePayload,
    WorkflowRunPayload,
    clean,
)
from bot.forge.events.people import Reading
from bot.marks import RUN_TRAILER, UNDO_TRAILER
from bot.settings import Settings
from bot.types.event import Dispatched, Failed, Other, Revision, Scheduled, Trigger, Upstream
from bot.types.task import OPTIONS

INPUTS = ("task", "number", "ref", "prompt")
FAILURES = ("failure", "timed_out")
"""Conclusions of checks that somebody could mend by a commit; `cancelled` and `action_required` are people's doing."""
OWN_WORKFLOW = re.compile(r"\.github/workflows/sandpiper(?:-[a-z-]+)?\.yml(?:@.*)?")
_TRAILER = re.compile(rf"^(?:{RUN_TRAILER}|{UNDO_TRAILER}): [0-9a-f]{{16}}\s*$", re.MULTILINE)


def digest(payload: Any) -> str:
    """An identity for what has no other."""
    try:
        text = json.dumps(payload, sort_keys=True, default=repr)
    except (ValueError, TypeError, RecursionError):
        text = ""  # nested too deep to be GitHub's, and nothing is done with it
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# --- asked by a program -----------------------------------------------------------------------------------------


def workflow_dispatched(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    inputs = DispatchPayload.model_validate(payload).inputs or {}
    return Reading(delivery or digest(payload), None, _dispatched(inputs, "the workflow"))


def repository_dispatched(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    """`client_payload` holds what a workflow's inputs do; overrides may also stand in an object `options` of their own.

    The event's type is whatever the caller likes: workflows choose by it, and a webhook brings all of them.
    """
    given = dict(RepositoryDispatchPayload.model_validate(payload).client_payload or {})
    nested = given.pop("options", None)
    options = {} if nested is None else nested
    identity = delivery or digest(payload)
    if not isinstance(options, dict):
        return Reading(identity, None, Other(reason="`options` in `client_payload` is no object"))
    trigger = _dispatched(given, "`client_payload`")
    if isinstance(trigger, Dispatched) and options:
        words = {str(clean(key)): _input(str(clean(key)), value) for key, value in options.items()}
        trigger = trigger.changed(options={**trigger.options, **words})
    return Reading(identity, None, trigger)


def _dispatched(inputs: Mapping[str, Any], where: str) -> Trigger:
    unknown = sorted(set(inputs) - {*INPUTS, *OPTIONS})
    if unknown:
        known = ", ".join((*INPUTS, *OPTIONS))
        return Other(reason=f"{where} has inputs that are not the bot's; those are {known}")
    words = {key: _input(key, value) for key, value in inputs.items()}
    if not words.get("task"):
        return Other(reason=f"{where} was started without the input `task`")
    return Dispatched(
        task=words["task"].lower(),
        prompt=words.get("prompt", ""),
        number=_issue_number(words.get("number", "")),
        ref=words.get("ref", "").removeprefix("refs/heads/") or None,
        options={key: words[key] for key in OPTIONS if words.get(key)},
    )


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


# --- by itself --------------------------------------------------------------------------------------------------


def scheduled(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    """The workflow's own clock. Two lines of one workflow that come due at once are two runs of it."""
    shape = SchedulePayload.model_validate(payload)
    return Reading(delivery or digest(payload), None, Scheduled(cron=shape.schedule))


def workflow_ended(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    """A workflow ended: for a fork's pull request, or with a failure in this repository."""
    shape = WorkflowRunPayload.model_validate(payload)
    run, home = shape.workflow_run, shape.repository.full_name
    identity = f"{run.id}:{run.run_attempt}:{run.head_sha}"
    origin = run.head_repository.full_name if run.head_repository else ""
    if origin.lower() == home.lower():
        if OWN_WORKFLOW.fullmatch(run.path):
            return Reading(identity, None, Other(reason="the workflow that ended is the bot's own"))
        return _checked(identity, run, run.name)
    if run.event != "pull_request" or not run.head_branch or not origin:
        return Reading(identity, None, Other(reason="the workflow did not run for the pull request of a fork"))
    head = Revision(ref=run.head_branch, sha=run.head_sha)
    return Reading(identity, None, Upstream(workflow=run.name, head=head, head_repository=origin))


def suite_ended(payload: dict[str, Any], settings: Settings, delivery: str) -> Reading:
    """All checks of one App on one commit ended. For a fork's branch GitHub gives no branch here."""
    suite = CheckSuitePayload.model_validate(payload).check_suite
    return _checked(f"{suite.id}:{delivery or digest(payload)}", suite, suite.app.name if suite.app else "")


def _checked(identity: str, ended: CheckedCommit, check: str) -> Reading:
    """However many checks of a commit fail, under either event's name, they are one happening: the commit is bad."""
    if ended.conclusion not in FAILURES:
        return Reading(identity, None, Other(reason="the checks did not fail"))
    if not ended.head_branch:
        return Reading(identity, None, Other(reason="the checks are of no branch of this repository"))
    if ended.head_commit is not None and _TRAILER.search(ended.head_commit.message):
        # Whatever the reason and whoever starts the checks again: a bot that mends its own commits may never end.
        reason = f"the bot made commit {ended.head_sha[:12]} itself; a person may ask for another attempt"
        return Reading(identity, None, Other(reason=reason))
    head = Revision(ref=ended.head_branch, sha=ended.head_sha)
    return Reading(ended.head_sha, None, Failed(check=check, head=head))

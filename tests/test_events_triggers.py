"""Summons, reviews, checks that failed, dispatches and clocks -> events: what they are, and when two are one."""

from typing import Any

import pytest

from bot.action_runner import with_place
from bot.errors import EventError
from bot.forge.events.parsing import parse_event
from bot.settings import Settings
from bot.types.event import Actor, Commented, Dispatched, Failed, Other, Revision, Scheduled, Summoned
from bot.types.run import run_id_of
from tests.triage_fixtures import (
    ASKED,
    HEAD,
    MOVED,
    SETTINGS,
    account,
    at_home,
    check_suite,
    comment_payload,
    envelope,
    issue,
    pull,
    repository_dispatch,
    verdict,
)


def test_all_that_fails_on_one_commit_is_one_happening() -> None:
    events = [at_home(), at_home(id=7, event="push", name="Lint"), check_suite(), check_suite(id=9, app=None)]
    assert {event.id for event in events} == {f"failed:{HEAD}"}
    assert len({run_id_of(event) for event in events}) == 1
    head = Revision(ref="topic", sha=HEAD)
    assert [event.trigger for event in events[1:]] == [
        Failed(check=name, head=head) for name in ("Lint", "Builder", "")
    ]
    assert at_home(head_sha=MOVED).id != at_home().id


@pytest.mark.parametrize(
    "message",
    [
        f"Fix it\n\nSandpiper-Run: {'a' * 16}",
        f"x\r\n\r\nSandpiper-Run: {'0' * 16}\r\nA: b",
        f"Take back what fix-ci did\n\nSandpiper-Undo: {'a' * 16}",  # somebody did not want it
    ],
)
def test_what_the_bot_committed_is_not_mended_by_itself(message: str) -> None:
    for event in (at_home(head_commit={"message": message}), check_suite(head_commit={"message": message})):
        assert isinstance(event.trigger, Other)
        assert "the bot made" in event.trigger.reason
        assert not event.id.startswith("failed")
    assert at_home(head_commit={"message": "about Sandpiper-Run: x"}).trigger.kind == "failed"


@pytest.mark.parametrize(
    "more",
    [
        {"conclusion": "success"},
        {"conclusion": "cancelled"},
        {"conclusion": "action_required"},
        {"conclusion": None},
        {"head_branch": None},
    ],
)
def test_checks_that_nobody_can_mend(more: dict[str, Any]) -> None:
    for event in (at_home(**more), check_suite(**more)):
        assert isinstance(event.trigger, Other)


def test_the_bots_own_workflow_is_no_check() -> None:
    assert at_home(path=".github/workflows/sandpiper-two-jobs.yml@main").trigger.kind == "other"
    assert at_home(path=".github/workflows/sandpipers.yml").trigger.kind == "failed"


def test_summons() -> None:
    payload = envelope("writer", action="assigned", issue=issue(), assignee=account("piper"))
    event = parse_event("issues", payload, settings=SETTINGS)
    assert event.trigger == Summoned(moment="assigned", who=Actor(login="piper", id=77))
    assert event.subject is not None
    assert event.subject.number == 7
    asked = envelope("writer", action="review_requested", pull_request=pull(), requested_reviewer=account("piper"))
    event = parse_event("pull_request", asked, settings=SETTINGS)
    assert event.trigger == Summoned(moment="review_requested", who=Actor(login="piper", id=77))
    asked.pop("requested_reviewer")
    for more in ({"requested_team": {"name": "all", "id": 4}}, {}):
        other = parse_event("pull_request", {**asked, **more}, settings=SETTINGS).trigger
        assert isinstance(other, Other)
        assert "not from an account" in other.reason
    nobody = parse_event("issues", {**payload, "assignee": None}, settings=SETTINGS)
    assert isinstance(nobody.trigger, Other)


def test_the_words_above_a_review_are_a_comment() -> None:
    event = verdict("/bot fix-ci now")
    assert isinstance(event.trigger, Commented)
    comment, command = event.trigger.comment, event.trigger.command
    assert (comment.kind, comment.commit, comment.created_at) == ("verdict", HEAD, ASKED)
    assert command is not None
    assert (command.verb, command.text, event.trigger.edited) == ("fix-ci", "now", False)
    edited = verdict("/bot fix", "edited")
    assert isinstance(edited.trigger, Commented)
    assert edited.trigger.edited
    assert edited.id != verdict("/bot fix").id
    assert verdict(None).trigger.kind == "comment"
    assert verdict("/bot fix", "dismissed").trigger.kind == "other"


def test_a_comment_on_the_diff_names_its_commit() -> None:
    payload = {**comment_payload("/bot fix"), "pull_request": pull("writer", fork=False)}
    payload["comment"]["commit_id"] = HEAD
    trigger = parse_event("pull_request_review_comment", payload, settings=SETTINGS).trigger
    assert isinstance(trigger, Commented)
    assert trigger.comment.commit == HEAD


def test_mentions_are_a_setting() -> None:
    own = Settings(mention="piper")
    for body, verb in (("@Piper explain x", "explain"), ("/bot fix", "fix"), ("@piper", "help")):
        trigger = parse_event("issue_comment", comment_payload(body), settings=own).trigger
        assert isinstance(trigger, Commented)
        assert trigger.command is not None
        assert trigger.command.verb == verb
    trigger = parse_event("issue_comment", comment_payload("@piper explain"), settings=SETTINGS).trigger
    assert isinstance(trigger, Commented)
    assert trigger.command is None


def test_repository_dispatch() -> None:
    event = repository_dispatch(
        {
            "task": "Fix",
            "number": 12,
            "ref": "topic",
            "prompt": "do it",
            "usd": 1,
            "options": {"steps": 3, "color": "x"},
        }
    )
    options = {"usd": "1", "steps": "3", "color": "x"}
    assert event.trigger == Dispatched(task="fix", number=12, ref="topic", prompt="do it", options=options)
    assert event.id == "repository_dispatch:whatever they like:51"
    for nothing in (None, {}, {"task": ""}, {"task": "fix", "colour": "red"}, {"task": "fix", "options": [1]}):
        assert isinstance(repository_dispatch(nothing).trigger, Other)
    with pytest.raises(EventError) as caught:
        repository_dispatch({"task": "fix", "number": "many"})
    assert caught.value.code == "input_invalid"


def test_a_schedule_is_the_workflows() -> None:
    payload = {key: value for key, value in envelope("writer", schedule="0 4 * * 1").items() if key != "sender"}
    event = parse_event("schedule", {**payload, "workflow": ".github/workflows/x.yml"}, settings=SETTINGS, delivery="9")
    assert event.trigger == Scheduled(cron="0 4 * * 1")
    assert (event.actor.login, event.subject, event.id) == ("github-actions[bot]", None, "schedule:9")
    same = parse_event("schedule", {**payload, "sender": account("writer")}, settings=SETTINGS, delivery="9")
    assert same.actor == event.actor, "whoever touched the workflow last asked for nothing"
    with pytest.raises(EventError):
        parse_event("schedule", {"schedule": "0 4 * * 1"}, settings=SETTINGS)


def test_a_schedule_that_names_no_repository_gets_the_jobs() -> None:
    job = {"GITHUB_EVENT_NAME": "schedule", "GITHUB_REPOSITORY": "octo/repo", "GITHUB_REF_NAME": "main"}
    filled = with_place({"schedule": "0 4 * * 1"}, {**job, "GITHUB_REPOSITORY_ID": "9"})
    event = parse_event("schedule", filled, settings=SETTINGS, delivery="9")
    assert (event.repository.full_name, event.repository.default_branch, event.repository.id) == (
        "octo/repo",
        "main",
        9,
    )
    assert with_place({"a": 1}, {**job, "GITHUB_EVENT_NAME": "push"}) == {"a": 1}
    assert with_place({"repository": {"id": 1}}, job) == {"repository": {"id": 1}}

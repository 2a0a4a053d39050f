"""Payloads -> events: real ones, small ones whose meaning is fixed, and broken ones."""

import contextlib
import copy
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import EventError
from bot.forge.events.parsing import PARSERS, load_payload, parse_event
from bot.settings import Settings
from bot.types.event import (
    Commented,
    Dispatched,
    Event,
    Labeled,
    Opened,
    Other,
    Upstream,
)
from bot.types.run import run_id_of
from tests.triage_fixtures import (
    ASKED,
    HEAD,
    LATE,
    MOVED,
    SETTINGS,
    account,
    comment_payload,
    commented,
    dispatched,
    envelope,
    issue,
    labeled,
    pull,
    pulled,
    workflow_run,
)

DATA = Path(__file__).parent / "data" / "webhook_payloads.json.gz"


def examples() -> list[tuple[str, dict[str, Any]]]:
    """GitHub's published examples, reduced by scripts/extract-webhooks, or the originals if a path to them is given."""
    if original := os.environ.get("WEBHOOK_EXAMPLES"):
        read = json.loads(Path(original).read_bytes())
        return [(each["name"], payload) for each in read for payload in each["examples"]]
    return [(each["name"], each["payload"]) for each in json.loads(gzip.decompress(DATA.read_bytes()))]


EXAMPLES = examples()
MAY_BE_NOTHING = ("workflow_dispatch", "repository_dispatch", "workflow_run", "check_suite", "pull_request", "issues")
ACTED_ON = [(name, payload) for name, payload in EXAMPLES if (name, payload.get("action")) in PARSERS]


def test_every_published_payload_becomes_an_event() -> None:
    assert len(EXAMPLES) >= 329
    for name, payload in EXAMPLES:
        event = parse_event(name, payload, settings=SETTINGS, delivery="d")
        assert Event.model_validate_json(event.model_dump_json()) == event
        known = (name, payload.get("action")) in PARSERS or (name, "*") in PARSERS
        if event.trigger.kind != "other":
            assert known
        elif known:  # what a payload says may still be nothing that the bot acts on, as checks that went well
            assert name in MAY_BE_NOTHING
        if event.trigger.kind in ("label", "comment", "opened", "summoned"):
            thing = payload.get("issue") or payload["pull_request"]
            assert event.subject is not None
            assert event.subject.number == thing["number"]
            assert event.actor.id == payload["sender"]["id"]
            assert event.repository.full_name == payload["repository"]["full_name"]
    assert len(ACTED_ON) >= 30


def test_label() -> None:
    event = labeled("Bot:Fix")
    assert event.trigger == Labeled(label="Bot:Fix", task="fix")
    assert event.subject is not None
    assert event.subject.kind == "issue"
    assert event.subject.author.login == "stranger"
    assert event.actor.login == "writer"
    for other in ("bug", "bot:", "bots:fix", "xbot:fix"):
        assert labeled(other).trigger == Labeled(label=other, task=None)


def test_prefix_and_phrase_are_settings() -> None:
    own = Settings(label_prefix="do/", phrase="@piper")
    payload = envelope("writer", action="labeled", issue=issue(), label={"name": "do/lint"})
    assert parse_event("issues", payload, settings=own).trigger == Labeled(label="do/lint", task="lint")
    trigger = parse_event("issue_comment", comment_payload("@Piper explain x"), settings=own).trigger
    assert isinstance(trigger, Commented)
    assert trigger.command is not None
    assert (trigger.command.verb, trigger.command.text) == ("explain", "x")


def test_comment_on_a_pull_request_is_about_a_pull_request() -> None:
    payload = comment_payload("/bot fix")
    payload["issue"]["pull_request"] = {"url": "https://api.github.example/pulls/7"}
    event = parse_event("issue_comment", payload, settings=SETTINGS)
    assert event.subject is not None
    assert (event.subject.kind, event.subject.pull) == ("pull_request", None)


def test_review_comment_carries_the_head() -> None:
    payload = {**comment_payload("/bot fix"), "pull_request": pull("writer", fork=False)}
    del payload["issue"]
    event = parse_event("pull_request_review_comment", payload, settings=SETTINGS)
    assert isinstance(event.trigger, Commented)
    assert event.trigger.comment.kind == "review"
    assert event.subject is not None
    assert event.subject.pull is not None
    assert event.subject.pull.head.sha == HEAD


def test_edits_and_deletions_are_told_apart() -> None:
    edited, deleted = commented("/bot fix", action="edited"), commented("/bot fix", action="deleted")
    assert isinstance(edited.trigger, Commented)
    assert edited.trigger.edited
    assert isinstance(deleted.trigger, Commented)
    assert deleted.trigger.command is None


def test_deleted_accounts_and_forks() -> None:
    payload = envelope("writer", action="synchronize", pull_request=pull())
    payload["pull_request"]["user"] = None
    payload["pull_request"]["head"]["repo"] = None
    payload["pull_request"]["body"] = None
    subject = parse_event("pull_request", payload, settings=SETTINGS).subject
    assert subject is not None
    assert subject.pull is not None
    assert (subject.author.login, subject.pull.head_repository, subject.body) == ("ghost", None, "")


def test_dispatch() -> None:
    event = dispatched(task="Fix", number="#12", ref="refs/heads/topic", prompt=" do it ", usd="1", model="")
    expected = Dispatched(task="fix", number=12, ref="topic", prompt="do it", options={"usd": "1"})
    assert event.trigger == expected
    assert dispatched(task="fix", number=12).trigger == Dispatched(task="fix", number=12)
    for inputs in ({}, {"prompt": "x"}, {"task": ""}, {"task": "fix", "colour": "red"}):
        assert isinstance(dispatched(**inputs).trigger, Other)
    for number in ("0", "-1", "1.5", "twelve", "٣", "1" * 30):
        with pytest.raises(EventError) as caught:
            dispatched(task="fix", number=number)
        assert caught.value.code == "input_invalid"
        assert caught.value.hint


def test_upstream_only_for_pull_requests_of_forks() -> None:
    for conclusion in ("success", "failure"):
        trigger = workflow_run(conclusion=conclusion).trigger
        assert isinstance(trigger, Upstream)
        assert (trigger.head.sha, trigger.head_repository) == (HEAD, "stranger/repo")
    others = ({"event": "push"}, {"head_repository": {"full_name": "Octo/Repo"}}, {"head_repository": None})
    for other in (*others, {"head_branch": None}):
        assert isinstance(workflow_run(**other).trigger, Other)


def test_identity_is_that_of_the_happening_not_of_the_delivery() -> None:
    payload = comment_payload("/bot fix")
    one = parse_event("issue_comment", payload, settings=SETTINGS, delivery="a")
    again = parse_event("issue_comment", json.loads(json.dumps(payload)), settings=SETTINGS, delivery="b", attempt=2)
    assert (one.id, run_id_of(one)) == (again.id, run_id_of(again))
    later = {"updated_at": LATE}
    different = [
        one,
        commented("/bot fix", action="edited"),
        labeled("bot:fix"),
        labeled("bot:test"),
        labeled("bot:fix", **later),
        labeled("bot:fix", number=8),
        pulled("labeled", label="bot:fix"),
        pulled("synchronize"),
        pulled("synchronize", sha=MOVED),
        workflow_run(),
        workflow_run(id=6),
        dispatched(task="fix"),
        parse_event("workflow_dispatch", envelope("writer", inputs={"task": "fix"}), settings=SETTINGS, delivery="43"),
        parse_event("push", envelope("writer", ref="a"), settings=SETTINGS),
        parse_event("push", envelope("writer", ref="b"), settings=SETTINGS),
    ]
    assert len({event.id for event in different}) == len(different)


@pytest.mark.parametrize("payload", [None, [], "text", 5, {}, {"action": "labeled"}, {"action": ["labeled"]}])
def test_what_is_no_payload(payload: Any) -> None:
    if isinstance(payload, dict) and payload.get("action") != "labeled":
        assert parse_event("issues", payload, settings=SETTINGS).trigger.kind == "other"
        return
    with pytest.raises(EventError) as caught:
        parse_event("issues", payload, settings=SETTINGS)
    assert (caught.value.code, bool(caught.value.hint)) == ("payload_invalid", True)


def test_text_that_no_store_takes_is_replaced() -> None:
    event = labeled("bot:fix\ud800", title="a\0b", body="\udfffx")
    assert event.subject is not None
    assert (event.subject.title, event.subject.body) == ("a\ufffdb", "\ufffdx")
    event.model_dump_json().encode("utf-8")
    run_id_of(event)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 200_000,
        b"9" * 10_000,
        b'{"a":' * 100_000,
        b"null",
        b" " * (25 * 1024 * 1024 + 1),
    ],
    ids=["empty", "open", "list", "not utf-8", "deep list", "huge number", "deep object", "null", "too large"],
)
def test_bytes_that_are_no_payload(data: bytes) -> None:
    with pytest.raises(EventError) as caught:
        load_payload(data)
    assert caught.value.code in ("payload_invalid", "payload_too_large")


def test_deep_and_foreign_parts_are_left_alone() -> None:
    deep: Any = "end"
    for _ in range(5_000):
        deep = [deep]
    payload = envelope("writer", action="labeled", issue=issue(reactions=deep), label={"name": "bot:fix"}, extra=deep)
    assert parse_event("issues", payload, settings=SETTINGS).trigger.kind == "label"
    assert parse_event("push", {**envelope("writer"), "extra": deep}, settings=SETTINGS).trigger.kind == "other"


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**5_000),
    st.floats(),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=8),
    st.sampled_from(["\ud800", "\0", "", "x" * 70_000, "a/b/c", "../..", "opened", "0" * 40]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(value: Any, depth: int = 4) -> list[tuple[str | int, ...]]:
    steps: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[tuple[str | int, ...]] = []
    for key, below in steps:
        found.append((key,))
        if depth > 1:
            found.extend((key, *rest) for rest in places(below, depth - 1))
    return found


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_only_event_errors_escape_from_broken_payloads(data: st.DataObject) -> None:
    small = [("issue_comment", comment_payload("/bot fix")), ("workflow_dispatch", envelope("a", inputs={"task": "x"}))]
    name, original = data.draw(st.sampled_from([*ACTED_ON, *small]))
    payload = copy.deepcopy(original)
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(places(payload)))
        target: Any = payload
        for step in path:
            target = target[step]
        if data.draw(st.booleans()) or isinstance(last, int):
            target[last] = data.draw(junk)
        else:
            target.pop(last, None)
        if not places(payload):
            break
    with contextlib.suppress(EventError):
        event = parse_event(name, payload, settings=SETTINGS)
        event.model_dump_json().encode("utf-8")
        run_id_of(event)


def test_opened_and_targeted_pull_requests_read_alike() -> None:
    payload = envelope("stranger", action="opened", pull_request=pull())
    for name in ("pull_request", "pull_request_target"):
        assert parse_event(name, payload, settings=SETTINGS).trigger == Opened(action="opened")
    assert parse_event("pull_request", {**payload, "action": "closed"}, settings=SETTINGS).trigger.kind == "other"


def test_owners_of_managed_accounts_have_underscores() -> None:
    payload = comment_payload("/bot fix")
    payload["repository"]["full_name"] = "octo_corp/repo"
    assert parse_event("issue_comment", payload, settings=SETTINGS).repository.owner == "octo_corp"


def test_bots_keep_their_type() -> None:
    payload = {**comment_payload("/bot fix"), "sender": account("renovate[bot]"), "installation": {"id": 3}}
    event = parse_event("issue_comment", payload, settings=SETTINGS)
    assert (event.actor.type, event.installation, event.subject and event.subject.updated_at) == ("Bot", 3, ASKED)

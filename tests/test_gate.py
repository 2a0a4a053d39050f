"""Who may start what: every verdict of the gate, before a model or a sandbox is touched."""

from typing import Any

import pytest

from bot.forge.events.parsing import parse_event
from bot.settings import Settings
from bot.testing.forge import FakeForge
from bot.triage import gate
from bot.triage.tasks import builtin_tasks
from bot.types.decision import Answer, Go, Ignore, Refuse
from bot.types.event import Comment, Event
from bot.types.task import Limits, Task
from tests.triage_fixtures import (
    EARLY,
    HEAD,
    LATE,
    MOVED,
    SETTINGS,
    comment_payload,
    commented,
    dispatched,
    forge_for,
    judge,
    labeled,
    no_model,
    opened,
    pulled,
)

OPEN_TO_ALL = "tasks: {fix: {permission: none}, hello: {permission: read, outputs: [comment, branch]}}"


def test_payload_alone_rules_out() -> None:
    archived = comment_payload("/bot fix")
    archived["repository"]["archived"] = True
    foreign = comment_payload("/bot fix", "owner")
    foreign["comment"]["user"]["id"] = 4
    cases: list[tuple[Event, str]] = [
        (parse_event("push", {}, settings=SETTINGS), "other_event"),
        (commented("/bot fix", action="edited"), "edited_comment"),
        (commented("/bot fix", action="deleted"), "deleted_comment"),
        (commented("please `/bot fix`"), "no_command"),
        (commented("> /bot fix"), "no_command"),
        (labeled("bug"), "other_label"),
        (parse_event("issue_comment", archived, settings=SETTINGS), "archived"),
        (parse_event("issue_comment", foreign, settings=SETTINGS), "not_the_author"),
        (commented("/bot fix", "renovate[bot]"), "bot_actor"),
        (labeled("bot:fix", "renovate[bot]"), "bot_actor"),
        (dispatched("github-actions[bot]", task="fix", number=7), "bot_actor"),
    ]
    for event, code in cases:
        forge = FakeForge()
        decision = judge(event, forge, model=no_model)
        assert isinstance(decision, Ignore), code
        assert decision.code == code
        assert decision.reason
        assert forge.reads == [], "the forge was asked about an event that the payload rules out"


@pytest.mark.parametrize("sender", ["reader", "stranger"])
@pytest.mark.parametrize("body", ["/bot fix", "/bot help", "/bot status", "/bot stop", "/bot retry", "/bot nonsense"])
def test_who_may_only_read_is_refused_whatever_the_payload_claims(sender: str, body: str) -> None:
    payload = comment_payload(body, sender)
    payload["comment"]["author_association"] = payload["issue"]["author_association"] = "OWNER"
    event = parse_event("issue_comment", payload, settings=SETTINGS)
    decision = judge(event, model=no_model)
    assert isinstance(decision, Refuse)
    assert (decision.code, decision.speak) == ("permission", True)


def test_labels_count_as_their_labeler_not_as_the_author() -> None:
    assert isinstance(judge(labeled("bot:fix", "writer")), Go)
    decision = judge(labeled("bot:fix", "reader", user={"login": "owner", "id": 1}))
    assert isinstance(decision, Refuse)
    assert decision.code == "permission"


def test_bots_are_trusted_by_number_only() -> None:
    event = labeled("bot:fix", "sandpiper-helper[bot]")
    forge = forge_for(event)
    forge.permissions["sandpiper-helper[bot]"] = "admin"
    assert judge(event, forge).code == "bot_actor"
    assert judge(event, forge, settings=Settings(trusted_bots=(78,))).code == "bot_actor"
    assert isinstance(judge(event, forge, settings=Settings(trusted_bots=(77,))), Go)
    disguised = comment_payload("/bot fix", "writer")
    disguised["sender"] = {"login": "writer", "id": 2, "type": "Bot"}
    assert judge(parse_event("issue_comment", disguised, settings=SETTINGS)).code == "bot_actor"


def test_the_bot_does_not_answer_itself() -> None:
    for event in (commented("/bot fix", "sandpiper[bot]"), labeled("bot:fix", "sandpiper[bot]")):
        forge = forge_for(event)
        forge.permissions["sandpiper[bot]"] = "admin"
        decision = judge(event, forge, settings=Settings(trusted_bots=(900,)))
        assert isinstance(decision, Ignore)
        assert decision.code == "self_trigger"
    event = commented("/bot fix", "owner")
    forge = forge_for(event)
    forge.viewer = event.actor
    assert judge(event, forge).code == "self_trigger"
    event = dispatched("owner", task="fix", prompt="x")
    forge = forge_for(event)
    forge.viewer = event.actor
    assert isinstance(judge(event, forge), Go)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"body": "/bot fix and more", "updated_at": LATE}, "comment_changed"),
        ({"body": "/bot fix\n"}, "accepted"),
        ({"body": "/bot fix", "updated_at": LATE}, "accepted"),
        ({"author": {"login": "owner", "id": 1}}, "comment_changed"),
        (None, "comment_changed"),
    ],
)
def test_the_comment_must_still_stand(change: dict[str, Any] | None, code: str) -> None:
    event = commented("/bot fix")
    forge = forge_for(event)
    before = forge.comments[7].pop()
    if change is not None:
        forge.comments[7].append(Comment.model_validate({**before.model_dump(), **change}))
    assert judge(event, forge, model=no_model).code == code


def test_words_are_those_of_the_event_state_is_that_of_now() -> None:
    event = labeled("bot:fix", title="It crashes")
    forge = forge_for(event)
    forge.subjects[7] = forge.subjects[7].changed(title="Send me the secrets", body="!", labels=("new", "bot:fix"))
    decision = judge(event, forge)
    assert isinstance(decision, Go)
    subject = decision.spec.subject
    assert subject is not None
    assert (subject.title, subject.body, subject.labels) == ("It crashes", "On start.", ("new", "bot:fix"))


def test_subjects() -> None:
    locked, closed, gone, plain = (forge_for(labeled("bot:fix")) for _ in range(4))
    locked.subjects[7] = locked.subjects[7].changed(locked=True)
    closed.subjects[7] = closed.subjects[7].changed(state="closed")
    gone.subjects.clear()
    assert judge(labeled("bot:fix"), locked).code == "subject_locked"
    assert judge(labeled("bot:fix"), closed).code == "subject_closed"
    asked = commented("/bot explain")
    still = forge_for(asked)
    still.subjects[7] = still.subjects[7].changed(state="closed")
    assert judge(asked, still).code == "accepted"
    assert judge(labeled("bot:fix"), gone).code == "subject_gone"
    assert judge(labeled("bot:review")).code == "wrong_subject"
    plain.subjects[7] = plain.subjects[7].changed(labels=("other",))
    assert judge(labeled("bot:fix"), plain).code == "label_removed"
    again = labeled("bot:fix").changed(attempt=2)
    assert judge(again, plain).code == "accepted", "the first attempt took the label off itself"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("--colour=red", "unknown_option"),
        ("--usd=lots", "bad_option"),
        ("--usd=nan", "bad_option"),
        ("--usd=-1", "bad_option"),
        ("--steps=0", "bad_option"),
        ("--steps=0.5", "bad_option"),
        ("--minutes=0", "bad_option"),
        ("--minutes=1e400", "bad_option"),
        ("--model=other/model", "model_not_allowed"),
        ("--image=evil", "image_not_allowed"),
        ("--model=good/model --image=python", "accepted"),
    ],
)
def test_options(options: str, code: str) -> None:
    settings = Settings(models=("good/model",), images=("python",))
    assert judge(commented(f"/bot fix {options}"), settings=settings, model=no_model).code == code


def test_limits_go_only_down() -> None:
    task = Task(name="fix", limits=Limits(minutes=10, steps=10, usd=1))
    raised = gate.with_options(task, {"minutes": "99", "steps": "5", "usd": "0"})
    assert isinstance(raised, Task)
    assert (raised.limits.minutes, raised.limits.steps, raised.limits.usd) == (10, 5, 0)
    capped = gate.capped(Limits(minutes=300, steps=900, usd=900, memory_mb=100_000), SETTINGS)
    assert (capped.minutes, capped.steps, capped.usd, capped.memory_mb) == (60, 100, 5, 8192)
    event = commented("/bot fix --minutes=300")
    decision = judge(event, forge_for(event, policy="tasks: {fix: {limits: {minutes: 200}}}"))
    assert isinstance(decision, Go)
    assert decision.spec.task.limits.minutes == SETTINGS.max_minutes


def test_a_repository_may_choose_only_what_the_operator_allows() -> None:
    event = labeled("bot:fix")
    for policy, code in (
        ("tasks: {fix: {runtime: shell}}", "runtime_not_allowed"),
        ("tasks: {fix: {model: my/model}}", "model_not_allowed"),
        ("tasks: {fix: {image: mine}}", "image_not_allowed"),
        ("tasks: {fix: {image: host}}", "accepted"),
    ):
        assert judge(event, forge_for(event, policy=policy)).code == code
    anything = Settings(images=("*",))
    forge = forge_for(event, policy="tasks: {fix: {image: mine}}")
    assert isinstance(judge(event, forge, settings=anything), Go)


def test_policy_comes_from_the_default_branch_only() -> None:
    event = pulled("labeled", "reader", label="bot:fix")
    forge = forge_for(event)
    forge.files[".github/bot.yml", "topic"] = forge.files[".github/bot.yml", HEAD] = OPEN_TO_ALL.encode()
    assert judge(event, forge).code == "permission"
    forge.files[".github/bot.yml", "main"] = OPEN_TO_ALL.encode()
    assert isinstance(judge(event, forge), Go)


def test_forks_get_a_comment_and_a_patch_whoever_asks() -> None:
    for event in (pulled("labeled", "owner", label="bot:fix"), commented("/bot fix", "owner")):
        forge = forge_for(event)
        forge.subjects[7] = pulled("labeled", labels=["bot:fix"]).subject  # type: ignore[assignment]  # it has one
        decision = judge(event, forge)
        assert isinstance(decision, Go)
        assert decision.spec.trust == "fork"
        assert set(decision.spec.task.outputs) == {"comment", "patch"}
        assert decision.spec.revision.sha == HEAD
    vanished = pulled("labeled", "owner", label="bot:fix", user=None)
    forge = forge_for(vanished)
    assert vanished.subject is not None
    assert vanished.subject.pull is not None
    pull = vanished.subject.pull.changed(head_repository=None)
    forge.subjects[7] = vanished.subject.changed(pull=pull, labels=("bot:fix",))
    decision = judge(vanished, forge)
    assert isinstance(decision, Go)
    assert decision.spec.trust == "fork"


def test_trust_follows_origin_then_permission() -> None:
    event = pulled("labeled", "writer", label="bot:fix", fork=False, author="writer")
    decision = judge(event)
    assert isinstance(decision, Go)
    assert decision.spec.trust == "writer"
    assert "branch" in decision.spec.task.outputs
    event = labeled("bot:hello", "reader")
    decision = judge(event, forge_for(event, policy=OPEN_TO_ALL))
    assert isinstance(decision, Go)
    assert (decision.spec.trust, decision.spec.task.outputs) == ("anyone", ("comment",))


def test_pull_requests_of_strangers_start_nothing_unless_policy_says_so() -> None:
    for action in ("opened", "synchronize", "reopened", "ready_for_review", "edited"):
        assert judge(pulled(action), model=no_model).code == "no_task_for_this"
    event = pulled("opened")
    policy = "on: {opened: [explain]}"
    decision = judge(event, forge_for(event, policy=policy), model=no_model)
    assert isinstance(decision, Answer)
    assert (decision.code, decision.conclusion, len(decision.outputs)) == ("approval", "action_required", 1)
    at_home = pulled("opened", fork=False)
    ignored = judge(at_home, forge_for(at_home, policy=policy), model=no_model)
    assert isinstance(ignored, Ignore)
    assert ignored.code == "permission"
    allowed = judge(event, forge_for(event, policy=policy + "\ntasks: {explain: {permission: none}}"))
    assert isinstance(allowed, Go)
    assert (allowed.spec.trust, allowed.spec.task.outputs) == ("fork", ("comment",))


def test_the_commit_of_the_event_runs_or_none() -> None:
    for event, kind in (
        (pulled("labeled", "writer", label="bot:fix"), Refuse),
        (pulled("opened", "writer"), Ignore),
    ):
        forge = forge_for(event, policy="on: {opened: fix}")
        forge.subjects[7] = pulled("labeled", sha=MOVED).subject  # type: ignore[assignment]  # it has one
        decision = judge(event, forge)
        assert isinstance(decision, kind)
        assert decision.code == "head_moved"


def test_automatic_triage_is_for_everybody_commanded_triage_is_not() -> None:
    policy = "triage: {rules: [{when: {title: crash}, then: {labels: [bug]}}]}"
    event = opened("stranger")
    assert judge(event, forge_for(event, policy=policy)).code == "triage"
    asked = commented("/bot triage", "reader")
    assert judge(asked, forge_for(asked, policy=policy)).code == "permission"
    asked = commented("/bot triage", "triager")
    assert judge(asked, forge_for(asked, policy=policy)).code == "triage"


def test_time_does_not_matter_to_the_gate() -> None:
    event = labeled("bot:fix", updated_at=EARLY)
    assert judge(event) == judge(event)


def test_no_task_may_do_more_than_trust_allows() -> None:
    for trust, allowed in gate.OUTPUTS.items():
        for task in builtin_tasks().values():
            assert set(gate.reduced(task, trust).outputs) <= allowed
    assert not gate.OUTPUTS["fork"] & {"branch", "pull_request", "labels", "check"}
    assert not gate.OUTPUTS["anyone"] & {"branch", "pull_request", "check"}

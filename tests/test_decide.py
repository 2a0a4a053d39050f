"""An event -> a decision: what is pinned for a run, and the answers that need none."""

import pytest
from pydantic import TypeAdapter

from bot.agent.compose import task_text
from bot.errors import PolicyError
from bot.forge.events.parsing import parse_event
from bot.marks import Mark, run_marker, state_line, stop_marker
from bot.settings import Settings
from bot.testing.forge import FakeForge
from bot.types.decision import Answer, Decision, Go, Ignore, Refuse
from bot.types.event import Actor, Comment
from bot.types.output import LabelChange, Note, Reaction
from bot.types.run import run_id_of
from bot.types.value import Conclusion
from tests.triage_fixtures import (
    ASKED,
    BASE,
    EARLY,
    HEAD,
    IDS,
    LATE,
    MAIN,
    MOVED,
    SETTINGS,
    commented,
    dispatched,
    envelope,
    forge_for,
    judge,
    labeled,
    no_model,
    opened,
    pulled,
)


def said(number: int, login: str, body: str, at: str = EARLY, edited: str = "") -> Comment:
    author = Actor(login=login, id=IDS.get(login, 77))
    return Comment(id=number, author=author, body=body, created_at=at, updated_at=edited or at)


def status_comment(
    run: str, *, done: bool = True, login: str = "sandpiper[bot]", number: int = 50, task: str = "fix"
) -> Comment:
    conclusion: Conclusion | None = "failure" if done else None
    mark = Mark(
        run=run,
        task=task,
        status="completed" if done else "in_progress",
        conclusion=conclusion,
        requester=2,
        instructions="only the parser",
    )
    return said(number, login, f"{run_marker(run)}\n{state_line(mark)}\nReport")


def answered(body: str, *comments: Comment, sender: str = "writer") -> Answer:
    event = commented(body, sender)
    decision = judge(event, forge_for(event, comments=comments), model=no_model)
    assert isinstance(decision, Answer), decision
    return decision


def notes(answer: Answer) -> list[Note]:
    return [output for output in answer.outputs if isinstance(output, Note)]


RUN = "a" * 16


def test_a_labelled_issue_becomes_a_pinned_run() -> None:
    event = labeled("bot:fix")
    forge = forge_for(event)
    forge.files["CLAUDE.md", "main"] = b"second choice"
    forge.files["AGENTS.md", "main"] = b"Be kind.\0" + b"x" * 40_000
    decision = judge(event, forge, model=no_model)
    assert isinstance(decision, Go)
    spec = decision.spec
    assert spec.run_id == run_id_of(event)
    assert (spec.task.name, spec.trust, spec.requester.login) == ("fix", "writer", "writer")
    assert (spec.revision.ref, spec.revision.sha, spec.base.sha) == ("main", MAIN, MAIN)
    assert spec.conventions.startswith("Be kind.\ufffdx")
    assert len(spec.conventions) == 32 * 1024


def test_a_pull_request_is_pinned_at_its_head_with_its_base_as_it_is_now() -> None:
    event = pulled("labeled", "writer", label="bot:fix", fork=False, author="writer")
    decision = judge(event)
    assert isinstance(decision, Go)
    assert (decision.spec.revision.ref, decision.spec.revision.sha) == ("topic", HEAD)
    assert (decision.spec.base.ref, decision.spec.base.sha) == ("main", MAIN)
    without_branch = forge_for(event)
    without_branch.branches.clear()
    decision = judge(event, without_branch)
    assert isinstance(decision, Go)
    assert decision.spec.base.sha == BASE


def test_the_discussion_is_what_stood_there_when_somebody_asked() -> None:
    before = [
        said(1, "stranger", "first", EARLY),
        said(2, "sandpiper[bot]", "ours", EARLY),
        said(3, "stranger", "rewritten", EARLY, edited=LATE),
        said(4, "stranger", "x" * 9_000, EARLY),
        said(5, "stranger", "afterwards", LATE),
    ]
    event = commented("/bot fix this")
    decision = judge(event, forge_for(event, comments=before))
    assert isinstance(decision, Go)
    assert [comment.id for comment in decision.spec.discussion] == [1, 4]
    assert len(decision.spec.discussion[1].body) == 8_000
    assert "characters left out" in task_text(decision.spec, ())
    assert decision.spec.instructions == "this"
    many = [said(n, "stranger", f"{n} " + "y" * 3_000, EARLY) for n in range(200, 300)]
    decision = judge(event, forge_for(event, comments=many))
    assert isinstance(decision, Go)
    kept = decision.spec.discussion
    assert kept[-1].id == 299
    assert sum(len(comment.body) for comment in kept) <= 200_000
    assert "earlier comments left out" in task_text(decision.spec, ())


def test_the_discussion_of_a_pull_request_holds_its_review() -> None:
    event = pulled("labeled", "writer", label="bot:review", updated_at=LATE)
    review = said(2, "writer", "this line", ASKED).changed(kind="review")
    decision = judge(event, forge_for(event, comments=[review, said(1, "stranger", "hello", EARLY)]))
    assert isinstance(decision, Go)
    assert [comment.id for comment in decision.spec.discussion] == [1, 2]


def test_triage_keeps_to_one_comment() -> None:
    policy = "on: {edited: triage}\ntriage: {rules: [{when: {title: crash}, then: {comment: Thanks.}}]}"
    markers = set()
    for at in (EARLY, LATE):
        event = opened(action="edited", updated_at=at)
        decision = judge(event, forge_for(event, policy=policy))
        assert isinstance(decision, Answer)
        markers |= {note.marker for note in notes(decision)}
    assert len(markers) == 1


def test_dispatch() -> None:
    event = dispatched(task="fix", prompt="tidy up", ref="topic")
    forge = forge_for(event)
    assert judge(event, forge).code == "no_revision"
    forge.branches["topic"] = MOVED
    decision = judge(event, forge)
    assert isinstance(decision, Go)
    assert (decision.spec.subject, decision.spec.revision.sha) == (None, MOVED)
    assert decision.spec.instructions == "tidy up"
    of_any_fork = judge(dispatched(task="fix", prompt="tidy up", ref=MOVED), forge)
    assert of_any_fork.code == "no_revision", "only a branch is this repository's for certain"
    with_number = dispatched(task="fix", number=7)
    forge.subjects[7] = labeled("x").subject  # type: ignore[assignment]  # it has one
    decision = judge(with_number, forge)
    assert isinstance(decision, Go)
    assert decision.spec.subject is not None
    for inputs, code in (
        ({"task": "fix"}, "no_instructions"),
        ({"task": "review", "prompt": "x"}, "wrong_subject"),
        ({"task": "triage"}, "wrong_subject"),
        ({"task": "fxi", "prompt": "x"}, "unknown_task"),
        ({"task": "help"}, "unknown_task"),
        ({"task": "fix", "number": 8}, "subject_gone"),
        ({"task": "fix", "number": 7, "minutes": "x"}, "bad_option"),
    ):
        refusal = judge(dispatched(**inputs), forge)
        assert isinstance(refusal, Refuse)
        assert refusal.code == code
    assert isinstance(judge(dispatched(task="test"), forge), Go)
    assert judge(dispatched("reader", task="test"), forge).code == "permission"


def upstream(forge: FakeForge) -> object:
    run = {"id": 5, "name": "CI", "event": "pull_request", "head_branch": "topic", "head_sha": HEAD}
    run["head_repository"] = {"full_name": "stranger/repo"}
    payload = envelope("stranger", action="completed", workflow_run=run)
    event = parse_event("workflow_run", payload, settings=SETTINGS)
    forge.branches["main"] = MAIN
    return judge(event, forge, model=no_model)


def test_upstream_runs_only_what_policy_opens_and_only_at_that_commit() -> None:
    forge = FakeForge()
    quiet = upstream(forge)
    assert isinstance(quiet, Ignore)
    assert quiet.code == "no_task_for_this"
    forge.files[".github/bot.yml", "main"] = b"on: {upstream: test}"
    closed = upstream(forge)
    assert isinstance(closed, Ignore)
    assert closed.code == "permission"
    forge.files[".github/bot.yml", "main"] = b"on: {upstream: test}\ntasks: {test: {permission: none}}"
    gone = upstream(forge)
    assert isinstance(gone, Ignore)
    assert gone.code == "subject_gone"
    forge.subjects[7] = pulled("opened").subject  # type: ignore[assignment]  # it has one
    decision = upstream(forge)
    assert isinstance(decision, Go)
    assert (decision.spec.trust, decision.spec.revision.sha) == ("fork", HEAD)
    assert decision.spec.task.outputs == ("comment",)
    forge.subjects[7] = pulled("opened", sha=MOVED).subject  # type: ignore[assignment]  # it has one
    moved = upstream(forge)
    assert isinstance(moved, Ignore)


def test_help_lists_every_task() -> None:
    event = commented("/bot help", "triager")
    policy = "tasks: {regen: {description: 'make | files', runtime: command, commands: [make]}}"
    decision = judge(event, forge_for(event, policy=policy), settings=Settings(phrase="/bot"), model=no_model)
    assert isinstance(decision, Answer)
    assert decision.code == "help"
    body = notes(decision)[0].body
    for name in ("fix", "test", "lint", "explain", "review", "triage", "run", "regen", "stop", "retry", "status"):
        assert f"`{name}`" in body or f"`/bot {name}`" in body
    assert "make \\| files" in body
    assert isinstance(decision.outputs[0], Reaction)
    assert decision.outputs[0].comment == 100


def test_unknown_words_get_one_polite_answer() -> None:
    answer = answered("/bot fxi everything @team")
    assert answer.code == "unknown_command"
    assert "`fix`" in notes(answer)[0].body
    assert "@team" not in notes(answer)[0].body
    event = labeled("bot:<img src=x>")
    decision = judge(event, model=no_model)
    assert isinstance(decision, Answer)
    assert "<img" not in notes(decision)[0].body
    assert any(isinstance(each, LabelChange) and each.remove == ("bot:<img src=x>",) for each in decision.outputs)
    assert judge(labeled("bot:fxi", "reader"), model=no_model).code == "permission"


def test_status_lists_runs_of_ours_only() -> None:
    forged = status_comment("b" * 16, login="stranger", number=51)
    body = notes(answered("/bot status", status_comment(RUN), forged))[0].body
    assert RUN in body
    assert "b" * 16 not in body
    assert "No run" in notes(answered("/bot status", forged))[0].body


def test_stop_marks_every_run_in_progress() -> None:
    running = status_comment(RUN, done=False)
    forged = status_comment("b" * 16, done=False, login="stranger", number=51)
    done = status_comment("c" * 16, number=52)
    answer = answered("/bot stop", running, forged, done)
    assert [note.marker for note in notes(answer)] == [stop_marker(RUN)]
    assert "Nothing" in notes(answered("/bot stop", done))[0].body
    refused = judge(commented("/bot stop", "triager"), model=no_model)
    assert refused.code == "permission"


def test_retry_starts_the_last_task_again_with_the_same_words() -> None:
    event = commented("/bot retry")
    decision = judge(event, forge_for(event, comments=[status_comment(RUN)]))
    assert isinstance(decision, Go)
    assert (decision.spec.task.name, decision.spec.instructions) == ("fix", "only the parser")
    assert decision.spec.run_id == run_id_of(event) != RUN
    event = commented("/bot retry but slower --steps=2")
    decision = judge(event, forge_for(event, comments=[status_comment(RUN)]))
    assert isinstance(decision, Go)
    assert (decision.spec.instructions, decision.spec.task.limits.steps) == ("but slower", 2)
    for comments, part in (
        ([], "No run"),
        ([status_comment(RUN, login="stranger")], "No run"),
        ([status_comment(RUN, done=False)], "still going on"),
        ([status_comment(RUN, task="abolished")], "does not exist any more"),
    ):
        assert part in notes(answered("/bot retry", *comments))[0].body


def test_retry_needs_the_tasks_own_permission() -> None:
    event = commented("/bot retry")
    forge = forge_for(event, policy="tasks: {fix: {permission: admin}}", comments=[status_comment(RUN)])
    assert judge(event, forge, model=no_model).code == "permission"


def test_a_broken_policy_is_an_error_with_lines() -> None:
    broken = "tasks: {fix: {verfy: []}}"
    for event in (labeled("bot:fix", "reader"), opened("writer")):
        with pytest.raises(PolicyError) as caught:
            judge(event, forge_for(event, policy=broken))
        assert caught.value.mistakes[0].file == ".github/bot.yml"
    event = labeled("bot:fix")
    decision = judge(event, forge_for(event, policy=broken))
    assert isinstance(decision, Refuse)
    assert (decision.code, decision.speak, decision.defect) == ("policy_invalid", True, True)
    assert ".github/bot.yml:1" in decision.reason


def test_rules_may_start_a_task_for_those_who_may_start_it() -> None:
    policy = "triage: {rules: [{when: {title: crash}, then: {task: fix, labels: [bug]}}]}"
    stranger, writer = opened("stranger"), opened("writer")
    decision = judge(stranger, forge_for(stranger, policy=policy))
    assert isinstance(decision, Answer)
    assert [each.add for each in decision.outputs if isinstance(each, LabelChange)] == [("bug",)]
    decision = judge(writer, forge_for(writer, policy=policy))
    assert isinstance(decision, Go)
    assert (decision.spec.task.name, decision.spec.task.labels) == ("fix", ("bug",))
    assert "labels" in decision.spec.task.outputs


def test_of_several_tasks_the_first_that_fits_the_subject_starts() -> None:
    policy = "on: {opened: [review, explain]}"
    for event, name in ((opened("writer"), "explain"), (pulled("opened", "writer"), "review")):
        decision = judge(event, forge_for(event, policy=policy))
        assert isinstance(decision, Go)
        assert decision.spec.task.name == name


def test_every_decision_survives_the_store() -> None:
    adapter: TypeAdapter[Decision] = TypeAdapter(Decision)
    asked_at = commented("/bot fix").trigger
    assert asked_at.kind == "comment"
    assert asked_at.comment.created_at == ASKED
    for event in (labeled("bot:fix"), labeled("bug"), commented("/bot help"), commented("/bot fix", "reader")):
        decision = judge(event)
        assert adapter.validate_json(adapter.dump_json(decision)) == decision

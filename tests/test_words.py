"""The bot's own words -> answers: who may say them, what undo would write, which commit an approval is good for."""

from __future__ import annotations

from typing import Any

import pytest

from bot.forge.events.parsing import parse_event
from bot.marks import Made, Mark, read_mark, run_marker, state_line
from bot.settings import Settings
from bot.testing.forge import FakeForge
from bot.triage.policy_shape import RESERVED
from bot.triage.words import WRITERS
from bot.types.decision import Answer, Go, Ignore, Refuse
from bot.types.event import Actor, Comment, Event, Subject
from bot.types.output import ClosePull, DeleteBranch, LabelChange, Note, Output, Reaction, Revert
from tests.triage_fixtures import (
    EARLY,
    HEAD,
    MOVED,
    SETTINGS,
    account,
    comment_payload,
    commented,
    envelope,
    forge_for,
    judge,
    no_model,
    pull,
    pulled,
    review_commented,
)

RUN, OURS = "0123456789abcdef", Actor(login="sandpiper[bot]", id=900, type="Bot")
BRANCH, SHA = f"bot/fix-7-{RUN[:8]}", "a" * 40


def run_comment(made: Made | None = None, *, run: str = RUN, status: str = "completed", number: int = 50) -> Comment:
    """A status comment of ours."""
    ended = "success" if status == "completed" else None
    fields = {"run": run, "task": "fix", "status": status, "conclusion": ended, "requester": 2, "trust": "writer"}
    mark = Mark.model_validate({**fields, "made": made or Made()})
    body = f"{run_marker(run)}\n{state_line(mark)}\n### done"
    return Comment(id=number, author=OURS, body=body, created_at=EARLY, updated_at=EARLY)


def answer_to(text: str, *comments: Comment, subject: Subject | None = None) -> Answer:
    event = commented(text)
    forge = forge_for(event, comments=comments)
    if subject is not None:
        forge.subjects[7] = subject
    decision = judge(event, forge, model=no_model)
    assert isinstance(decision, Answer), decision
    return decision


def note_of(answer: Answer) -> str:
    return "\n".join(each.body for each in answer.outputs if isinstance(each, Note))


def steps(answer: Answer) -> list[Output]:
    return [each for each in answer.outputs if not isinstance(each, Reaction)]


def subject_of(**more: Any) -> Subject:
    found = pulled("opened", **more).subject
    assert found is not None
    return found


@pytest.mark.parametrize("word", RESERVED)
def test_who_may_say_a_word(word: str) -> None:
    for who, level in (("stranger", "none"), ("reader", "read"), ("triager", "triage"), ("writer", "write")):
        decision = judge(commented(f"/bot {word}", who), model=no_model)
        allowed = level == "write" or (level == "triage" and word not in WRITERS)
        assert isinstance(decision, Answer if allowed else Refuse), (word, who)


@pytest.mark.parametrize("word", RESERVED)
def test_words_in_quotes_code_and_comments_are_none(word: str) -> None:
    for body in (
        f"```\n/bot {word}\n```",
        f"`/bot {word}`",
        f"> /bot {word}",
        f"<!-- /bot {word} -->",
        f"    /bot {word}",
        f"- /bot {word}",
        f"Please /bot {word}",
    ):
        decision = judge(commented(body), model=no_model)
        assert isinstance(decision, Ignore), body
        assert decision.code == "no_command"


@pytest.mark.parametrize("word", RESERVED)
def test_no_bot_says_a_word_the_bot_itself_least(word: str) -> None:
    for sender, code in (("sandpiper[bot]", "bot_actor"), ("other[bot]", "bot_actor")):
        event = commented(f"/bot {word}", sender)
        forge = forge_for(event)
        forge.permissions[sender] = "admin"
        decision = judge(event, forge, model=no_model)
        assert isinstance(decision, Ignore)
        assert decision.code == code
    trusted = judge(commented(f"/bot {word}", "sandpiper[bot]"), settings=Settings(trusted_bots=(900,)), model=no_model)
    assert trusted.code == "self_trigger"


def test_help_and_status_know_of_undo_and_approval() -> None:
    listed = note_of(answer_to("/bot help"))
    assert all(f"`{word}" in listed for word in RESERVED)
    shown = note_of(
        answer_to(
            "/bot status",
            run_comment(Made(branch=BRANCH, sha=SHA, pull=12, undone=True)),
            run_comment(Made(branch="topic", sha="b" * 40), run="f" * 16, number=51),
        )
    )
    assert f"| `{RUN}` | `fix` | undone | success | #12 |" in shown
    assert f"| `{'f' * 16}` | `fix` | completed | success | `{'b' * 12}` |" in shown


@pytest.mark.parametrize(
    ("text", "comments", "said"),
    [
        ("/bot undo", (), "No run"),
        ("/bot undo", (run_comment(status="in_progress"),), "still going on"),
        ("/bot undo 0123", (run_comment(status="queued"),), "still going on"),
        ("/bot undo", (run_comment(Made(undone=True)),), "undone already"),
        ("/bot undo ffff", (run_comment(),), "no such run"),
        ("/bot undo 012", (run_comment(),), "Name the run"),
        ("/bot undo everything @team", (run_comment(),), "Name the run"),
        ("/bot undo 0123", (run_comment(), run_comment(run=RUN[:8] + "f" * 8, number=51)), "Several"),
    ],
)
def test_an_undo_of_nothing_says_why(text: str, comments: tuple[Comment, ...], said: str) -> None:
    answer = answer_to(text, *comments)
    assert answer.undoing is None
    assert said in note_of(answer)
    assert "@team" not in note_of(answer)
    assert all(isinstance(each, Reaction | Note) for each in answer.outputs)


def test_undo_takes_the_last_run_or_the_one_that_is_named() -> None:
    first = run_comment(Made(labels=("one",)))
    last = run_comment(Made(labels=("two",)), run="f" * 16, number=51)
    for text, label in (
        ("/bot undo", "two"),
        ("/bot undo 0123", "one"),
        (f"/bot undo `{RUN.upper()}`", "one"),
        ("/bot undo ffff please", "two"),
    ):
        (step,) = steps(answer_to(text, first, last))
        assert step == LabelChange(key="undo-labels", number=7, remove=(label,))


def test_what_undo_writes_follows_from_what_the_run_made() -> None:
    everything = Made(branch=BRANCH, sha=SHA, pull=12, labels=("done",))
    close, delete, labels = steps(answer_to("/bot undo", run_comment(everything)))
    assert close == ClosePull(key="undo-pull", number=12, head=BRANCH)
    assert delete == DeleteBranch(key="undo-branch", branch=BRANCH, sha=SHA)
    assert isinstance(labels, LabelChange)
    assert not steps(answer_to("/bot undo", run_comment()))
    on_topic = Made(branch="topic", sha=SHA)
    (back,) = steps(answer_to("/bot undo", run_comment(on_topic), subject=subject_of(fork=False)))
    assert isinstance(back, Revert)
    assert (back.branch, back.sha) == ("topic", SHA)
    assert SHA in back.message
    review = answer_to("/bot undo", run_comment(Made(review=True)))
    assert review.undoing is not None
    assert "review stays" in review.undoing.kept[0]


@pytest.mark.parametrize(
    "made",
    [
        Made(branch="main", sha=SHA),
        Made(branch="bot/fix-7-ffffffff", sha=SHA, pull=12),
        Made(branch=f"release-{RUN[:8]}", sha=SHA, pull=12),
    ],
)
def test_a_mark_that_was_tampered_with_reaches_nothing_else(made: Made) -> None:
    for subject in (None, subject_of(fork=False)):
        answer = answer_to("/bot undo", run_comment(made), subject=subject)
        assert not steps(answer)
        assert answer.undoing is not None
        assert "stays" in answer.undoing.kept[0]


def test_a_forks_branch_of_the_same_name_is_another_branch() -> None:
    """What its pull request could be undone to is a branch of this repository that nobody spoke of."""
    for subject in (subject_of(fork=True), subject_of(head={"ref": "topic", "sha": HEAD, "repo": None})):
        answer = answer_to("/bot undo", run_comment(Made(branch="topic", sha=SHA)), subject=subject)
        assert not steps(answer)


def test_a_commit_that_was_merged_stays() -> None:
    subject = subject_of(fork=False, merged=True)
    answer = answer_to("/bot undo", run_comment(Made(branch="topic", sha=SHA)), subject=subject)
    assert not steps(answer)
    assert answer.undoing is not None
    assert "was merged" in answer.undoing.kept[0]


# --- approval ---------------------------------------------------------------------------------------------------

POLICY = "on: {synchronize: explain, opened: review}"


def asked(text: str, sender: str = "writer", *, policy: str = POLICY, **more: Any) -> tuple[Event, FakeForge]:
    """A comment in the conversation of a fork's pull request, whose payload names no commit."""
    payload = comment_payload(text, sender)
    payload["issue"]["pull_request"] = {"url": "x"}
    event = parse_event("issue_comment", payload, settings=SETTINGS)
    forge = forge_for(event, policy=policy)
    forge.subjects[7] = subject_of(**more)
    return event, forge


def test_an_approval_starts_the_task_of_policy_at_that_commit() -> None:
    decision = judge(*asked(f"/bot approve {HEAD}"), model=no_model)
    assert isinstance(decision, Go)
    spec = decision.spec
    assert (spec.task.name, spec.revision.sha, spec.trust) == ("review", HEAD, "fork")
    assert not {"branch", "pull_request", "labels", "check"} & set(spec.task.outputs)
    named = judge(*asked(f"/bot approve `{HEAD}` explain --steps=2"), model=no_model)
    assert isinstance(named, Go)
    assert (named.spec.task.name, named.spec.task.limits.steps) == ("explain", 2)


@pytest.mark.parametrize("text", ["", " 123456", " the newest", " main", " --steps=2", f" {'g' * 40}"])
def test_without_a_commit_nothing_starts_and_the_line_to_copy_is_shown(text: str) -> None:
    answer = judge(*asked(f"/bot approve{text}"), model=no_model)
    assert isinstance(answer, Answer)
    assert f"/bot approve {HEAD}\n" in note_of(answer)
    with_task = judge(*asked("/bot approve explain"), model=no_model)
    assert isinstance(with_task, Answer)
    assert f"/bot approve {HEAD} explain\n" in note_of(with_task)


@pytest.mark.parametrize("length", [7, 12, 39])
def test_the_beginning_of_a_commits_name_approves_nothing(length: int) -> None:
    """Whoever may push can find another commit that begins so."""
    forged = HEAD[:length] + "f" * (40 - length)
    for head in (HEAD, forged):
        answer = judge(*asked(f"/bot approve {HEAD[:length]}", sha=head), model=no_model)
        assert isinstance(answer, Answer)
        assert "can be forged" in note_of(answer)
        assert f"/bot approve {head}\n" in note_of(answer)
    assert judge(*asked(f"/bot approve {HEAD}", sha=forged), model=no_model).code == "head_moved"


def test_another_head_is_refused() -> None:
    for text in (f"/bot approve {HEAD}", f"/bot approve {HEAD[:7]}", f"/bot approve {HEAD[:7]} explain"):
        decision = judge(*asked(text, sha=MOVED), model=no_model)
        assert isinstance(decision, Refuse)
        assert (decision.code, decision.speak) == ("head_moved", True)


def test_a_comment_on_the_diff_names_the_commit_that_it_was_written_on() -> None:
    for shown, kind in ((HEAD, Go), (MOVED, Refuse), ("", Answer)):
        event = review_commented("/bot approve")
        trigger = event.trigger
        assert trigger.kind == "comment"
        event = event.changed(trigger=trigger.changed(comment=trigger.comment.changed(commit=shown)))
        assert isinstance(judge(event, forge_for(event, policy=POLICY), model=no_model), kind), shown
    named = review_commented(f"/bot approve {MOVED} explain")
    assert judge(named, forge_for(named, policy=POLICY), model=no_model).code == "head_moved"


def test_an_answer_in_an_older_thread_names_no_commit() -> None:
    """GitHub moves the thread on with the head: the page of whoever answers may have shown another commit."""
    for original, kind in ((HEAD, Go), (MOVED, Answer), ("", Go)):
        comment = {"id": 100, "user": account("writer"), "body": "/bot approve", "created_at": EARLY}
        comment |= {"updated_at": EARLY, "commit_id": HEAD, "original_commit_id": original or None}
        payload = envelope("writer", action="created", pull_request=pull(), comment=comment)
        event = parse_event("pull_request_review_comment", payload, settings=SETTINGS)
        assert isinstance(judge(event, forge_for(event, policy=POLICY), model=no_model), kind), original


def test_approval_of_what_needs_none_says_so() -> None:
    for event, forge in (asked(f"/bot approve {HEAD}", fork=False), (commented("/bot approve"), None)):
        answer = judge(event, forge, model=no_model)
        assert isinstance(answer, Answer)
        assert "not needed" in note_of(answer)


def test_approval_for_no_task_or_an_unknown_one_starts_nothing() -> None:
    none = judge(*asked(f"/bot approve {HEAD}", policy=""), model=no_model)
    unknown = judge(*asked(f"/bot approve {HEAD} exlpain"), model=no_model)
    assert isinstance(none, Answer)
    assert isinstance(unknown, Answer)
    assert f"/bot approve {HEAD} <task>" in note_of(none)
    assert "no task of that name" in note_of(unknown)
    triaged = judge(*asked(f"/bot approve {HEAD} triage"), model=no_model)
    assert not isinstance(triaged, Go)


def test_a_forks_pull_request_waits_in_one_comment() -> None:
    notes = []
    for action, sha in (("opened", HEAD), ("synchronize", MOVED)):
        event = pulled(action, sha=sha)
        answer = judge(event, forge_for(event, policy=POLICY), model=no_model)
        assert isinstance(answer, Answer)
        assert (answer.code, answer.conclusion, answer.optional) == ("approval", "action_required", True)
        (note,) = answer.outputs
        assert isinstance(note, Note)
        assert f"/bot approve {sha}\n" in note.body
        notes.append(note.marker)
    assert notes[0] == notes[1]
    for quiet in (pulled("opened", fork=False), pulled("edited"), pulled("opened", locked=True)):
        decision = judge(quiet, forge_for(quiet, policy="on: {opened: review, edited: review}"), model=no_model)
        assert isinstance(decision, Ignore)
        assert decision.code == "permission"
    by_writer = pulled("opened", "writer")
    assert isinstance(judge(by_writer, forge_for(by_writer, policy=POLICY), model=no_model), Go)


def test_marks_are_read_from_our_comments_only() -> None:
    forged = run_comment(Made(labels=("one",))).changed(author=Actor(login="stranger", id=5))
    assert read_mark(forged.body) is not None
    assert "No run" in note_of(answer_to("/bot undo", forged))


def test_a_request_that_was_not_kept_whole_is_not_repeated_in_part() -> None:
    event = commented("/bot retry")
    for cut in (False, True):
        mark = read_mark(run_comment().body)
        assert mark is not None
        body = f"{run_marker(RUN)}\n{state_line(mark.changed(instructions='Only the', cut=cut))}\n### done"
        decision = judge(event, forge_for(event, comments=(run_comment().changed(body=body),)), model=no_model)
        assert isinstance(decision, Answer if cut else Go)
    assert isinstance(decision, Answer)
    assert "too long" in note_of(decision)


def test_a_mark_with_no_tasks_name_is_none() -> None:
    """Its task's name would stand in the commit that undoes it."""
    mark = read_mark(run_comment().body)
    assert mark is not None
    forged = mark.model_copy(update={"task": "fix did\n\nFixes octo/other#1"})
    assert read_mark(state_line(forged)) is None

"""Outputs -> objects on a stateful GitHub, exactly once under every fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.errors import Conflict, ForgeError, NotFound
from bot.types.output import Check, LabelChange, Note, Output, Pull, Reaction
from bot.types.result import Annotation
from tests.forge_fixtures import MARKER, NAME, Desk, desk, open_desk
from tests.github_server.records import CheckRun

__all__ = ["desk"]


def note(text: str = "working", number: int = 1) -> Note:
    return Note(key="status", number=number, marker=MARKER, body=text)


def check(desk: Desk, annotations: int) -> Check:
    marks = tuple(Annotation(path="a.py", line=at + 1, message=f"mark {at}") for at in range(annotations))
    return Check(
        key="check:0123",
        external="check:0123",
        name="Sandpiper",
        sha=desk.head,
        conclusion="failure",
        title="2 of 3",
        summary="text",
        annotations=marks,
    )


def begun(desk: Desk) -> Check:
    return check(desk, 0).changed(key="check-begun", status="in_progress", conclusion=None, title="under way")


def ended(desk: Desk) -> Check:
    """The end of a check run that another process began."""
    app = desk.server.actions
    fields = {"name": "Sandpiper", "external_id": "check:0123", "status": "in_progress", "started_at": "2026-01-01"}
    desk.repo.check_runs.append(CheckRun(desk.server.world.next_id(), desk.head, app, fields))
    return check(desk, 120)


def pull(desk: Desk, branch: str = "bot/fix-1") -> Pull:
    if desk.repo.git.ref(f"refs/heads/{branch}") is None:
        desk.repo.git.set_ref(f"refs/heads/{branch}", desk.head)
        desk.server.commit(NAME, branch, {"new.txt": "new"})
    return Pull(key="pull", head=branch, base="main", title="Mend it", body="Fixes #1")


def state_of(desk: Desk) -> Any:
    """What people would see, numbers that only count up left out."""
    shown = desk.issue
    return {
        "comments": [(each.user.login, each.body) for each in shown.comments],
        "labels": shown.label_names,
        "reactions": [(each.user.login, each.content) for each in shown.reactions],
        "repository labels": sorted(desk.repo.labels),
        "pulls": [
            (each.title, each.body, each.pull.head_label, each.pull.draft)
            for each in desk.repo.pulls.values()
            if each.pull
        ],
        "checks": [
            (each.fields["external_id"], each.fields["status"], each.fields.get("conclusion"), each.annotations)
            for each in desk.repo.check_runs
        ],
        "branches": {name: sorted(desk.files(sha)) for name, sha in desk.repo.git.refs("refs/heads/").items()},
    }


MAKERS: dict[str, Callable[[Desk], Output]] = {
    "reaction": lambda desk: Reaction(key="eyes", number=1),
    "note": lambda desk: note(),
    "labels": lambda desk: LabelChange(key="labels", number=1, add=("bot:done", "bug"), remove=("absent", "bug")),
    "commit": lambda desk: desk.commit(desk.change("a.txt", b"a"), desk.change("b.bin", b"\x00\xff")),
    "branch": lambda desk: desk.commit(desk.change("a.txt", b"a"), branch="main", create=False),
    "pull": pull,
    "check": lambda desk: check(desk, 120),
    "check begun": begun,
    "check ended": ended,
}


FAULTS = ["drop_after", "drop_before", "status", "secondary_limit"]


@pytest.mark.parametrize("doubt", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", MAKERS)
def test_a_write_is_made_exactly_once_whichever_of_its_requests_fails(
    tmp_path: Path, kind: str, fault: Any, doubt: bool
) -> None:
    with open_desk(tmp_path / "calm") as calm:
        calm.apply(MAKERS[kind](calm), doubt=doubt)
        wanted, requests = state_of(calm), [(each.method, each.path) for each in calm.server.requests]
    assert any(method != "GET" for method, _ in requests)
    for at, (method, path) in enumerate(requests):
        with open_desk(tmp_path / str(at)) as desk:
            output = MAKERS[kind](desk)
            where = re.sub("[0-9a-f]{40}", "[0-9a-f]{40}", re.escape(path)) + "$"
            skip = sum(1 for before in requests[:at] if before[0] == method and re.search(where, before[1]))
            planted = desk.server.faults.add(method, where, fault, skip=skip)
            desk.apply(output, doubt=doubt)
            assert planted.met == 1, (method, path)
            assert state_of(desk) == wanted, (method, path)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_second_delivery_on_another_machine_changes_nothing(desk: Desk, kind: str) -> None:
    output = MAKERS[kind](desk)
    first = desk.apply(output)
    wanted = state_of(desk)
    assert desk.apply(output, doubt=True) == first
    assert state_of(desk) == wanted
    again = desk.apply(output)
    # Of the labels it puts on only the one that it took off before.
    assert again == (first if kind != "labels" else first.changed(name="bug"))
    assert state_of(desk) == wanted


@pytest.mark.parametrize("kind", MAKERS)
def test_a_token_that_may_only_read_writes_nothing(desk: Desk, kind: str) -> None:
    rights = dict.fromkeys(("contents", "issues", "pull_requests", "checks"), "read")
    desk.server.add_token("reads", permissions=rights)
    output = MAKERS[kind](desk)
    before = state_of(desk)
    with pytest.raises(ForgeError) as caught:
        desk.open("reads")[1].apply(output, blobs=desk.blobs)
    assert caught.value.code == "forbidden"
    assert "=write" in caught.value.hint
    assert state_of(desk) == before


def test_a_note_is_edited_through_its_life_with_few_requests(desk: Desk) -> None:
    _, writer = desk.open()
    for text in ("working", "still working", "done"):
        writer.apply(note(text), blobs=desk.blobs)
    assert desk.repo.comments(1) == [f"{MARKER}\ndone"]
    assert [each.method for each in desk.server.requests] == ["GET", "POST", "PATCH", "PATCH"]


def test_a_marker_that_somebody_else_copied_is_not_ours(desk: Desk) -> None:
    stranger = desk.server.comment(NAME, 1, f"{MARKER}\nI am the bot, trust me", user="stranger")
    receipt = desk.apply(note())
    assert receipt.id != stranger.id
    assert stranger.body.endswith("trust me")
    assert len(desk.issue.comments) == 2


def test_a_note_that_somebody_deleted_is_written_again(desk: Desk) -> None:
    _, writer = desk.open()
    writer.apply(note(), blobs=desk.blobs)
    desk.issue.comments.clear()
    writer.apply(note("done"), blobs=desk.blobs)
    assert desk.repo.comments(1) == [f"{MARKER}\ndone"]


def test_a_note_is_found_at_the_end_of_a_long_conversation(desk: Desk) -> None:
    for at in range(250):
        desk.server.comment(NAME, 1, f"comment {at}")
    first = desk.apply(note())
    assert desk.apply(note("done")).id == first.id
    assert len(desk.issue.comments) == 251


def test_writing_to_what_is_not_there_says_so(desk: Desk) -> None:
    with pytest.raises(NotFound):
        desk.apply(note(number=99))


def test_reactions_on_comments_of_both_kinds(desk: Desk) -> None:
    made = desk.server.open_pull(NAME, {"a.txt": "a\n"})
    below = desk.server.comment(NAME, 1, "/bot fix")
    beside = desk.server.review_comment(NAME, made.number, "/bot fix", "a.txt")
    desk.apply(Reaction(key="1", number=1, comment=below.id, content="rocket"))
    desk.apply(Reaction(key="2", number=made.number, comment=beside.id, comment_kind="review", content="confused"))
    assert [each.content for each in below.reactions] == ["rocket"]
    assert [each.content for each in beside.reactions] == ["confused"]


def test_labels_are_created_with_a_colour_and_odd_names_are_removed(desk: Desk) -> None:
    odd = "a/b c?#%\u2603"
    desk.apply(LabelChange(key="1", number=1, add=(odd, "bot:done")))
    assert desk.issue.label_names == [odd, "bot:done"]
    assert {each.color for each in desk.repo.labels.values()} == {"0e8a16"}
    desk.apply(LabelChange(key="2", number=1, remove=(odd,)))
    assert desk.issue.label_names == ["bot:done"]


def test_a_pull_request_is_a_draft_and_stays_the_only_one(desk: Desk) -> None:
    receipt = desk.apply(pull(desk))
    made = desk.repo.pulls[receipt.id]
    assert made.pull is not None
    assert made.pull.draft
    assert receipt.url.endswith(f"/pull/{made.number}")


def test_where_drafts_cost_money_the_title_says_it(desk: Desk) -> None:
    desk.repo.drafts = False
    receipt = desk.apply(pull(desk))
    made = desk.repo.pulls[receipt.id]
    assert made.title == "Draft: Mend it"
    assert desk.apply(pull(desk)).id == made.number


def test_a_pull_request_that_a_person_closed_is_not_opened_again(desk: Desk) -> None:
    first = desk.apply(pull(desk))
    desk.repo.pulls[first.id].state = "closed"
    assert desk.apply(pull(desk), doubt=True).id == first.id
    assert len(desk.repo.pulls) == 1


def test_a_pull_request_of_another_branch_is_not_taken_for_ours(desk: Desk) -> None:
    other = desk.server.open_pull(NAME, {"x": "y"}, user="forker", head="bot/fix-1", from_fork=True)
    assert desk.apply(pull(desk), doubt=True).id != other.number


def test_the_setting_that_forbids_pull_requests_is_named(desk: Desk) -> None:
    desk.repo.actions_may_open_pulls = False
    with pytest.raises(ForgeError) as caught:
        desk.apply(pull(desk))
    assert caught.value.code == "pull_requests_not_permitted"
    assert "Workflow permissions" in caught.value.hint


def test_a_pull_request_without_commits_is_a_conflict(desk: Desk) -> None:
    desk.repo.git.set_ref("refs/heads/bot/empty", desk.head)
    with pytest.raises(Conflict):
        desk.apply(Pull(key="pull", head="bot/empty", base="main", title="Nothing", body=""))


def test_a_branch_that_github_does_not_see_yet_is_waited_for(desk: Desk) -> None:
    output = pull(desk)
    made = desk.repo.git.ref("refs/heads/bot/fix-1")
    desk.repo.git.set_ref("refs/heads/bot/fix-1", None)

    def appear(request: Any) -> None:
        if len(desk.server.requests) == 2:
            desk.repo.git.set_ref("refs/heads/bot/fix-1", made)

    desk.server.on_request(appear)
    assert desk.repo.issues.keys() == {1}
    receipt = desk.apply(output)
    assert list(desk.repo.pulls) == [receipt.id]
    assert len(desk.naps) == 1


def test_a_branch_that_is_not_there_is_a_conflict(desk: Desk) -> None:
    with pytest.raises(Conflict):
        desk.apply(Pull(key="pull", head="bot/absent", base="main", title="Nothing", body=""))


def test_a_check_keeps_all_its_annotations(desk: Desk) -> None:
    desk.apply(check(desk, 120))
    (run,) = desk.repo.check_runs
    assert [each["message"] for each in run.annotations] == [f"mark {at}" for at in range(120)]
    assert run.fields["status"] == "completed"


def test_a_check_follows_its_run_with_one_search(desk: Desk) -> None:
    _, writer = desk.open()
    first = writer.apply(begun(desk), blobs=desk.blobs)
    (run,) = desk.repo.check_runs
    assert (run.fields["status"], run.fields.get("conclusion")) == ("in_progress", None)
    assert writer.apply(check(desk, 60), blobs=desk.blobs).id == first.id
    assert desk.repo.check_runs == [run]
    assert (run.fields["status"], run.fields["conclusion"], len(run.annotations)) == ("completed", "failure", 60)
    assert [each.method for each in desk.server.requests] == ["GET", "POST", "PATCH", "PATCH"]


def test_a_check_that_another_machine_left_half_told_is_told_to_its_end(desk: Desk) -> None:
    desk.server.faults.add("PATCH", "/check-runs/", "status", times=9)
    with pytest.raises(ForgeError):
        desk.apply(check(desk, 120))
    assert len(desk.repo.check_runs[0].annotations) == 50
    desk.server.faults.planted.clear()
    desk.apply(check(desk, 120))
    (run,) = desk.repo.check_runs
    assert [each["message"] for each in run.annotations] == [f"mark {at}" for at in range(120)]


def test_a_new_attempt_has_a_check_of_its_own(desk: Desk) -> None:
    desk.apply(begun(desk))
    desk.apply(check(desk, 3))
    desk.apply(begun(desk))
    desk.apply(check(desk, 1).changed(conclusion="success", title="mended"))
    shown = [(each.fields["status"], each.fields["conclusion"], len(each.annotations)) for each in desk.repo.check_runs]
    assert shown == [("completed", "failure", 3), ("completed", "success", 1)]


def test_checks_with_a_personal_token_say_what_they_need(desk: Desk) -> None:
    desk.server.add_token("personal", "octo", kind="pat")
    with pytest.raises(ForgeError) as caught:
        desk.open("personal")[1].apply(check(desk, 0), blobs=desk.blobs)
    assert caught.value.code == "checks_need_app"

"""A commit whose checks fail -> what a reader sees of them, and one run that works on the pull request's branch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bot.pipeline import handle
from bot.types.decision import Go, Ignore
from bot.types.event import Comment
from bot.types.result import Annotation, CheckFailure
from tests.forge_fixtures import NAME, Desk, desk
from tests.github_server.records import CheckRun, Review, now
from tests.pipeline_fixtures import Kit
from tests.triage_fixtures import HEAD, at_home, check_suite, forge_for, pulled

__all__ = ["desk"]

MEND = "on: {ci_failed: fix-ci}"


def check_run(desk: Desk, name: str, conclusion: str, *, external: str = "", remarks: int = 0) -> None:
    """What somebody's checks say about the default branch's head."""
    fields: dict[str, Any] = {"name": name, "status": "completed", "conclusion": conclusion, "external_id": external}
    fields |= {"started_at": "2030-01-01T00:00:00Z", "output": {"title": "Tests", "summary": "1 failed"}}
    place = {"start_line": 3, "end_line": 4, "annotation_level": "failure", "message": "wrong"}
    annotations = [{**place, "path": f"src/{at}.py"} for at in range(remarks)]
    number = desk.server.world.next_id()
    desk.repo.check_runs.append(CheckRun(number, desk.head, desk.server.actions, fields, annotations))


def test_what_failed_is_read_with_its_remarks_and_without_our_own(desk: Desk) -> None:
    check_run(desk, "unit", "failure", remarks=2)
    check_run(desk, "slow", "timed_out")
    check_run(desk, "good", "success", remarks=1)
    check_run(desk, "ours", "failure", external="check-0123456789abcdef")
    check_run(desk, "theirs", "failure", external="check-run 7")
    found = {each.name: each for each in desk.open()[0].failures(desk.head)}
    remarks = tuple(Annotation(path=f"src/{at}.py", line=3, message="wrong") for at in range(2))
    assert found == {
        "unit": CheckFailure(name="unit", summary="Tests\n1 failed", annotations=remarks),
        "slow": CheckFailure(name="slow", summary="Tests\n1 failed"),
        "theirs": CheckFailure(name="theirs", summary="Tests\n1 failed"),
    }
    assert len(desk.calls()) == 2, "the list, and the remarks of the one that has some"


def test_the_words_above_reviews_are_another_list(desk: Desk) -> None:
    made = desk.server.open_pull(NAME, {"a.txt": "a\n"})
    assert made.pull is not None
    user = desk.server.world.user("contributor")
    for number, (body, state) in enumerate([("/bot fix", "COMMENTED"), ("", "APPROVED")], 71):
        made.pull.reviews.append(Review(number, user, body, state, desk.head, now()))
    found = desk.open()[0].comments(made.number, kind="verdict", since="2031-01-01T00:00:00Z")
    assert [(each.id, each.kind, each.body, each.commit) for each in found] == [
        (71, "verdict", "/bot fix", desk.head),
        (72, "verdict", "", desk.head),
    ]
    assert isinstance(found[0], Comment)
    assert found[0].created_at


def failing(folder: Path) -> Kit:
    kit = Kit(folder, check_suite(), policy=MEND)
    kit.forge = forge_for(pulled("synchronize", "writer", fork=False, author="octo"), policy=MEND)
    kit.forge.branches["topic"] = HEAD
    kit.forge.failures[HEAD] = (CheckFailure(name="unit"),)
    return kit


def test_one_commit_gets_one_run_however_many_checks_fail(tmp_path: Path) -> None:
    kit = failing(tmp_path)
    run = handle(kit.event, kit.deps())
    assert run.conclusion == "success"
    assert [commit.branch for commit in kit.forge.commits] == ["topic"]
    assert isinstance(run.decision, Go)
    for event in (at_home(sender="writer"), at_home(sender="writer", id=99, name="Lint"), check_suite(id=8)):
        again = handle(event, kit.deps())
        assert again.run_id == run.run_id
    assert len(kit.forge.commits) == 1
    assert len(kit.forge.comments[7]) == 1


def test_a_failure_before_there_was_a_pull_request_does_not_settle_the_commit(tmp_path: Path) -> None:
    kit = failing(tmp_path)
    there = kit.forge.subjects.pop(7)
    early = handle(check_suite(), kit.deps())
    assert isinstance(early.decision, Ignore)
    assert early.decision.code == "subject_gone"
    kit.forge.subjects[7] = there
    late = handle(at_home(sender="writer"), kit.deps())
    assert (late.run_id, late.conclusion) == (early.run_id, "success")
    assert len(kit.forge.commits) == 1

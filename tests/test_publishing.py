"""What moved between the gate and the publication stops it, with a reason that people read; nothing is forced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.pipeline import handle
from bot.testing.forge import FakeForge
from bot.testing.sandbox import FakeProvider
from bot.types.output import Commit, Output
from bot.types.sandbox import ExecRequest, ExecResult
from tests.pipeline_fixtures import POLICY, Kit, make
from tests.triage_fixtures import HEAD, MOVED, forge_for, pulled

Move = Callable[[FakeForge], None]


def subject_to(**fields: object) -> Move:
    def move(forge: FakeForge) -> None:
        forge.subjects[7] = forge.subjects[7].changed(**fields)

    return move


def policy_to(text: str | None) -> Move:
    def move(forge: FakeForge) -> None:
        forge.files.pop((".github/bot.yml", "main"))
        if text is not None:
            forge.files[".github/bot.yml", "main"] = text.encode()

    return move


def kit_that_moves(folder: Path, move: Move) -> Kit:
    kit = Kit(folder)

    def meanwhile(request: ExecRequest, workspace: Path) -> ExecResult:
        if request.argv == ("make", "generate"):
            move(kit.forge)
        return make(request, workspace)

    kit.sandboxes = FakeProvider(folder / "boxes", meanwhile)
    return kit


@pytest.mark.parametrize(
    ("move", "reason"),
    [
        (subject_to(locked=True), "was locked while it ran"),
        (subject_to(state="closed"), "#7 was closed while it ran"),
        (subject_to(labels=("other",)), "'bot:regenerate' was taken off"),
        (policy_to(POLICY + "limits: {minutes: 1}\n"), "the policy was changed"),
        (policy_to(None), "the policy was changed"),
        (lambda forge: forge.permissions.update(writer="triage"), "no longer has the permission"),
    ],
)
def test_what_moved_holds_everything_and_is_said(tmp_path: Path, move: Move, reason: str) -> None:
    kit = kit_that_moves(tmp_path, move)
    run = handle(kit.event, kit.deps())
    assert run.conclusion == "action_required"
    assert (kit.forge.commits, kit.forge.pulls) == ([], [])
    assert "regenerated" not in kit.forge.subjects[7].labels
    assert [each.conclusion for each in kit.forge.checks] == ["action_required"]
    assert reason in kit.forge.comments[7][-1].body
    assert "bot:regenerate" not in kit.forge.subjects[7].labels


def test_a_subject_that_is_gone_is_a_true_failure(tmp_path: Path) -> None:
    kit = kit_that_moves(tmp_path, lambda forge: forge.subjects.clear())
    run = handle(kit.event, kit.deps())
    assert (run.status, run.conclusion) == ("completed", "failure")
    assert run.failure is not None
    assert run.failure.code == "subject_gone"
    assert (kit.forge.commits, kit.forge.pulls) == ([], [])


def test_what_we_did_ourselves_before_a_crash_does_not_stop_us(tmp_path: Path) -> None:
    class Crash(BaseException): ...

    def die(output: Output) -> None:
        if output.kind == "commit":
            subject_to(locked=True)(kit.forge)
            raise Crash

    kit = Kit(tmp_path)
    with pytest.raises(Crash):
        handle(kit.event, kit.deps(after=die))
    run = handle(kit.event, kit.deps())
    assert run.conclusion == "success"
    assert len(kit.forge.commits) == len(kit.forge.pulls) == 1


def kit_on_a_branch_that_moves(folder: Path) -> Kit:
    event = pulled("labeled", "writer", label="bot:regenerate", fork=False, author="writer")
    kit = Kit(folder, event)
    kit.forge = forge_for(event, policy=POLICY)
    kit.forge.branches["topic"] = HEAD

    def meanwhile(request: ExecRequest, workspace: Path) -> ExecResult:
        kit.forge.branches["topic"] = MOVED
        return make(request, workspace)

    kit.sandboxes = FakeProvider(folder / "boxes", meanwhile)
    return kit


def test_a_branch_that_moves_back_after_a_crash_does_not_get_both(tmp_path: Path) -> None:
    class Crash(BaseException): ...

    def die(output: Output) -> None:
        if output.key == "commit-new":
            kit.forge.branches["topic"] = HEAD
            raise Crash

    kit = kit_on_a_branch_that_moves(tmp_path)
    with pytest.raises(Crash):
        handle(kit.event, kit.deps(after=die))
    run = handle(kit.event, kit.deps())
    assert run.conclusion == "success"
    assert kit.forge.branches["topic"] == HEAD
    assert len(kit.forge.commits) == len(kit.forge.pulls) == 1


def test_a_commit_that_fits_no_more_becomes_a_pull_request_into_the_branch(tmp_path: Path) -> None:
    kit = kit_on_a_branch_that_moves(tmp_path)
    run = handle(kit.event, kit.deps())
    assert run.conclusion == "success"
    assert kit.forge.branches["topic"] == MOVED
    (commit,) = kit.forge.commits
    assert isinstance(commit, Commit)
    assert (commit.create, commit.parent, commit.branch[:4]) == (True, HEAD, "bot/")
    (pull,) = kit.forge.pulls
    assert (pull.head, pull.base) == (commit.branch, "topic")
    assert "`topic` moved on meanwhile" in kit.forge.comments[7][-1].body

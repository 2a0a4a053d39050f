"""GitHub is away while a run ends: who is called again with the same event says the end, and pays for nothing twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.api.server import abandon
from bot.errors import ForgeError, SandboxError
from bot.forge.client.pace import Paces
from bot.marks import Mark, read_mark
from bot.pipeline import handle, propose
from bot.publishing import unfinished
from bot.testing.sandbox import FakeProvider
from bot.types.decision import Refuse
from bot.types.event import Commented
from bot.types.output import Output
from bot.types.sandbox import ExecRequest, ExecResult
from tests.github_server.exchange import Request
from tests.pipeline_fixtures import Kit
from tests.stage import NAME, Stage, command_on_pull, labelled_issue, staged
from tests.triage_fixtures import commented


def broken(request: ExecRequest, workspace: Path) -> ExecResult:
    raise SandboxError("engine_gone", "the engine is gone")


def away_from(stage: Stage, begins: Callable[[Request], bool]) -> Callable[[], None]:
    """Nothing is answered from the first such request on; what is returned brings GitHub back."""
    lasting = stage.server.faults.add("*", ".*", "drop_before", times=0)

    def look(request: Request) -> None:
        if begins(request) and not back:
            lasting.times = -1

    def come_back() -> None:
        back.append(True)
        lasting.times = 0

    back: list[bool] = []
    stage.server.on_request(look)
    return come_back


def told(stage: Stage) -> Mark:
    """What the one status comment says."""
    (mark,) = [mark for each in stage.server.repo(NAME).comments(stage.allowed.number) if (mark := read_mark(each))]
    return mark


def calls(stage: Stage) -> int:
    """How often a model was asked, over all tries."""
    return sum(len(each.heard) for each in stage.models)


@pytest.mark.parametrize(
    "path", [r"/git/trees$", r"/git/refs$", r"/pulls$", r"/check-runs/\d+$", r"/contents/\.github/bot\.yml$"]
)
def test_what_was_being_published_is_gone_on_with_by_the_same_delivery(tmp_path: Path, path: str) -> None:
    with staged(labelled_issue, tmp_path / "calm") as stage:
        stage.judge(stage.play())
        calm, price = stage.state(), calls(stage)
    with staged(labelled_issue, tmp_path / "here") as stage:
        seen: list[Request] = []

        def begins(request: Request) -> bool:
            if re.search(path, request.path):
                seen.append(request)
            late = len(seen) > 1 if "contents" in path else bool(seen)  # the gate reads the policy first
            return late and (request.method != "GET" or "contents" in path)

        come_back = away_from(stage, begins)
        first = stage.judge(stage.play(), reachable=False)
        assert (first.status, first.conclusion) == ("completed", "failure")
        assert told(stage).status == "in_progress"
        assert unfinished(first)
        come_back()
        again = stage.judge(stage.play())
        assert again.conclusion == "success", again.failure
        assert (told(stage).status, told(stage).conclusion) == ("completed", "success")
        assert calls(stage) == price
        assert stage.state() == calm
        assert not unfinished(again)


def test_an_end_that_nobody_heard_is_said_by_the_same_delivery(tmp_path: Path) -> None:
    """The model's provider fails, and GitHub is away when that is to be said: nothing is paid for once more."""
    with staged(labelled_issue, tmp_path) as stage:
        stage.script = ()
        come_back = away_from(stage, lambda request: request.method == "PATCH")
        first = stage.judge(stage.play(), reachable=False)
        assert first.conclusion == "failure"
        assert told(stage).status == "in_progress"
        assert unfinished(first)
        price = calls(stage)
        come_back()
        again = stage.judge(stage.play())
        assert (again.conclusion, again.failure) == (first.conclusion, first.failure)
        assert (told(stage).status, told(stage).conclusion) == ("completed", "failure")
        assert calls(stage) == price
        assert not unfinished(again)


def test_what_was_not_even_decided_is_decided_by_the_same_delivery(tmp_path: Path) -> None:
    with staged(labelled_issue, tmp_path) as stage:
        come_back = away_from(stage, lambda request: True)
        first = stage.judge(stage.play(), reachable=False)
        assert (first.conclusion, first.decision) == ("failure", None)
        assert unfinished(first)
        come_back()
        assert stage.judge(stage.play()).conclusion == "success"


def test_a_run_that_ends_the_process_each_time_is_said_to_be_over(tmp_path: Path) -> None:
    class Killed(BaseException): ...

    def die(workspace: Path) -> None:
        raise Killed

    with staged(labelled_issue, tmp_path) as stage:
        stage.working = die
        with pytest.raises(Killed):
            stage.play()
        assert told(stage).status == "in_progress"
        abandon(stage.settings, {}, Paces(), stage.event, "it never came to an end")
        assert (told(stage).status, told(stage).conclusion) == ("completed", "failure")
        assert "it never came to an end" in stage.server.repo(NAME).comments(stage.allowed.number)[-1]
        (check,) = stage.server.repo(NAME).check_runs
        assert check.fields["conclusion"] == "failure"


def test_an_answer_that_got_lost_is_given_by_the_same_delivery(tmp_path: Path) -> None:
    kit = Kit(tmp_path, commented("/bot help"))

    def lose(output: Output) -> None:
        if output.kind == "note":
            raise ForgeError("unreachable", "GitHub did not answer")

    first = handle(kit.event, kit.deps(before=lose))
    assert (first.conclusion, unfinished(first)) == ("failure", True)
    again = handle(kit.event, kit.deps())
    assert (again.conclusion, unfinished(again)) == ("success", False)
    assert len([each for each in kit.forge.comments[7] if "regenerate" in each.body]) == 1


def test_two_refusals_at_the_same_time_are_one(tmp_path: Path) -> None:
    first = commented("/bot fix", "reader")
    assert isinstance(first.trigger, Commented)
    assert first.subject is not None
    kit = Kit(tmp_path, first)
    kit.forge.comments[7] = [first.trigger.comment]
    kit.forge.subjects[8], kit.forge.comments[8] = first.subject.changed(number=8), [first.trigger.comment]
    second = first.changed(id="on another issue", subject=kit.forge.subjects[8])

    def meanwhile(output: Output) -> None:
        assert isinstance(handle(second, kit.deps()).decision, Refuse)

    assert isinstance(handle(first, kit.deps(before=meanwhile)).decision, Refuse)
    assert (len(kit.forge.comments[7]), len(kit.forge.comments[8])) == (2, 1)


def test_a_proposal_is_made_anew_where_somebody_starts_it_again(tmp_path: Path) -> None:
    """On a runner that keeps its disk: what the first attempt ended with is not the end of the second."""
    kit = Kit(tmp_path)
    sandboxes, kit.sandboxes = kit.sandboxes, FakeProvider(tmp_path / "none", broken)
    assert propose(kit.event, kit.deps()).conclusion == "failure"
    kit.sandboxes = sandboxes
    run = propose(kit.event.changed(attempt=2), kit.deps())
    assert run.result is not None
    assert (run.result.conclusion, run.status, run.conclusion) == ("success", "in_progress", None)


@pytest.mark.parametrize("lost", [False, True])
def test_what_the_first_attempt_left_is_known_to_the_second_and_to_undo(tmp_path: Path, lost: bool) -> None:
    """The commit is on the branch, the label is refused; the second attempt finds nothing to change any more."""
    with staged(command_on_pull, tmp_path) as stage:
        stage.server.faults.add("POST", r"/issues/\d+/labels$", "status", times=1, status=422)
        assert stage.judge(stage.play()).conclusion == "failure"
        made = told(stage).made
        assert (made.branch, made.sha) == ("feature", stage.server.repo(NAME).git.ref("refs/heads/feature"))
        if lost:
            stage.machine_lost()
        assert stage.judge(stage.play(attempt=2)).conclusion == "success"
        assert (told(stage).made.branch, told(stage).made.sha) == (made.branch, made.sha)

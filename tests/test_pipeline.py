"""From an event to a published run: every ending is true, and nothing happens twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.errors import Conflict, ForgeError, ModelError, SandboxError, SandboxExpired
from bot.marks import read_mark, stop_marker
from bot.pipeline import exit_code, handle, propose
from bot.store.folder import FolderStore
from bot.testing.llm import call
from bot.testing.sandbox import FakeProvider, exited
from bot.types.decision import Answer, Go, Ignore, Refuse
from bot.types.event import Comment, Commented
from bot.types.output import Commit, Output
from bot.types.run import Run, run_id_of
from bot.types.sandbox import ExecRequest, ExecResult
from tests.pipeline_fixtures import Kit, make
from tests.triage_fixtures import commented, labeled


class Crash(BaseException):
    """The process dies here: no handler of the product may run."""


def status(kit: Kit) -> str:
    return kit.forge.comments[7][-1].body


def test_a_label_becomes_a_draft_pull_request(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    run = handle(kit.event, kit.deps())
    assert (run.status, run.conclusion, exit_code(run)) == ("completed", "success", 0)
    assert isinstance(run.decision, Go)
    assert run.result is not None
    assert [(each.path, each.kind, each.added, each.deleted) for each in run.result.changes.files] == [
        ("table.txt", "modified", 1, 1)
    ]
    assert [(each.phase, each.ok) for each in run.result.reports] == [
        ("before", False),
        ("task", True),
        ("after", True),
    ]
    branch = f"bot/regenerate-7-{run.run_id[:8]}"
    assert kit.state()["branches"] == sorted(["main", branch])
    assert [each.head for each in kit.forge.pulls] == [branch]
    assert "Fixes #7" in kit.forge.pulls[0].body
    assert [each.conclusion for each in kit.forge.checks] == ["success"]
    assert kit.forge.subjects[7].labels == ("regenerated",)
    assert [each.content for each in kit.forge.reactions] == ["eyes"]
    assert len(kit.forge.comments[7]) == 1
    mark = read_mark(status(kit))
    assert mark is not None
    assert (mark.status, mark.conclusion) == ("completed", "success")
    assert kit.sandboxes.made[0].closed
    folder = kit.settings.state / "runs" / run.run_id
    assert {"run.json", "changes.patch", "result.json", "report.md"} <= {each.name for each in folder.iterdir()}


def test_an_agent_fixes_and_its_words_are_published(tmp_path: Path) -> None:
    kit = Kit(tmp_path, commented("/bot fix the table, please"))
    run = handle(kit.event, kit.deps())
    assert (run.conclusion, run.result and run.result.title) == ("success", "Renew the table")
    assert kit.forge.pulls[0].title == "Renew the table"
    assert "It was **old**." in status(kit)
    assert (kit.settings.state / "runs" / run.run_id / "trajectory.json").is_file()


def test_a_second_delivery_does_nothing(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    first = handle(kit.event, kit.deps())
    reads = len(kit.forge.reads)
    deps = kit.deps(before=lambda output: pytest.fail(f"{output.kind} was written again"))
    assert handle(kit.event, deps) == first
    assert len(kit.forge.reads) == reads


def test_a_second_delivery_on_another_machine_does_nothing_either(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    handle(kit.event, kit.deps())
    seen = kit.state()
    deps = kit.deps(
        before=lambda output: pytest.fail(f"{output.kind} was written again"),
        store=FolderStore(tmp_path / "other-machine"),
    )
    assert handle(kit.event, deps).conclusion == "skipped"
    assert (kit.state(), len(kit.sandboxes.made)) == (seen, 1)


def test_a_failed_event_is_served_again_when_a_person_starts_it_again(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    kit.sandboxes = FakeProvider(tmp_path / "none", error=SandboxError("docker_unavailable", "no engine"))
    assert exit_code(handle(kit.event, kit.deps())) == 3
    kit.sandboxes = FakeProvider(tmp_path / "boxes", make)
    assert handle(kit.event, kit.deps()).conclusion == "failure", "the same delivery changes nothing"
    again = handle(kit.event.changed(attempt=2), kit.deps(store=FolderStore(tmp_path / "other-machine")))
    assert again.conclusion == "success"
    assert len(kit.forge.comments[7]) == 1, "one status comment for all attempts"


def count_writes(tmp_path: Path) -> int:
    kit, writes = Kit(tmp_path / "count"), 0

    def one(output: Output) -> None:
        nonlocal writes
        writes += 1

    tmp_path.joinpath("count").mkdir()
    handle(kit.event, kit.deps(before=one))
    return writes


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_write_loses_nothing_and_repeats_nothing(tmp_path: Path, moment: str) -> None:
    calm = Kit(tmp_path / "calm")
    (tmp_path / "calm").mkdir()
    expected_run, expected = handle(calm.event, calm.deps()), calm.state()
    total = count_writes(tmp_path)
    assert total >= 6
    for stop_at in range(total):
        folder = tmp_path / f"{moment}-{stop_at}"
        folder.mkdir()
        kit, seen = Kit(folder), 0

        def crash(output: Output, stop_at: int = stop_at) -> None:
            nonlocal seen
            seen += 1
            if seen == stop_at + 1:
                raise Crash

        with pytest.raises(Crash):
            handle(kit.event, kit.deps(before=crash) if moment == "before" else kit.deps(after=crash))
        run = handle(kit.event, kit.deps())
        assert (run.conclusion, kit.state()) == (expected_run.conclusion, expected), f"write {stop_at}"
        assert len(kit.sandboxes.made) == 1, "the work was not done twice"


class CrashingStore(FolderStore):
    """A store whose process dies right before or right after a save."""

    def __init__(self, root: Path, stop_at: int, *, saved: bool) -> None:
        super().__init__(root)
        self.left, self.saved = stop_at, saved

    def save(self, run: Run) -> Run:
        self.left -= 1
        if self.left == 0 and not self.saved:
            raise Crash
        kept = super().save(run)
        if self.left == 0:
            raise Crash
        return kept


@pytest.mark.parametrize("saved", [True, False])
def test_a_crash_at_any_save_loses_nothing_and_repeats_nothing(tmp_path: Path, saved: bool) -> None:
    (tmp_path / "calm").mkdir()
    calm = Kit(tmp_path / "calm")
    expected_run, expected = handle(calm.event, calm.deps()), calm.state()
    stop_at, crashed = 1, True
    while crashed:
        folder = tmp_path / f"save-{stop_at}"
        folder.mkdir()
        kit = Kit(folder)
        store = CrashingStore(kit.settings.state, stop_at, saved=saved)
        try:
            handle(kit.event, kit.deps(store=store))
            crashed = False
        except Crash:
            pass
        run = handle(kit.event, kit.deps())
        assert (run.conclusion, kit.state()) == (expected_run.conclusion, expected), f"save {stop_at}"
        stop_at += 1
    assert stop_at > 8


def test_a_container_of_a_dead_process_is_swept_before_the_work_starts_again(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    run = handle(kit.event, kit.deps())
    assert kit.sandboxes.swept == [run.run_id, None], "its own, and those of every other dead process"


def never(request: ExecRequest, workspace: Path) -> ExecResult:
    return ExecResult(ending="oom", exit_code=137)


@pytest.mark.parametrize(
    ("script", "conclusion", "code", "word"),
    [
        (never, "failure", 1, "memory"),
        (lambda request, workspace: ExecResult(ending="timed_out", exit_code=124), "timed_out", 1, "time"),
        (lambda request, workspace: exited(3, b"boom"), "failure", 1, "make generate"),
    ],
)
def test_a_task_that_fails_says_so_and_pushes_nothing(
    tmp_path: Path, script: Callable[[ExecRequest, Path], ExecResult], conclusion: str, code: int, word: str
) -> None:
    kit = Kit(tmp_path)
    kit.sandboxes = FakeProvider(tmp_path / "boxes", script)
    run = handle(kit.event, kit.deps())
    assert (run.conclusion, exit_code(run)) == (conclusion, code)
    assert word in status(kit)
    assert kit.forge.commits == []
    assert [each.conclusion for each in kit.forge.checks] == [conclusion]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SandboxError("docker_unavailable", "no engine answers", hint="start one"), 3),
        (ModelError("model_unavailable", "the provider is down", hint="try later"), 3),
    ],
)
def test_a_provider_that_fails_is_named_in_the_comment(tmp_path: Path, error: Exception, code: int) -> None:
    kit = Kit(tmp_path, commented("/bot fix"))
    if isinstance(error, SandboxError):
        kit.sandboxes = FakeProvider(tmp_path / "none", error=error)
    else:
        kit.script = [error]  # type: ignore[list-item]  # a script's line may be an error
    run = handle(kit.event, kit.deps())
    assert (run.status, run.conclusion, exit_code(run)) == ("completed", "failure", code)
    assert str(error.args[0]) in status(kit)
    assert run.failure is not None
    assert run.failure.hint in status(kit)


def test_a_wall_clock_that_ends_the_sandbox_is_a_time_out(tmp_path: Path) -> None:
    kit = Kit(tmp_path)

    def expired(request: ExecRequest, workspace: Path) -> ExecResult:
        raise SandboxExpired

    kit.sandboxes = FakeProvider(tmp_path / "boxes", expired)
    run = handle(kit.event, kit.deps())
    assert (run.conclusion, exit_code(run)) == ("timed_out", 1)


def test_a_defect_ends_the_comment_and_is_raised(tmp_path: Path) -> None:
    kit = Kit(tmp_path)

    def defect(request: ExecRequest, workspace: Path) -> ExecResult:
        raise ZeroDivisionError

    kit.sandboxes = FakeProvider(tmp_path / "boxes", defect)
    with pytest.raises(ZeroDivisionError):
        handle(kit.event, kit.deps())
    mark = read_mark(status(kit))
    assert mark is not None
    assert (mark.status, mark.conclusion) == ("completed", "failure")
    assert kit.sandboxes.made[0].closed


def test_a_conflict_while_publishing_is_the_ending(tmp_path: Path) -> None:
    kit = Kit(tmp_path)

    def moved(output: Output) -> None:
        if isinstance(output, Commit):
            raise Conflict("head_moved", "the branch is not where it was", hint="start the task again")

    run = handle(kit.event, kit.deps(before=moved))
    assert (run.conclusion, exit_code(run)) == ("failure", 3)
    assert "the branch is not where it was" in status(kit)
    assert kit.forge.pulls == []


def test_a_publication_that_failed_is_gone_on_with_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    kit = Kit(tmp_path)

    def refuse(output: Output) -> None:
        if output.kind == "pull":
            raise ForgeError("pull_requests_not_permitted", "GitHub refuses", hint="allow it")

    failed = handle(kit.event, kit.deps(before=refuse))
    assert (failed.conclusion, len(kit.forge.commits), len(kit.sandboxes.made)) == ("failure", 1, 1)
    again = handle(kit.event.changed(attempt=2), kit.deps())
    assert (again.conclusion, len(kit.forge.commits), len(kit.forge.pulls)) == ("success", 1, 1)
    assert len(kit.sandboxes.made) == 1, "the work was done already"
    mark = read_mark(status(kit))
    assert mark is not None
    assert (mark.conclusion, mark.attempt) == ("success", 2)
    assert [each.conclusion for each in kit.forge.checks] == ["success"]


def test_a_token_that_may_not_write_checks_costs_the_check_alone(tmp_path: Path) -> None:
    kit = Kit(tmp_path)

    def refused(output: Output) -> None:
        if output.kind == "check":
            raise ForgeError("checks_need_app", "only Apps write check runs")

    run = handle(kit.event, kit.deps(before=refused))
    assert (run.conclusion, len(kit.forge.pulls), kit.forge.checks) == ("success", 1, [])
    assert any("only Apps" in each.text for each in kit.news.told)


def test_a_forge_that_takes_no_comment_still_leaves_a_true_record(tmp_path: Path) -> None:
    kit = Kit(tmp_path)

    def down(output: Output) -> None:
        raise ForgeError("unreachable", "GitHub does not answer")

    run = handle(kit.event, kit.deps(before=down))
    assert (run.status, run.conclusion, exit_code(run)) == ("completed", "failure", 3)
    assert kit.forge.comments[7] == []


def test_a_signal_cancels(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    run = handle(kit.event, kit.deps(cancelled=lambda: True))
    assert (run.conclusion, exit_code(run)) == ("cancelled", 130)
    mark = read_mark(status(kit))
    assert mark is not None
    assert mark.conclusion == "cancelled"
    assert kit.forge.commits == []


def test_permission_withdrawn_while_it_ran_holds_the_proposal(tmp_path: Path) -> None:
    kit = Kit(tmp_path)

    def leave(request: ExecRequest, workspace: Path) -> ExecResult:
        kit.forge.permissions["writer"] = "read"
        return make(request, workspace)

    kit.sandboxes = FakeProvider(tmp_path / "boxes", leave)
    run = handle(kit.event, kit.deps())
    assert run.conclusion == "action_required"
    assert kit.forge.commits == []
    assert "no longer has the permission" in status(kit)


def test_a_protected_path_holds_the_whole_proposal(tmp_path: Path) -> None:
    kit = Kit(tmp_path)

    def both(request: ExecRequest, workspace: Path) -> ExecResult:
        (workspace / ".github" / "workflows").mkdir(parents=True, exist_ok=True)
        (workspace / ".github" / "workflows" / "x.yml").write_text("on: push\n")
        return make(request, workspace)

    kit.sandboxes = FakeProvider(tmp_path / "boxes", both)
    run = handle(kit.event, kit.deps())
    assert (run.conclusion, exit_code(run)) == ("action_required", 0)
    assert kit.forge.commits == []
    assert ".github/workflows/x.yml" in status(kit)
    assert "table.txt" in (kit.settings.state / "runs" / run.run_id / "changes.patch").read_text()


def test_a_secret_never_leaves(tmp_path: Path) -> None:
    kit = Kit(tmp_path, commented("/bot fix"))
    finish = {"title": "The key is hunter2-hunter2", "summary": "hunter2-hunter2", "success": True}
    kit.script = [call("write", {"path": "table.txt", "content": "new\n"}), call("finish", finish)]
    run = handle(kit.event, kit.deps())
    assert run.conclusion == "action_required"
    assert kit.forge.commits == []
    published = "".join(each.body for each in kit.forge.comments[7])
    files = (each for each in (kit.settings.state / "runs" / run.run_id).iterdir() if each.is_file())
    assert "hunter2-hunter2" not in published + "".join(each.read_text() for each in files)


def test_who_may_not_is_told_once_a_day_and_nothing_is_spent(tmp_path: Path) -> None:
    first = commented("/bot fix", "reader")
    assert isinstance(first.trigger, Commented)
    comment = first.trigger.comment.changed(id=101)
    second = first.changed(id="another", trigger=first.trigger.changed(comment=comment))
    kit = Kit(tmp_path, first)
    kit.forge.comments[7] = [first.trigger.comment, comment]
    assert first.subject is not None
    kit.forge.subjects[8] = first.subject.changed(number=8)
    kit.forge.comments[8] = [comment]
    elsewhere = second.changed(id="on another issue", subject=kit.forge.subjects[8])
    for event in (first, second, elsewhere):
        run = handle(event, kit.deps())
        assert isinstance(run.decision, Refuse)
        assert exit_code(run) == 0
    assert len(kit.forge.comments[7]) == 3
    assert len(kit.forge.comments[8]) == 1, "one word a day in the whole repository"
    assert kit.sandboxes.made == []


def test_a_broken_policy_is_told_to_whoever_may_mend_it(tmp_path: Path) -> None:
    kit = Kit(tmp_path, policy="tasks: {fix: {verfy: []}}")
    run = handle(kit.event, kit.deps())
    assert (run.conclusion, exit_code(run)) == ("failure", 2)
    assert "did you mean `verify`" in status(kit)


def test_what_is_ignored_is_recorded_and_nobody_hears_of_it(tmp_path: Path) -> None:
    kit = Kit(tmp_path, labeled("documentation"))
    run = handle(kit.event, kit.deps(before=lambda output: pytest.fail("a write")))
    assert isinstance(run.decision, Ignore)
    assert (run.status, run.conclusion) == ("completed", "skipped")


def test_help_answers_without_a_sandbox(tmp_path: Path) -> None:
    kit = Kit(tmp_path, commented("/bot help"))
    run = handle(kit.event, kit.deps())
    assert isinstance(run.decision, Answer)
    assert "regenerate" in status(kit)
    assert kit.sandboxes.made == []


def test_propose_writes_nothing_and_handle_goes_on_from_there(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    proposed = propose(kit.event, kit.deps(before=lambda output: pytest.fail("a write")))
    assert proposed.status == "in_progress"
    assert proposed.result is not None
    run = handle(kit.event, kit.deps())
    assert (run.conclusion, len(kit.sandboxes.made)) == ("success", 1)
    assert len(kit.forge.pulls) == 1


def test_a_stop_comment_of_ours_stops_a_run_and_a_strangers_does_not(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    marker = stop_marker(run_id_of(kit.event))
    late = "2099-01-01T00:00:00Z"
    stranger = Comment(id=1, author=kit.event.actor, body=marker, created_at=late, updated_at=late)
    kit.forge.comments[7] = [stranger]
    assert handle(kit.event, kit.deps()).conclusion == "success"


def test_the_story_is_told_in_order(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    handle(kit.event, kit.deps())
    stages = list(dict.fromkeys(each.stage for each in kit.news.told))
    assert stages.index("decide") < stages.index("sandbox") < stages.index("collect") < stages.index("done")


def test_a_secret_in_what_failed_is_hidden_too(tmp_path: Path) -> None:
    kit = Kit(tmp_path, commented("/bot fix"))
    kit.script = [call("finish", {"title": "No", "summary": "I saw hunter2-hunter2", "success": False})]
    run = handle(kit.event, kit.deps())
    assert run.conclusion == "failure"
    assert "hunter2-hunter2" not in run.model_dump_json() + status(kit)

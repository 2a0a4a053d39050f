"""The command runtime: a task's commands in a folder, and what it says about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.agent.runtimes.command import CommandRuntime
from bot.errors import Cancelled
from bot.types.result import Outcome
from bot.types.task import Task
from tests.agent_fixtures import FolderSandbox, News, never, spec_of

GENERATE = ("sh", "-c", "tr a-z A-Z < names.txt > NAMES.txt")
FRESH = ("sh", "-c", "tr a-z A-Z < names.txt | cmp - NAMES.txt")


def run(root: Path, **task: object) -> tuple[Outcome, FolderSandbox, News]:
    sandbox, news = FolderSandbox(root), News()
    spec = spec_of(Task.model_validate({"name": "regenerate", "runtime": "command", **task}))
    return CommandRuntime().run(spec, sandbox, watch=news, cancelled=never), sandbox, news


def test_a_stale_file_is_regenerated_and_verified(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("ann\n")
    (tmp_path / "NAMES.txt").write_text("OLD\n")
    outcome, _, news = run(tmp_path, commands=[GENERATE], verify=[FRESH], description="Regenerate the names")
    assert outcome.conclusion == "success"
    assert outcome.title == "Regenerate the names"
    assert "failed before the change and passes after it" in outcome.summary
    assert [(each.phase, each.ok) for each in outcome.reports] == [("before", False), ("task", True), ("after", True)]
    assert (tmp_path / "NAMES.txt").read_text() == "ANN\n"
    assert {progress.stage for progress in news.heard} == {"work"}


def test_a_failing_command_ends_the_run_with_its_exit_code(tmp_path: Path) -> None:
    outcome, sandbox, _ = run(tmp_path, commands=[("sh", "-c", "echo why >&2; exit 3"), ("touch", "x")])
    assert outcome.conclusion == "failure"
    assert outcome.failure is not None
    assert outcome.failure.code == "command_failed"
    assert "exit code 3" in outcome.failure.message
    assert outcome.failure.hint
    assert outcome.reports[-1].output == "why"
    assert len(sandbox.ran) == 1


def test_a_failing_setup_ends_the_run_before_the_task(tmp_path: Path) -> None:
    outcome, sandbox, _ = run(tmp_path, setup=[("no-such-program",)], commands=[("touch", "x")])
    assert outcome.failure is not None
    assert outcome.failure.code == "setup_not_found"
    assert sandbox.ran == [("no-such-program",)]


def test_what_the_task_breaks_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "good").touch()
    outcome, _, _ = run(tmp_path, commands=[("rm", "good")], verify=[("test", "-e", "good")])
    assert outcome.conclusion == "failure"
    assert outcome.failure is not None
    assert outcome.failure.code == "verification_failed"


@pytest.mark.parametrize(("ending", "conclusion"), [("timed_out", "timed_out"), ("oom", "failure")])
def test_limits_of_the_sandbox_are_named(tmp_path: Path, ending: str, conclusion: str) -> None:
    sandbox = FolderSandbox(tmp_path, endings={"sleep": ending})  # type: ignore[dict-item]
    spec = spec_of(Task(name="run", runtime="command", commands=(("sleep", "9"),)))
    outcome = CommandRuntime().run(spec, sandbox, watch=News(), cancelled=never)
    assert outcome.conclusion == conclusion
    assert outcome.failure is not None
    assert "limits." in outcome.failure.hint


def test_the_wall_clock_of_the_run_ends_it(tmp_path: Path) -> None:
    sandbox = FolderSandbox(tmp_path)
    spec = spec_of(Task(name="run", runtime="command", commands=(("true",), ("echo", "never"))))
    runtime = CommandRuntime(clock=lambda: len(sandbox.ran) * 10_000.0)
    outcome = runtime.run(spec, sandbox, watch=News(), cancelled=never)
    assert outcome.conclusion == "timed_out"
    assert outcome.failure is not None
    assert outcome.failure.code == "time_limit"
    assert sandbox.ran == [("true",)]


def test_a_test_task_finds_its_command(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("test:\n\t@echo tested\n")
    outcome, sandbox, _ = run(tmp_path, name="test")
    assert outcome.conclusion == "success"
    assert sandbox.ran == [("make", "test")]


@pytest.mark.parametrize("name", ["test", "lint", "other"])
def test_a_task_without_commands_says_where_they_go(tmp_path: Path, name: str) -> None:
    outcome, _, _ = run(tmp_path, name=name)
    assert outcome.conclusion == "failure"
    assert outcome.failure is not None
    assert outcome.failure.code == "no_commands"
    assert ".github/bot.yml" in outcome.failure.hint


def test_a_person_can_stop_it(tmp_path: Path) -> None:
    spec = spec_of(Task(name="run", runtime="command", commands=(("true",),)))
    with pytest.raises(Cancelled):
        CommandRuntime().run(spec, FolderSandbox(tmp_path), watch=News(), cancelled=lambda: True)

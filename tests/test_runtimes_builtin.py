"""The runtime with a model: the whole of setup, verification, work, second thoughts, and the conclusion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.agent.runtimes.builtin import NOT_VERIFIED, SECOND_TRIES, BuiltinRuntime
from bot.errors import Cancelled, ModelError
from bot.protocols import AgentRuntime
from bot.testing.llm import Line, ScriptedLLM, call
from bot.types.result import Outcome
from bot.types.task import Task
from tests.agent_fixtures import FolderSandbox, News, never, spec_of

CHECK = ("grep", "-q", "good", "state")
CODE = ("comment", "patch", "branch", "pull_request")


def finish(**more: Any) -> Line:
    return call("finish", {"title": "Mend the\nstate \u200b", "summary": "Mended.", **more})


def write(content: str) -> Line:
    return call("write", {"path": "state", "content": content})


def run(root: Path, script: Sequence[Line], **task: Any) -> tuple[Outcome, ScriptedLLM]:
    llm = ScriptedLLM(script, price=0.01)
    spec = spec_of(Task.model_validate({"name": "fix", "outputs": CODE, "verify": [CHECK], **task}))
    runtime: AgentRuntime = BuiltinRuntime(llm)
    return runtime.run(spec, FolderSandbox(root), watch=News(), cancelled=never), llm


def test_a_fix_is_verified(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("bad")
    outcome, llm = run(tmp_path, [write("good"), finish(structured_output={"n": 1})])
    assert outcome.conclusion == "success"
    assert outcome.title == "Mend the state"
    assert outcome.summary.startswith("Mended.")
    assert "failed before the change and passes after it" in outcome.summary
    assert [each.phase for each in outcome.reports] == ["before", "after"]
    assert outcome.usage.steps == 2
    assert outcome.structured_output == {"n": 1}
    assert len(outcome.trajectory) == 5
    assert "grep -q good state" in llm.heard[0][1].content


def test_what_it_breaks_it_is_told_to_mend(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("good")
    outcome, llm = run(tmp_path, [write("bad"), finish(), write("good again"), finish()])
    assert outcome.conclusion == "success"
    assert llm.heard[2][-1].content.startswith("not finished: ")
    assert [each.ok for each in outcome.reports] == [True, True]


def test_what_stays_broken_is_a_failure_with_its_report(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("good")
    outcome, _ = run(tmp_path, [write("bad"), *[finish()] * (SECOND_TRIES + 1)])
    assert outcome.conclusion == "failure"
    assert outcome.failure is not None
    assert outcome.failure.code == "verification_failed"
    assert outcome.title == "Mend the state"
    assert "fails after it" in outcome.summary


def test_what_failed_before_and_after_is_neutral(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, [write("bad"), finish()])
    assert outcome.conclusion == "neutral"
    assert "still fails" in outcome.summary


def test_a_task_that_cannot_be_done_says_why(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, [finish(success=False, summary="The issue names no version.")])
    assert outcome.conclusion == "failure"
    assert outcome.failure is not None
    assert outcome.failure.code == "task_failed"
    assert outcome.summary == "The issue names no version."


def test_code_without_tests_is_said_to_be_unverified(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, [write("x"), finish()], verify=[])
    assert outcome.conclusion == "success"
    assert NOT_VERIFIED in outcome.summary
    (tmp_path / "Makefile").write_text("test:\n\t@true\n")
    outcome, _ = run(tmp_path, [write("x"), finish()], verify=[])
    assert "`make test` passes after the change" in outcome.summary


def test_an_answer_in_words_needs_no_verification(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("test:\n\t@true\n")
    words = "The state is bad because nobody wrote it."
    outcome, _ = run(tmp_path, [words] * 3, outputs=["comment"], verify=[], name="explain")
    assert outcome.conclusion == "success"
    assert outcome.summary == words
    assert outcome.reports == ()


def test_a_setup_that_fails_costs_nothing(tmp_path: Path) -> None:
    outcome, llm = run(tmp_path, [], setup=[["false"]])
    assert outcome.conclusion == "failure"
    assert outcome.failure is not None
    assert outcome.failure.code == "setup_failed"
    assert llm.heard == []


@pytest.mark.parametrize(
    ("script", "code", "blame"),
    [
        ([ModelError("model_unavailable", "down")], "model_unavailable", "provider"),
        ([write("x"), *[call("fly", {})] * 9], "model_malformed", "provider"),
        ([write("x")] * 9, "step_limit", "task"),
    ],
)
def test_every_other_ending_keeps_the_work_and_the_bill(
    tmp_path: Path, script: list[Line], code: str, blame: str
) -> None:
    outcome, llm = run(tmp_path, script, limits={"steps": 6})
    assert outcome.conclusion == "failure"
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.blame) == (code, blame)
    assert outcome.usage.steps == sum(not isinstance(line, Exception) for line in script[: len(llm.heard)])
    assert outcome.trajectory


def test_time_is_a_limit_like_any_other(tmp_path: Path) -> None:
    llm = ScriptedLLM([write("x")] * 9)
    spec = spec_of(Task(name="fix", verify=(CHECK,)))
    runtime = BuiltinRuntime(llm, clock=lambda: len(llm.heard) * 500.0)
    outcome = runtime.run(spec, FolderSandbox(tmp_path), watch=News(), cancelled=never)
    assert outcome.conclusion == "timed_out"
    assert (tmp_path / "state").read_text() == "x"


def test_a_person_can_stop_it(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        BuiltinRuntime(ScriptedLLM([])).run(
            spec_of(Task(name="fix")), FolderSandbox(tmp_path), watch=News(), cancelled=lambda: True
        )

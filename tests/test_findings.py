"""What a reviewing model reports -> findings: typed, bounded, worst first; what is malformed goes back to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bot.agent.limits import Deadline
from bot.agent.runtimes.builtin import BuiltinRuntime, answers_only
from bot.agent.tools import FINDINGS, Finished, Hands, Malformed, tool_specs, use
from bot.testing.llm import Line, ScriptedLLM, call
from bot.types.model import ToolCall
from bot.types.result import Finding, Outcome
from bot.types.task import Limits, Task
from tests.agent_fixtures import FolderSandbox, News, never, spec_of

GOOD: dict[str, Any] = {"path": "src/a.py", "line": 4, "text": "It overflows."}
REVIEW = Task(name="review", outputs=("comment", "review"))


def finish(*findings: Any, **more: Any) -> Line:
    return call("finish", {"title": "Review", "summary": "Seen.", "findings": list(findings), **more})


def run(root: Path, *script: Line, task: Task = REVIEW) -> tuple[Outcome, ScriptedLLM]:
    llm = ScriptedLLM(script)
    return BuiltinRuntime(llm).run(spec_of(task), FolderSandbox(root), watch=News(), cancelled=never), llm


def test_findings_come_worst_first(tmp_path: Path) -> None:
    low, high = {**GOOD, "severity": "low"}, {**GOOD, "first": 2, "severity": "high", "suggestion": ""}
    outcome, _ = run(tmp_path, finish(low, GOOD, {**high, "path": "./src/a.py"}, {**GOOD, "line": 9}))
    assert outcome.conclusion == "success"
    assert [(each.severity, each.line) for each in outcome.findings] == [
        ("high", 4),
        ("medium", 4),
        ("medium", 9),
        ("low", 4),
    ]
    assert outcome.findings[0] == Finding.model_validate(high)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"line": 0}, "findings.0.line"),
        ({"line": "four"}, "findings.0.line"),
        ({"path": "/etc/passwd"}, "relative to the root"),
        ({"path": "./"}, "relative to the root"),
        ({"path": "a\x00b"}, "NUL"),
        ({"first": 5}, "first must not come after line"),
        ({"text": " \u200b"}, "text must say"),
        ({"text": "x" * 5_000}, "at most 4000"),
        ({"suggestion": "x" * 10_001}, "at most 10000"),
        ({"severity": "fatal"}, "findings.0.severity"),
        ({"file": "a"}, "findings.0.file"),
    ],
)
def test_a_malformed_finding_goes_back_to_the_model(tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    outcome, llm = run(tmp_path, finish({**GOOD, **wrong}), finish(GOOD))
    assert words in llm.heard[1][-1].content
    assert [each.text for each in outcome.findings] == ["It overflows."]


def test_there_are_not_too_many(tmp_path: Path) -> None:
    outcome, llm = run(tmp_path, finish(*[GOOD] * (FINDINGS + 1)), finish(*[GOOD] * FINDINGS))
    assert f"at most {FINDINGS}" in llm.heard[1][-1].content
    assert len(outcome.findings) == FINDINGS


def test_who_keeps_sending_nonsense_ends_without_a_review(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, *[finish({"line": 1})] * 4)
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.findings) == ("model_malformed", ())


def test_other_tasks_have_no_findings(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="findings"):
        use(
            ToolCall(id="c", name="finish", arguments=json.dumps({"title": "t", "summary": "s", "findings": []})),
            Hands(FolderSandbox(tmp_path), Limits(), Deadline.after(5), never),
        )
    assert "findings" not in str(tool_specs())


def test_a_review_is_words_and_needs_no_verification(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("test:\n\t@false\n")
    assert answers_only(REVIEW)
    outcome, _ = run(tmp_path, finish())
    assert (outcome.reports, outcome.findings, outcome.conclusion) == ((), (), "success")


def test_models_see_a_schema_without_references() -> None:
    spec = next(each for each in tool_specs(reviews=True) if each.name == "finish")
    Draft202012Validator.check_schema(dict(spec.parameters))
    assert "$ref" not in str(spec.parameters)
    check = Draft202012Validator(dict(spec.parameters))
    said = {"title": "t", "summary": "s", "findings": [{**GOOD, "first": None, "suggestion": None}]}
    assert check.is_valid(said)
    assert not check.is_valid({**said, "findings": [{"path": "a"}]})
    assert not check.is_valid({**said, "findings": [GOOD] * (FINDINGS + 1)})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "first", "x"]), inner),
    max_leaves=9,
)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_nothing_that_a_model_says_is_an_error_of_ours(value: Any) -> None:
    said = json.dumps({"title": "t", "summary": "s", "findings": value})
    hands = Hands(FolderSandbox(Path()), Limits(), Deadline.after(5), never, reviews=True)
    with pytest.raises((Malformed, Finished)):
        use(ToolCall(id="c", name="finish", arguments=said), hands)

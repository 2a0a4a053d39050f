"""Commands -> reports and what they mean; detection by the files of a checkout; text that is safe to show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.agent.detect import Purpose, detect
from bot.agent.limits import Deadline
from bot.agent.text import clean, output_tail, shorten, tail
from bot.agent.verify import compare, failure_of, run_commands
from bot.errors import Cancelled
from bot.types.result import CommandReport
from bot.types.sandbox import ExecResult
from bot.types.task import Limits
from bot.types.value import Ending, Phase
from bot.visible import visible
from tests.agent_fixtures import FolderSandbox, News, never


def report(exit_code: int, *argv: str, ending: Ending = "exited", phase: Phase = "after") -> CommandReport:
    return CommandReport(phase=phase, argv=argv or ("make", "test"), ending=ending, exit_code=exit_code, seconds=1)


def run(sandbox: FolderSandbox, phase: Phase, *commands: tuple[str, ...], minutes: float = 1) -> list[CommandReport]:
    return list(
        run_commands(
            sandbox,
            phase,
            commands,
            limits=Limits(),
            deadline=Deadline.after(minutes),
            watch=News(),
            cancelled=never,
        )
    )


def test_setup_stops_at_the_first_failure_and_verification_does_not(tmp_path: Path) -> None:
    sandbox = FolderSandbox(tmp_path)
    commands = (("true",), ("false",), ("echo", "hi"))
    assert [each.ok for each in run(sandbox, "setup", *commands)] == [True, False]
    after = run(sandbox, "after", *commands)
    assert [each.ok for each in after] == [True, False, True]
    assert after[-1].output == "hi"


def test_no_command_starts_after_the_deadline(tmp_path: Path) -> None:
    now = 0.0
    deadline = Deadline.after(1, lambda: now)
    assert not deadline.passed()
    assert deadline.seconds(600) == 60
    now = 61
    sandbox = FolderSandbox(tmp_path)
    done = run_commands(sandbox, "task", [("true",)], limits=Limits(), deadline=deadline, watch=News(), cancelled=never)
    assert (done, sandbox.ran) == ((), [])


def test_a_cancelled_run_raises(tmp_path: Path) -> None:
    sandbox = FolderSandbox(tmp_path, endings={"sleep": "cancelled"})
    with pytest.raises(Cancelled):
        run(sandbox, "task", ("sleep", "99"))


@pytest.mark.parametrize(
    ("before", "after", "conclusion", "words"),
    [
        (0, 0, "success", "passes after"),
        (0, 1, "failure", "passed before the change and fails"),
        (1, 1, "neutral", "failed before the change and still fails"),
        (1, 0, "success", "failed before the change and passes"),
        (None, 1, "failure", "fails after"),
        (None, None, "success", ""),
    ],
)
def test_comparison(before: int | None, after: int | None, conclusion: str, words: str) -> None:
    said = compare([report(before)] if before is not None else [], [report(after)] if after is not None else [])
    assert said.conclusion == conclusion
    assert words in said.sentence


def test_one_broken_command_outweighs_a_mended_one() -> None:
    before = [report(1, "a"), report(0, "b")]
    assert compare(before, [report(0, "a"), report(1, "b")]).conclusion == "failure"


@pytest.mark.parametrize("ending", ["timed_out", "oom", "pids", "disk", "killed", "lost"])
def test_every_ending_says_what_to_do(ending: Ending) -> None:
    failure = failure_of(report(137, ending=ending))
    assert failure.code != "command_failed"
    assert "`make test`" in failure.message
    assert failure.hint
    assert failure_of(report(137, ending=ending, phase="setup")).code.startswith("setup_")


PYTEST = (("python3", "-m", "pytest"),)


@pytest.mark.parametrize(
    ("files", "purpose", "expected"),
    [
        ({}, "test", ()),
        ({"Makefile": "all: x\ntest:\n\ttrue\n", "go.mod": ""}, "test", (("make", "test"),)),
        ({"Makefile": "build check: x\n"}, "test", (("make", "check"),)),
        ({"Makefile": "test := 1\nlint=2\n"}, "test", ()),
        ({"Makefile": ".PHONY: test\n"}, "test", ()),
        ({"Makefile": "lint::\n\ttrue\n"}, "lint", (("make", "lint"),)),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, "test", PYTEST),
        ({"pyproject.toml": "not = [toml", "tests/conftest.py": ""}, "test", PYTEST),
        ({"pyproject.toml": "[tool.ruff]\n[tool.mypy]\n"}, "lint", (("ruff", "check", "."), ("mypy", "."))),
        ({"pyproject.toml": "[tool.mypy]\nfiles = ['x']\n"}, "lint", (("mypy",),)),
        ({"package.json": json.dumps({"scripts": {"test": "jest"}})}, "test", (("npm", "run", "test"),)),
        ({"package.json": '{"scripts": {"test": "x"}}', "yarn.lock": ""}, "test", (("yarn", "run", "test"),)),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\""}}'}, "test", ()),
        ({"package.json": "[" * 5000, "Cargo.toml": ""}, "test", (("cargo", "test"),)),
        ({"package.json": '{"scripts": 5}', "go.mod": ""}, "lint", (("go", "vet", "./..."),)),
    ],
)
def test_detection(
    tmp_path: Path, files: dict[str, str], purpose: Purpose, expected: tuple[tuple[str, ...], ...]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert detect(FolderSandbox(tmp_path), purpose) == expected


def test_output_becomes_plain_text() -> None:
    raw = b"\x1b[31mred\x1b[0m \x1b]8;;https://x.example\x07link\x1b]8;;\x07\r\n10%\r50%\r100%\n\x00bad \xff\x07\n"
    assert clean(raw) == "red link\n100%\nbad \N{REPLACEMENT CHARACTER}\n"
    assert visible("a\u200bb\u202ec\U000e0041d\x1b") == "abcd"


@given(st.binary(max_size=3000), st.binary(max_size=3000), st.integers(100, 400))
def test_reports_stay_short_and_printable(out: bytes, err: bytes, limit: int) -> None:
    text = output_tail(ExecResult(ending="exited", exit_code=0, stdout=out, stderr=err), limit)
    assert len(text) <= limit
    assert all(char in "\n\t" or ord(char) >= 32 for char in text)
    text.encode()


def test_a_tail_keeps_the_end_and_says_so() -> None:
    text = tail(b"x" * 100_000 + b"the end", 200)
    assert text.startswith("[earlier output left out]")
    assert text.endswith("the end")


@given(st.text(max_size=2000), st.integers(60, 1000))
def test_shortening_keeps_both_ends(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    if len(text) <= limit:
        assert short == text
    else:
        assert short[0] == text[0]
        assert short[-1] == text[-1]
        assert "left out" in short


def test_the_rooms_import_neither_litellm_nor_each_other() -> None:
    modules = ["bot.agent.runtimes.command", "bot.agent.verify", "bot.agent.detect"]
    code = f"import sys, {', '.join(modules)}; print([m for m in sys.modules if m in {{'litellm','docker','github'}}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Output of commands that failed -> remarks on lines, by the formats that tools print."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.agent.remarks import LIMIT, MESSAGE_CHARS, remarks, spots_of
from bot.agent.runtimes.command import CommandRuntime
from bot.errors import SandboxError
from bot.types.result import CommandReport
from bot.types.task import Task
from bot.types.value import Phase
from tests.agent_fixtures import FolderSandbox, News, never, spec_of

KNOWN = frozenset({"a.py", "src/a b.c", "src/lib.rs", "src/app.ts", "tests/test_a.py", "pkg/x_test.go"})
UNITTEST = """\
FAIL: test_sum (tests.test_a.Sum.test_sum)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/workspace/tests/test_a.py", line 8, in test_sum
    self.assertEqual(total([1, 2]), 3)
    ~~~~~~~~~~~~~~~~^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/unittest/case.py", line 873, in assertEqual
    assertion_func(first, second, msg=msg)
AssertionError: 1 != 3

----------------------------------------------------------------------
Ran 1 test in 0.001s
"""
PYTEST_SHORT = """\
tests/test_a.py:4: in test_sum
    assert total([1]) == 1
a.py:2: in total
    return items[9]
E   IndexError: list index out of range
=========================== short test summary info ============================
FAILED tests/test_a.py::test_sum - IndexError: list index out of range
"""
PYTEST_LONG = """\
    def test_sum():
>       assert total([1, 2]) == 3
E       assert 1 == 3
E        +  where 1 = total([1, 2])

tests/test_a.py:4: AssertionError
"""
RUST = """\
error[E0425]: cannot find value `x` in this scope
 --> src/lib.rs:2:5
  |
2 |     x
  |     ^ not found in this scope
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.py:3:8: F401 `os` imported but unused", [("a.py", 3, "F401 `os` imported but unused")]),
        ('a.py:3: error: Missing return  [return]\n', [("a.py", 3, "error: Missing return  [return]")]),
        ("/workspace/src/a b.c:7:1: error: expected ';'", [("src/a b.c", 7, "error: expected ';'")]),
        ("./src/../a.py:1: late", [("a.py", 1, "late")]),
        ("src/app.ts(5,12): error TS2322: no", [("src/app.ts", 5, "error TS2322: no")]),
        ("    pkg/x_test.go:12: got 1, want 2", [("pkg/x_test.go", 12, "got 1, want 2")]),
        (RUST, [("src/lib.rs", 2, "error[E0425]: cannot find value `x` in this scope")]),
        ("F401 unused\n --> a.py:1:8\n  |\n", [("a.py", 1, "F401 unused")]),
        (UNITTEST, [("tests/test_a.py", 8, "AssertionError: 1 != 3")]),
        (PYTEST_SHORT, [("a.py", 2, "IndexError: list index out of range")]),
        (PYTEST_LONG, [("tests/test_a.py", 4, "AssertionError: assert 1 == 3")]),
        ('  File "a.py", line 1\n    x = = 1\nSyntaxError: bad', [("a.py", 1, "SyntaxError: bad")]),
        ("gone.py:3: error: x\n/etc/passwd:1: root\n../a.py:1: x", []),
        ("a.py:0: nothing\n12:30:01 started\nhttp://a.py:80/ x\na.py\n", []),
        ("", []),
    ],
)  # fmt: skip
def test_what_tools_print(text: str, expected: list[tuple[str, int, str]]) -> None:
    assert [tuple(each) for each in spots_of(text, KNOWN)] == expected


@given(st.text() | st.from_regex(r"(\s*(--> |E  |File \")?a\.py[:(\",]{0,3}( line )?\d{0,9}[:),]{0,3} ?.*\n?){1,6}"))
def test_no_output_makes_it_raise(text: str) -> None:
    for path, line, message in spots_of(text, KNOWN):
        assert path in KNOWN
        assert line >= 1
        assert 0 < len(message) <= MESSAGE_CHARS


def report(output: str, phase: Phase = "task", exit_code: int = 1) -> CommandReport:
    return CommandReport(phase=phase, argv=("make",), ending="exited", exit_code=exit_code, seconds=0.1, output=output)


def test_only_failed_commands_are_heard_and_each_remark_once(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    sandbox = FolderSandbox(tmp_path)
    reports = (
        report("a.py:1: before", "before"),
        report("a.py:2: fine", exit_code=0),
        report("a.py:3: warning: odd\na.py:3: warning: odd\na.py:4: note: look here\na.py:5: " + "x" * 900, "after"),
        report("a.py:3: warning: odd", "after"),
    )
    found = remarks(reports, sandbox)
    assert [(each.line, each.level) for each in found] == [(3, "warning"), (4, "notice"), (5, "failure")]
    assert len(found[2].message) == MESSAGE_CHARS
    many = report("\n".join(f"a.py:{number}: wrong" for number in range(1, 200)))
    assert len(remarks((many,), sandbox)) == LIMIT


def test_a_lost_sandbox_has_no_remarks(tmp_path: Path) -> None:
    class Lost(FolderSandbox):
        def list_files(self, path: str = ".", *, limit: int = 10_000) -> tuple[str, ...]:
            raise SandboxError("sandbox_lost", "it is gone")

    assert remarks((report("a.py:1: wrong"),), Lost(tmp_path)) == ()


def test_a_failing_test_task_remarks_on_the_line(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("test:\n\t@cat said.txt; exit 1\n")
    (tmp_path / "said.txt").write_text(UNITTEST)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").touch()
    outcome = CommandRuntime().run(
        spec_of(Task(name="test", runtime="command")), FolderSandbox(tmp_path), watch=News(), cancelled=never
    )
    assert outcome.conclusion == "failure"
    assert [(each.path, each.line, each.message) for each in outcome.annotations] == [
        ("tests/test_a.py", 8, "AssertionError: 1 != 3"),
    ]

"""The agent's tools: every call is checked, runs in the sandbox, and answers in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bot.agent.edits import replace_once
from bot.agent.limits import Deadline
from bot.agent.tools import OBSERVATION_CHARS, TOOLS, Finished, Hands, Malformed, gist, tool_specs, use
from bot.errors import Cancelled, TaskError
from bot.types.model import ToolCall
from bot.types.task import Limits
from tests.agent_fixtures import FolderSandbox, never


def hands_in(root: Path, **more: Any) -> Hands:
    return Hands(FolderSandbox(root, **more), Limits(), Deadline.after(5), never)


def ask(hands: Hands, name: str, **arguments: Any) -> str:
    return use(ToolCall(id="c", name=name, arguments=json.dumps(arguments)), hands)


def test_files_are_written_read_edited_and_found(tmp_path: Path) -> None:
    hands = hands_in(tmp_path)
    assert ask(hands, "write", path="src/a.py", content="one\ntwo\nthree\n") == "wrote src/a.py"
    assert ask(hands, "read", path="src/a.py") == "1\tone\n2\ttwo\n3\tthree"
    assert ask(hands, "read", path="src/a.py", first=2, lines=1) == "2\ttwo\n[1 more lines]"
    assert ask(hands, "edit", path="src/a.py", old="two", new="TWO") == "edited src/a.py"
    assert (tmp_path / "src/a.py").read_text() == "one\nTWO\nthree\n"
    assert ask(hands, "search", pattern="T[WX]O") == "./src/a.py:2:TWO"
    assert ask(hands, "search", pattern="absent") == "no line matches"
    assert ask(hands, "search", pattern="(").startswith("error: ")


def test_the_shell_says_how_it_ended(tmp_path: Path) -> None:
    hands = hands_in(tmp_path)
    assert ask(hands, "shell", command="echo out; echo err >&2; exit 3") == "exit code 3\nout\n--- stderr\nerr"
    assert ask(hands, "shell", command="true") == "exit code 0"
    long = ask(hands, "shell", command="seq 1 20000")
    assert len(long) <= OBSERVATION_CHARS
    assert "left out" in long
    assert long.endswith("\n20000")
    assert ask(hands_in(tmp_path, endings={"sh": "timed_out"}), "shell", command="x") == "exit code 137 (timed_out)"


def test_a_search_without_grep_reads_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x = (1\n")
    hands = Hands(NoGrep(tmp_path), Limits(), Deadline.after(5), never)
    assert ask(hands, "search", pattern="(1").startswith("a:1:x = (1")


class NoGrep(FolderSandbox):
    def exec(self, request: Any, **more: Any) -> Any:
        return super().exec(request.changed(argv=("no-such-program",)), **more)


@pytest.mark.parametrize("path", ["../x", "/etc/shadow", "/proc/self/environ", "missing", "folder"])
@pytest.mark.parametrize("name", ["read", "edit"])
def test_a_refused_path_is_an_answer_and_not_an_end(tmp_path: Path, path: str, name: str) -> None:
    (tmp_path / "folder").mkdir()
    more = {"old": "a", "new": "b"} if name == "edit" else {}
    assert ask(hands_in(tmp_path), name, path=path, **more).startswith("error: ")


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("shell", "{", "not valid JSON"),
        ("shell", "[" * 100_000, "not valid JSON"),
        ("shell", "[]", "dictionary"),
        ("shell", "{}", "command: Field required"),
        ("shell", '{"command": ""}', "at least 1"),
        ("shell", '{"command": "a\\u0000b"}', "NUL"),
        ("shell", '{"command": "a", "sudo": true}', "sudo: Extra"),
        ("read", '{"path": "a", "first": 0}', "greater than or equal to 1"),
        ("write", '{"path": "a", "content": "\\ud800"}', "surrogates"),
        ("finish", '{"title": "a", "summary": "b", "structured_output": {"n": NaN}}', "NaN"),
        ("bash\u202e", "{}", "there is no tool"),
        ("finish", '{"title": "x"}', "summary"),
    ],
)
def test_calls_that_cannot_be_made_are_explained(tmp_path: Path, name: str, arguments: str, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        use(ToolCall(id="c", name=name, arguments=arguments), hands_in(tmp_path))


def test_finishing_and_stopping_leave_the_tool(tmp_path: Path) -> None:
    with pytest.raises(Finished) as caught:
        ask(hands_in(tmp_path), "finish", title="t", summary="s", structured_output={"a": 1})
    assert caught.value.said.structured_output == {"a": 1}
    with pytest.raises(Cancelled):
        ask(hands_in(tmp_path, endings={"sh": "cancelled"}), "shell", command="sleep 9")


def test_binary_files_are_named_not_shown(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"a\x00b")
    assert ask(hands_in(tmp_path), "read", path="b") == "b is a binary file of 3 bytes"


def test_models_see_a_valid_schema_of_every_tool() -> None:
    specs = {spec.name: spec for spec in tool_specs()}
    assert set(specs) == set(TOOLS)
    for spec in specs.values():
        Draft202012Validator.check_schema(dict(spec.parameters))
        assert spec.description
        assert all("description" in field for field in spec.parameters["properties"].values())


def test_the_gist_of_a_call_is_what_it_is_about() -> None:
    assert gist(ToolCall(id="c", name="shell", arguments='{"seconds": 1, "command": "ls"}')) == "ls"
    assert gist(ToolCall(id="c", name="shell", arguments="{bad")) == "{bad"


@given(st.binary(max_size=60), st.text(min_size=1, max_size=10), st.text(max_size=10), st.binary(max_size=60))
def test_an_edit_replaces_its_piece_and_nothing_else(before: bytes, old: str, new: str, after: bytes) -> None:
    data = before + old.encode() + after
    try:
        edited = replace_once(data, old, new, "f")
    except TaskError as caught:
        refused, edited = caught.code, b""
    else:
        refused = ""
    adapted = b"\r\n" in data  # line ends of the old text are adapted then, so it may not occur
    assert refused in {"", "edit_ambiguous", "edit_no_change", *(["edit_no_match"] if adapted else [])}
    if not refused and not adapted:
        assert edited == before + new.encode() + after


def test_an_edit_keeps_the_line_ends_of_the_file() -> None:
    assert replace_once(b"a\r\nb\r\nc\r\n", "a\nb\n", "x\ny\nz\n", "f") == b"x\r\ny\r\nz\r\nc\r\n"
    assert replace_once(b"\xff a\n", "a", "b", "f") == b"\xff b\n"
    with pytest.raises(TaskError, match="lines 1, 2"):
        replace_once(b"a\na\n", "a", "b", "f")
    with pytest.raises(TaskError, match="edit_ambiguous"):
        replace_once(b"aaa", "aa", "b", "f")

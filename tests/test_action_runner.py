"""What the Action writes for the runner -> what the runner reads: never a command or an output that is not ours."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.action_runner import (
    SUMMARY_BYTES,
    Job,
    annotate,
    commands_stopped,
    mask,
    read_job,
    write_outputs,
    write_summary,
)
from bot.errors import ConfigurationError

NAMES = st.sampled_from(["conclusion", "pr_url", "structured_output"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
HOSTILE = TEXT | st.sampled_from(
    ["a\nEOF\nx=1", "end_\n", "x\r\ny", "::set-env name=A::b", "##[add-mask]x", "\u2028::error::", "", "\n\n"]
)


def job(folder: Path) -> Job:
    return Job(
        event_name="issues",
        event_path=folder / "event.json",
        temp=folder,
        workspace=None,
        sha="",
        run_id="1",
        attempt=1,
        output=folder / "output",
        summary=folder / "summary",
    )


def as_the_runner_reads(text: str) -> dict[str, str]:
    """`name<<DELIMITER`, lines, DELIMITER: the runner's reading of a file of outputs, where lines end at LF."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, _, delimiter = line.partition("<<")
        assert delimiter, f"no name: {line!r}"
        value: list[str] = []
        for inner in lines:
            if inner == delimiter:
                break
            value.append(inner)
        else:
            raise AssertionError("the delimiter is missing")
        found[name] = "\n".join(value)
    return found


@given(outputs=st.dictionaries(NAMES, HOSTILE))
def test_outputs_are_read_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, outputs: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("job")
    write_outputs(job(folder), outputs)
    read = as_the_runner_reads((folder / "output").read_bytes().decode())
    plain = {name: re.sub("\r\n?", "\n", value.replace("\0", "")) for name, value in outputs.items()}
    assert read == plain


def test_the_delimiter_can_not_be_guessed(tmp_path: Path) -> None:
    for _ in range(2):
        write_outputs(job(tmp_path), {"conclusion": "success", "pr_url": ""})
    delimiters = re.findall(r"<<(\w+)", (tmp_path / "output").read_text())
    assert len(set(delimiters)) == 4
    assert all(len(each) >= 32 for each in delimiters)


@given(title=HOSTILE, message=HOSTILE)
def test_a_remark_is_one_command_whatever_it_says(title: str, message: str) -> None:
    stream = io.StringIO()
    annotate(stream, "error", title, message)
    (line,) = stream.getvalue().splitlines()
    head, _, data = line.removeprefix("::error title=").partition("::")
    assert ":" not in head
    assert "," not in head
    assert _unescape(data) == _blank(message)
    assert _unescape(head) == _blank(title)


def _unescape(text: str) -> str:
    """What the runner does (actions/runner, ActionCommand.cs), the percent sign last."""
    for escaped, plain in {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}.items():
        text = text.replace(escaped, plain)
    return text


def _blank(text: str) -> str:
    return re.sub("[\0\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", " ", text)


def test_masks_cover_every_line_of_a_secret() -> None:
    stream = io.StringIO()
    mask(stream, ["one%two", "-----BEGIN-----\nabc\n\n-----END-----"])
    assert stream.getvalue().splitlines() == [
        "::add-mask::one%25two",
        "::add-mask::-----BEGIN-----",
        "::add-mask::abc",
        "::add-mask::-----END-----",
    ]


def test_commands_are_off_until_a_word_that_nobody_knows() -> None:
    words = []
    for _ in range(2):
        stream = io.StringIO()
        with commands_stopped(stream):
            stream.write("::set-env name=PATH::/tmp")  # no line end: the word must still begin a line
        first, *_, last = stream.getvalue().splitlines()
        word = first.removeprefix("::stop-commands::")
        assert last == f"::{word}::"
        words.append(word)
    assert words[0] != words[1]
    assert len(words[0]) >= 32


def test_commands_stay_off_after_a_defect() -> None:
    """Its traceback may quote a stranger, and is printed after the block."""
    stream = io.StringIO()
    with pytest.raises(ZeroDivisionError), commands_stopped(stream):
        raise ZeroDivisionError
    assert len(stream.getvalue().splitlines()) == 1


def test_a_summary_is_cut_at_what_the_runner_takes(tmp_path: Path) -> None:
    write_summary(job(tmp_path), "a" + "ü" * SUMMARY_BYTES)
    data = (tmp_path / "summary").read_bytes()
    assert SUMMARY_BYTES - 2 <= len(data) <= SUMMARY_BYTES
    assert data.decode().strip("ü\n") == "a", "no character is cut in half"


def test_a_job_is_read_from_the_runners_variables(tmp_path: Path) -> None:
    environ = {
        "GITHUB_EVENT_NAME": "issues",
        "GITHUB_EVENT_PATH": "/e.json",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_RUN_ATTEMPT": "3",
        "GITHUB_WORKSPACE": "",
    }
    found = read_job(environ)
    assert (found.attempt, found.workspace, found.output) == (3, None, None)
    assert read_job({**environ, "GITHUB_RUN_ATTEMPT": "no"}).attempt == 1


def test_outside_of_a_job_the_door_says_so() -> None:
    with pytest.raises(ConfigurationError, match="RUNNER_TEMP") as caught:
        read_job({"GITHUB_EVENT_NAME": "issues", "GITHUB_EVENT_PATH": "/e.json"})
    assert caught.value.code == "not_in_a_job"
    assert "sandpiper handle" in caught.value.hint

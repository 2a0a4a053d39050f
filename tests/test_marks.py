"""Marks: what is hidden in a comment comes back, and nothing else is taken for it."""

import base64
import json

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.marks import (
    LEADING_LINES,
    STATE,
    Made,
    Mark,
    has_marker,
    made_of,
    marker,
    read_mark,
    refusal_marker,
    run_marker,
    state_line,
)
from bot.types.output import Receipt

RUN = "0123456789abcdef"


def mark(instructions: str = "") -> Mark:
    return Mark(
        run=RUN, task="fix", status="completed", conclusion="success", requester=7, attempt=2, instructions=instructions
    )


@given(st.text(max_size=2000))
def test_a_state_survives_the_comment_and_stays_invisible(instructions: str) -> None:
    body = f"{run_marker(RUN)}\r\n{state_line(mark(instructions))}\r\n### Done\r\n"

    found = read_mark(body)
    assert found is not None
    assert found == mark(found.instructions).changed(cut=found.cut)
    assert instructions == found.instructions if not found.cut else instructions.startswith(found.instructions)
    assert has_marker(body, run_marker(RUN))
    blocks = [token.type for token in MarkdownIt("commonmark").parse(body)]
    assert blocks.count("html_block") == 2
    assert blocks[-3:] == ["heading_open", "inline", "heading_close"]


def test_a_state_has_a_size_whatever_was_asked() -> None:
    labels = tuple("\U0001f600" * 49 + chr(65 + each) for each in range(20))
    before = mark("\x01" * 2000).changed(made=Made(branch="b" * 255, sha="a" * 40, labels=labels))
    line = state_line(before)
    found = read_mark(line)
    assert len(line) <= STATE + 40
    assert found is not None
    assert (found.made, found.cut, before.instructions.startswith(found.instructions)) == (before.made, True, True)


MADE = st.builds(
    Made,
    branch=st.text(max_size=200),
    sha=st.just("") | st.text("0123456789abcdef", min_size=40, max_size=40),
    pull=st.integers(0, 10**9),
    labels=st.lists(st.text(max_size=50), max_size=20).map(tuple),
    review=st.booleans(),
    undone=st.booleans(),
)


@given(MADE)
def test_what_a_run_made_survives_too(made: Made) -> None:
    before = mark().changed(made=made)

    assert read_mark(f"{run_marker(RUN)}\n{state_line(before)}\ntext") == before


def test_a_mark_from_before_runs_kept_what_they_made_is_still_read() -> None:
    fields = {name: value for name, value in mark("text").model_dump(mode="json").items() if name != "made"}
    data = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")

    assert read_mark(f"<!-- sandpiper:state={data} -->") == mark("text")


def test_receipts_say_what_was_made() -> None:
    commit = Receipt(key="commit-new", kind="commit", sha="a" * 40, name="bot/fix-1")
    on, off = Receipt(key="labels-done", kind="labels", name="one\ntwo"), Receipt(key="labels-trigger", kind="labels")
    pull, review = Receipt(key="pull", kind="pull", id=12), Receipt(key="review", kind="review", id=3)

    assert made_of((commit, pull, on, off)) == Made(branch="bot/fix-1", sha="a" * 40, pull=12, labels=("one", "two"))
    assert made_of((review,)) == Made(review=True)
    assert made_of(()) == Made()


@given(st.text(), st.text())
def test_no_value_can_end_its_hidden_line(kind: str, value: str) -> None:
    line = marker(kind.encode("utf-8", "replace").decode(), value.encode("utf-8", "replace").decode())

    assert line.index("-->") == len(line) - 3
    assert "\n" not in line
    assert has_marker(line, line)


def test_only_the_leading_lines_count() -> None:
    quoted = f"I saw this:\n{run_marker(RUN)}\n{state_line(mark())}"
    buried = "<!-- a -->\n" * LEADING_LINES + run_marker(RUN)

    assert not has_marker(quoted, run_marker(RUN))
    assert read_mark(quoted) is None
    assert not has_marker(buried, run_marker(RUN))


def test_a_damaged_state_is_none() -> None:
    line = state_line(mark())

    assert read_mark(line.replace("state=", "state=A")) is None
    assert read_mark("<!-- sandpiper:state=%%% -->") is None
    assert read_mark("<!-- sandpiper:state=e30 -->") is None
    assert read_mark("") is None


def test_refusals_are_kept_apart_by_person_and_day() -> None:
    lines = {refusal_marker(1, "2026-01-01"), refusal_marker(1, "2026-01-02"), refusal_marker(11, "2026-01-01")}

    assert len(lines) == 3

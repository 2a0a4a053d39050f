"""Marks: what is hidden in a comment comes back, and nothing else is taken for it."""

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.marks import LEADING_LINES, Mark, has_marker, marker, read_mark, refusal_marker, run_marker, state_line

RUN = "0123456789abcdef"


def mark(instructions: str = "") -> Mark:
    return Mark(
        run=RUN, task="fix", status="completed", conclusion="success", requester=7, attempt=2, instructions=instructions
    )


@given(st.text(max_size=2000))
def test_a_state_survives_the_comment_and_stays_invisible(instructions: str) -> None:
    body = f"{run_marker(RUN)}\r\n{state_line(mark(instructions))}\r\n### Done\r\n"

    assert read_mark(body) == mark(instructions)
    assert has_marker(body, run_marker(RUN))
    blocks = [token.type for token in MarkdownIt("commonmark").parse(body)]
    assert blocks.count("html_block") == 2
    assert blocks[-3:] == ["heading_open", "inline", "heading_close"]


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

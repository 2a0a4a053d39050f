"""Hostile text -> what a terminal and GitHub's runner make of our output: they show it, and obey nothing."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bot.cli.output import print_json, say
from bot.telemetry.display import live_observer, plain_observer, shortened, watched_by
from bot.telemetry.lines import clean, inert
from bot.telemetry.log import LoggedNews, one_line, start_logging
from bot.telemetry.view import readable, show_run
from bot.types.decision import Ignore
from bot.types.event import Actor, Event, Other, Repository
from bot.types.output import Commit, Note
from bot.types.run import Progress, Run, run_id_of

# --- the runner, by its own rules ---------------------------------------------------------------------------------


def without_ignorable(line: str) -> str:
    """.NET's IndexOf and StartsWith compare by culture: characters without weight count as not being there."""
    return "".join(
        c for c in line if unicodedata.category(c) not in ("Cc", "Cf", "Mn", "Me", "Cn", "Cs") or c in "\t\v\f"
    )


def obeyed(line: str) -> bool:
    """Whether either parser of actions/runner could find a command; any name counts, so that new ones are covered."""
    for text in (line, without_ignorable(line)):
        trimmed = text.lstrip()
        if trimmed.startswith("::") and trimmed.find("::", 2) >= 0:
            return True
        at = text.find("##[")
        if at >= 0 and text.find("]", at) >= 0:
            return True
    return False


def runner_lines(output: str) -> list[str]:
    """A job's output as the runner reads it: \\n, \\r and \\r\\n end lines."""
    return re.split(r"\r\n|\r|\n", output)


PIECES = [
    *(
        "::",
        ":",
        "##[",
        "#",
        "##",
        "[",
        "]",
        " ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\v",
        "\f",
        "\x85",
        "\u2028",
        "\u3000",
        "\xa0",
    ),
    *("\0", "\x07", "\x1b", "\x1b[31m", "\x1b]0;title\x07", "\x1b]8;;http://evil\x1b\\", "\x9b2J", "\x08", "\x7f"),
    *("\u200b", "\u200d", "\ufeff", "\u202e", "\u00ad", "\u034f", "\u180b", "\ufe0f", "\ud800", "é", "😀", "字"),
    *("set-env name=X::1", "add-mask::x", "stop-commands::t", "error file=a::b", "group]x", "add-matcher", "text"),
]
hostile = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=14).map("".join)


def test_the_oracle_itself_finds_commands() -> None:
    for line in (
        "::set-env name=A::b",
        " \u3000::error::x",
        "x ##[group]y",
        "\u200b:\u200b:error::x",
        "#\0#[command]x",
    ):
        assert obeyed(line)
    for line in ("a ::error::x", "##[never closed", "std::vector<int>::size()", "## [x]"):
        assert not obeyed(line)


@given(hostile)
def test_no_line_is_a_command(text: str) -> None:
    for line in runner_lines("\n".join(inert(each) for each in text.splitlines())):
        assert not obeyed(line)
        assert not any(unicodedata.category(each) in ("Cc", "Cf", "Cs") for each in line)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60))
def test_harmless_lines_stay_as_they_are(line: str) -> None:
    if not obeyed(line) and not line.lstrip().startswith("::") and "##[" not in line:
        assert inert(line) == line


@given(hostile, hostile)
def test_the_plain_log_obeys_nobody(text: str, detail: str) -> None:
    stream = io.StringIO()
    plain_observer(stream).notify(Progress(stage="work", text=text, detail=detail))
    assert not any(obeyed(line) for line in runner_lines(stream.getvalue()))


@given(hostile)
def test_json_obeys_nobody_and_stays_the_same_value(text: str) -> None:
    value = {"text": text, text: [text]}
    assert json.loads(one_line(value)) == json.loads(json.dumps(value))
    assert not any(obeyed(line) for line in runner_lines(one_line(value)))


def test_what_commands_print_obeys_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a\n::set-env name=PATH::x\n \t::error::y\rx ##[add-mask]z\x1b[2J"
    say(text)
    print_json({"text": text, "##[group]": 1})
    shown = capsys.readouterr().out
    assert not any(obeyed(line) for line in runner_lines(shown))
    assert json.loads(shown[shown.index("{") :])["text"] == text


# --- what people see ----------------------------------------------------------------------------------------------


def a_run(**fields: object) -> Run:
    repository = Repository(full_name="maria/tidepool", default_branch="main")
    event = Event(
        id="1", name="issues", repository=repository, actor=Actor(login="maria", id=7), trigger=Other(reason="none")
    )
    run = Run(run_id=run_id_of(event), event=event, decision=Ignore(code="other_event", reason="nothing to do"))
    return run.changed(status="completed", conclusion="skipped", **fields)


def a_note(body: str) -> Note:
    return Note(key="status", number=3, marker="<!-- sandpiper:run=x -->", body=body)


def test_a_log_has_a_time_a_stage_and_indented_details() -> None:
    stream = io.StringIO()
    observer = plain_observer(stream)
    detail = "\n".join(f"line {number}" for number in range(100))
    observer.notify(Progress(stage="work", text="make test\n::error::x", detail=detail))
    first, second, *rest = stream.getvalue().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d  work      make test", first)
    assert second.strip() == "| : :error::x" or second.strip() == "| ::error::x"
    assert len(rest) == 19
    assert "... 82 lines ..." in stream.getvalue()
    assert rest[-1].endswith("| line 99")


def test_a_stream_that_knows_only_ascii_is_no_error() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as stream:
        plain_observer(stream).notify(Progress(stage="work", text="naïve 😀"))
        assert b"na?ve ?" in raw.getvalue()


def test_the_live_display_shows_steps_and_no_foreign_escape() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80)
    with live_observer(console) as observer:
        observer.notify(Progress(stage="decide", text="run: [bold]maria[/bold] may"))
        observer.notify(Progress(stage="work", text="make \x1b]0;owned\x07test", detail="a\n\x1b[2Jb"))
        observer.notify(Progress(stage="done", text="run 12: success"))
    shown = stream.getvalue()
    assert "\x1b]0;owned" not in shown
    assert "\x1b[2J" not in shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "✓ decide    run: [bold]maria[/bold] may" in text
    assert "✓ work      make test" in text
    assert "• done      run 12: success" in text
    assert shown.rstrip().endswith("\x1b[0m") or "\x1b[?25h" in shown  # the cursor is back


def test_an_error_leaves_the_terminal_usable() -> None:
    stream = io.StringIO()
    display = live_observer(Console(file=stream, force_terminal=True, width=80))
    display.notify(Progress(stage="work", text="make test"))
    with pytest.raises(ZeroDivisionError), display:
        divmod(1, 0)
    assert "✗" in stream.getvalue()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


SCRIPT = """
from rich.console import Console
from bot.telemetry.display import observer_for
from bot.types.run import Progress
with observer_for(Console()) as watch:
    watch.notify(Progress(stage="work", text="make", detail="##[group]x"))
"""


@pytest.mark.parametrize(("job", "live"), [("", True), ("true", False)])
def test_a_terminal_gets_the_live_display_and_a_job_never(job: str, live: bool) -> None:
    ours, theirs = pty.openpty()
    environ = {**os.environ, "GITHUB_ACTIONS": job, "TERM": "xterm", "FORCE_COLOR": "1"}
    subprocess.run([sys.executable, "-c", SCRIPT], stdout=theirs, env=environ, check=True, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert ("\x1b[" in shown) is live
    assert live or not any(obeyed(line) for line in runner_lines(shown))


class Broken:
    def notify(self, progress: Progress) -> None:
        raise OSError("closed")


def test_one_watcher_does_not_disturb_another_and_none_sees_a_secret() -> None:
    stream = io.StringIO()
    watch = watched_by(Broken(), plain_observer(stream), secrets=("correct-horse-battery",))
    watch.notify(Progress(stage="work", text="using correct-horse-battery", detail="correct-horse-battery"))
    assert "correct-horse" not in stream.getvalue()
    assert "using ***" in stream.getvalue()


def test_facts_lose_their_secrets_too_and_keep_their_kinds() -> None:
    heard: list[Progress] = []

    class Ear:
        def notify(self, progress: Progress) -> None:
            heard.append(progress)

    facts = {"argv": "curl correct-horse-battery", "ok": True, "exit_code": 0, "seconds": 0.5}
    news = Progress(stage="audit", text="x", facts=facts)
    watched_by(Ear(), secrets=("correct-horse-battery",)).notify(news)
    watched_by(Ear()).notify(news)
    assert dict(heard[0].facts) == {**facts, "argv": "curl ***"}
    assert heard[0].facts["ok"] is True
    assert heard[1] is news


def test_people_do_not_see_what_is_for_machines() -> None:
    stream, screen = io.StringIO(), io.StringIO()
    step = Progress(stage="audit", text="command_start make", facts={"event": "command_start"})
    plain_observer(stream).notify(step)
    with live_observer(Console(file=screen, force_terminal=True)) as live:
        live.notify(Progress(stage="work", text="make"))
        live.notify(step)
    assert stream.getvalue() == ""
    assert "command_start" not in screen.getvalue()


def test_the_log_carries_what_is_for_machines() -> None:
    stream = io.StringIO()
    logger = logging.getLogger("bot")
    before = (list(logger.handlers), logger.level)
    step = Progress(stage="audit", text="command_start make", facts={"event": "command_start", "argv": "a ##[x]"})
    alert = Progress(stage="sandbox", text="suspicious", facts={"event": "alert", "severity": "high"})
    try:
        for level in ("WARNING", "DEBUG"):
            start_logging(lambda: stream, level=level)
            for news in (step, alert, Progress(stage="work", text="make")):
                LoggedNews().notify(news)
    finally:
        logger.handlers, logger.level = before
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [each["message"] for each in records] == ["suspicious", "command_start make", "suspicious"]
    assert records[1]["facts"] == {"event": "command_start", "argv": "a ##[x]"}
    assert not any(obeyed(line) for line in runner_lines(stream.getvalue()))


def test_the_page_at_the_end_shows_comment_diff_branch_and_files(tmp_path: Path) -> None:
    (tmp_path / "changes.patch").write_text("--- a/x\n+++ b/x\n-old\n+new\n", encoding="utf-8")
    stream = io.StringIO()
    commit = Commit(key="c", branch="bot/fix-3-1", create=True, parent="0" * 40, message="m", files=())
    note = a_note("<!-- sandpiper:run=x -->\n<!-- sandpiper:state=y -->\n## Fixed\n\nIt **works** now.")
    show_run(Console(file=stream, width=80), a_run(), (commit, note), folder=tmp_path)
    shown = stream.getvalue()
    assert "sandpiper:state" not in shown
    for words in ("comment on #3", "Fixed", "It works now.", "-old", "+new", "bot/fix-3-1", "nothing to do", "skipped"):
        assert words in shown


@given(hostile, hostile)
def test_the_page_at_the_end_obeys_nobody(body: str, reason: str) -> None:
    stream = io.StringIO()
    run = a_run().changed(decision=Ignore(code="x", reason=reason))
    show_run(Console(file=stream, width=60), run, (a_note(body),))
    assert not any(obeyed(line) for line in runner_lines(stream.getvalue()))


@given(hostile)
def test_a_terminal_gets_no_escape_from_a_comment(body: str) -> None:
    assert all(unicodedata.category(each) not in ("Cc", "Cf", "Cs") for each in readable(body).replace("\n", ""))


@given(st.lists(st.just("x"), max_size=60), st.integers(3, 30))
def test_long_texts_are_shortened(lines: list[str], limit: int) -> None:
    assert len(shortened(lines, limit)) == min(len(lines), limit)


def test_a_very_long_line_is_cut() -> None:
    assert len(clean("x" * 1_000_000)) == 2_000


def test_log_records_are_json_without_secrets() -> None:
    stream = io.StringIO()
    logger = logging.getLogger("bot")
    before = (list(logger.handlers), logger.level)
    try:
        for _ in range(2):
            start_logging(lambda: stream, level="INFO", secrets=("correct-horse-battery",))
        logging.getLogger("bot.test").info("with %s ##[group]x", "correct-horse-battery", extra={"run": "12"})
    finally:
        logger.handlers, logger.level = before
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record["message"] == "with *** ##[group]x"
    assert record["run"] == "12"
    assert record["level"] == "info"
    assert not obeyed(line)


def test_a_long_sentence_in_a_box_is_shown_whole_in_a_log() -> None:
    words = " ".join(f"word{number}" for number in range(60))
    stream = io.StringIO()
    console = Console(file=stream, width=80)
    show_run(console, a_run(), comment=f"<!-- hidden -->\n> [!CAUTION]\n> {words}")
    shown = stream.getvalue()
    assert [each for each in words.split() if each not in shown] == []
    assert "Caution" in shown
    assert "[!CAUTION]" not in shown

"""All open issues, judged: each once, kept whatever ends it, written like an event's answer, shown without harm."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bot.backlog import Done, Entry, basis_of, journal_of, judge_all, open_issues
from bot.cli.triage import triage
from bot.cli.triage_backlog import Waits, moment
from bot.cli.triage_backlog_view import Meter, backlog_parts
from bot.deps import Deps
from bot.errors import Cancelled, ConfigurationError, ForgeError, SandpiperError
from bot.store.journal import open_journal
from bot.testing.forge import FakeForge
from bot.testing.llm import ScriptedLLM
from bot.triage.backlog_page import backlog_page
from bot.triage.decide import decide
from bot.triage.listing import Row, in_order, totals
from bot.types.decision import Answer
from bot.types.event import Actor, Repository, Subject
from bot.types.output import Output
from bot.types.result import Failure, Usage
from bot.types.triage import Chosen, Neighbour, Triage
from tests.forge_fixtures import NAME, TOKEN
from tests.github_server.exchange import Request
from tests.github_server.server import GitHubServer
from tests.pipeline_fixtures import Kit
from tests.test_triage_report import HOSTILE, looked_at
from tests.triage_fixtures import opened

POLICY = """\
triage:
  labels: {bug: It is wrong., docs: About the docs.}
  actions: [labels, comment]
  rules:
    - {when: {title: "crash*"}, then: {labels: [bug]}}
    - {when: {title: "*welcome*"}, then: {comment: Hello!}}
"""
PLACE = Repository(id=9, full_name="octo/repo", default_branch="main")
STRANGER = Actor(login="stranger", id=77)
ANSWER = json.dumps({"type": "bug", "labels": {"l1": 0.9}, "priority": "high", "summary": "It breaks."})


def issue(number: int, title: str = "", **more: Any) -> Subject:
    title = title or ("crash on start" if number % 2 else "you are welcome")
    fields = {"kind": "issue", "number": number, "title": title, "body": "On start.", "author": STRANGER}
    return Subject.model_validate({**fields, "updated_at": f"2030-01-{number:02}T00:00:00Z", **more})


class Table:
    """A forge with open issues and a disk; `open` is a new process."""

    def __init__(self, folder: Path, *, issues: int = 6, policy: str = POLICY) -> None:
        folder.mkdir(exist_ok=True)
        self.kit = Kit(folder, opened())
        self.forge: FakeForge = self.kit.forge
        self.forge.files["/".join((".github", "bot.yml")), "main"] = policy.encode()
        self.forge.subjects = {number: issue(number) for number in range(1, issues + 1)}
        self.llm: ScriptedLLM | None = None
        self.usd = 1.0

    def deps(self, **more: Any) -> Deps:
        llm = self.llm
        return replace(self.kit.deps(**more), model=(lambda name: llm) if llm else None)

    def run(self, *, writes: bool = False, fresh: bool = False, stop: int | None = None, **more: Any) -> list[Done]:
        """One call; it is ended after `stop` issues as a kill would."""
        deps = self.deps(**more)
        basis = basis_of(deps, PLACE, with_model=True, usd=self.usd, writes=writes)
        subjects = open_issues(deps)
        with journal_of(self.kit.settings.state, PLACE, fresh=fresh) as journal:
            return list(itertools.islice(judge_all(basis, subjects, journal), stop))

    def writes(self) -> dict[int, tuple[tuple[str, ...], list[str]]]:
        """What people see on the forge."""
        return {
            number: (each.labels, [comment.body for comment in self.forge.comments.get(number, [])])
            for number, each in self.forge.subjects.items()
        }


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def new(done: Sequence[Done]) -> list[int]:
    return [each.row.number for each in done if each.new]


# --- judging ------------------------------------------------------------------------------------------------------


def test_each_is_judged_once(table: Table) -> None:
    first = table.run(stop=4)
    assert new(first) == [1, 2, 3, 4]
    assert [each.row.put_on for each in first] == [("bug",), (), ("bug",), ()]
    second = table.run()
    assert [each.row.number for each in second] == [1, 2, 3, 4, 5, 6]
    assert new(second) == [5, 6]
    assert second[:4] == [each._replace(new=False) for each in first]
    assert new(table.run()) == []
    assert table.writes()[1] == ((), [])


def test_what_changed_is_judged_again(table: Table) -> None:
    table.run()
    table.forge.subjects[2] = issue(2, updated_at="2031-01-01T00:00:00Z")
    table.forge.subjects[3] = issue(3, body="Edited within the same second.")
    assert new(table.run()) == [2, 3]
    assert new(table.run(fresh=True)) == [1, 2, 3, 4, 5, 6]
    table.forge.files[".github/bot.yml", "main"] = POLICY.replace("Hello!", "Welcome!").encode()
    assert new(table.run()) == [1, 2, 3, 4, 5, 6]
    table.llm = ScriptedLLM([ANSWER] * 6)
    assert new(table.run()) == [1, 2, 3, 4, 5, 6]


def test_only_some_are_asked_for(table: Table) -> None:
    assert [each.number for each in open_issues(table.deps(), limit=2)] == [1, 2]


def test_it_stops_where_the_money_is_spent_and_goes_on_with_more(table: Table) -> None:
    table.llm, table.usd = ScriptedLLM([ANSWER] * 9, price=0.02), 0.07
    deps = table.deps()
    basis = basis_of(deps, PLACE, with_model=True, usd=0.07, writes=False)
    with journal_of(table.kit.settings.state, PLACE, fresh=False) as journal:
        done = list(judge_all(basis, open_issues(deps), journal))
    assert new(done) == [1, 2, 3]
    assert basis.purse is not None
    assert (basis.purse.over, round(basis.purse.spent, 2)) == (True, 0.06)
    assert {each.row.found.by for each in done if each.row.found} == {"model"}
    assert new(table.run()) == [4, 5, 6]
    assert len(table.llm.heard) == 6


def test_without_a_model_no_purse_is_opened(table: Table) -> None:
    table.llm = ScriptedLLM([])
    basis = basis_of(table.deps(), PLACE, with_model=False, usd=1, writes=False)
    assert basis.purse is None


# --- writing ------------------------------------------------------------------------------------------------------


def event_outputs(table: Table, number: int) -> list[Output]:
    """What an event of the issue would write."""
    subject = table.forge.subjects[number]
    event = opened(number=number, title=subject.title, body=subject.body, updated_at=subject.updated_at)
    deps = table.deps()
    decision = decide(event, reader=deps.reader, settings=deps.settings, model=deps.model)
    assert isinstance(decision, Answer)
    return list(decision.outputs)


@pytest.mark.parametrize("with_model", [False, True])
def test_it_writes_what_an_event_would_write(tmp_path: Path, with_model: bool) -> None:
    table = Table(tmp_path)
    table.forge.subjects[2] = issue(2, "you are welcome")
    table.llm = ScriptedLLM([ANSWER] * 12) if with_model else None
    wanted = [output for number in range(1, 7) for output in event_outputs(table, number)]
    assert wanted
    passed: list[Output] = []
    table.run(writes=True, before=passed.append)
    assert passed == wanted


def test_nothing_is_written_twice_wherever_it_is_killed(tmp_path: Path) -> None:
    calm = Table(tmp_path / "calm")
    calm.run(writes=True)
    for moment_, at in itertools.product(("before", "after"), range(6)):
        table = Table(tmp_path / f"{moment_}{at}")
        left = itertools.count()

        def kill(output: Output, left: Iterator[int] = left, at: int = at) -> None:
            if next(left) == at:
                raise KeyboardInterrupt

        hooks: dict[str, Any] = {moment_: kill}
        with pytest.raises(KeyboardInterrupt):
            table.run(writes=True, **hooks)
        done = table.run(writes=True)
        assert table.writes() == calm.writes(), (moment_, at)
        assert [each.row.written for each in done] == [True] * 6
        assert [each.row.put_on for each in done] == [("bug",), (), ("bug",), (), ("bug",), ()]
        count = len(table.forge.comments)
        table.run(writes=True)
        assert len(table.forge.comments) == count


def test_what_was_judged_in_a_dry_run_is_written_without_judging_again(table: Table) -> None:
    table.llm = ScriptedLLM([ANSWER] * 6)
    table.run()
    assert table.writes()[1] == ((), [])
    done = table.run(writes=True)
    assert new(done) == []
    assert len(table.llm.heard) == 6
    assert table.writes()[1][0] == ("bug",)


def test_an_issue_that_changed_while_others_were_judged_is_left_for_the_next_call(table: Table) -> None:
    subjects = open_issues(table.deps())
    table.forge.subjects[1] = issue(1, state="closed")
    table.forge.subjects[3] = issue(3, body="Other words.")
    basis = basis_of(table.deps(), PLACE, with_model=False, usd=0, writes=True)
    with journal_of(table.kit.settings.state, PLACE, fresh=False) as journal:
        done = list(judge_all(basis, subjects, journal))
    assert [each.row.number for each in done if each.row.left] == [1, 3]
    assert table.writes()[3] == ((), [])
    assert new(table.run(writes=True)) == [3]
    assert table.writes()[3][0] == ("bug",)


def test_locked_conversations_and_rules_that_start_tasks_are_left_alone(tmp_path: Path) -> None:
    table = Table(tmp_path, policy=POLICY.replace("labels: [bug]}", "labels: [bug], task: fix}"))
    table.forge.subjects[2] = issue(2, "you are welcome", locked=True)
    done = table.run(writes=True)
    assert [each.row.left for each in done[:2]] == [
        "a rule starts the task fix, which nobody asked for here",
        "the conversation is locked",
    ]
    assert table.writes()[1] == table.writes()[2] == ((), [])
    size = (tmp_path / "state" / "backlog" / "octo__repo.jsonl").stat().st_size
    table.run(writes=True)
    assert (tmp_path / "state" / "backlog" / "octo__repo.jsonl").stat().st_size == size


def test_one_that_fails_stops_nobody_and_is_tried_again(table: Table) -> None:
    def fail(output: Output) -> None:
        if getattr(output, "number", 0) == 3:
            raise ForgeError("forbidden", "not this one")

    done = table.run(writes=True, before=fail)
    assert [each.row.number for each in done if each.row.failure] == [3]
    assert table.writes()[5][0] == ("bug",)
    again = table.run(writes=True)
    assert new(again) == [3]
    assert all(each.row.failure is None for each in again)


def test_a_forge_that_keeps_failing_ends_it(tmp_path: Path) -> None:
    table = Table(tmp_path, issues=20, policy=POLICY.replace("crash*", "*"))

    def fail(output: Output) -> None:
        raise ForgeError("unreachable", "nobody there")

    with pytest.raises(ForgeError):
        table.run(writes=True, before=fail)
    assert len(table.run(writes=True)) == 20


def test_a_signal_ends_it(table: Table) -> None:
    asked = itertools.count()
    with pytest.raises(Cancelled):
        table.run(cancelled=lambda: next(asked) == 2)
    assert new(table.run()) == [3, 4, 5, 6]


def test_secrets_never_reach_the_forge(tmp_path: Path) -> None:
    table = Table(tmp_path, policy=POLICY.replace("Hello!", "hunter2-hunter2"))
    table.forge.subjects = {1: issue(1, "you are welcome")}
    table.run(writes=True)
    assert "hunter2" not in str(table.forge.comments)
    assert table.forge.comments[1]


# --- the journal --------------------------------------------------------------------------------------------------

HEAD = {"journal": "test", "version": 1}


def entry(number: int) -> Entry:
    return Entry(basis="b", text="t", row=Row(number=number, title=f"Title {number} \u2028\ud7ff"))


def numbers(path: Path) -> list[int]:
    with open_journal(path, Entry, HEAD) as journal:
        return [each.row.number for each in journal.entries()]


def test_a_journal_cut_anywhere_keeps_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "journal"
    with open_journal(path, Entry, HEAD) as journal:
        for number in (1, 2, 3):
            journal.append(entry(number))
    data = path.read_bytes()
    for end in range(len(data) + 1):
        path.write_bytes(data[:end])
        whole = max(0, data[:end].count(b"\n") - 1)
        with open_journal(path, Entry, HEAD) as journal:
            assert [each.row.number for each in journal.entries()] == [1, 2, 3][:whole]
            journal.append(entry(9))
        assert numbers(path) == [*[1, 2, 3][:whole], 9]


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", b'{"basis": 1}\n', b"\xff\n", b"[" * 50_000 + b"\n"])
def test_a_damaged_line_is_said(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "journal"
    assert numbers(path) == []
    with path.open("ab") as file:
        file.write(line + entry(1).model_dump_json().encode() + b"\n")
    with pytest.raises(SandpiperError) as caught:
        numbers(path)
    assert caught.value.code == "journal_damaged"
    assert "line 2" in caught.value.message
    with open_journal(path, Entry, HEAD, fresh=True) as journal:
        assert list(journal.entries()) == []


def test_another_version_and_another_process_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with open_journal(path, Entry, HEAD), pytest.raises(SandpiperError) as busy:
        numbers(path)
    assert busy.value.code == "journal_busy"
    with pytest.raises(SandpiperError) as other, open_journal(path, Entry, {**HEAD, "version": 2}):
        pass
    assert other.value.code == "journal_damaged"
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(SandpiperError) as link:
        numbers(tmp_path / "link")
    assert link.value.code == "store_unusable"


# --- showing ------------------------------------------------------------------------------------------------------


def row(number: int, **more: Any) -> Row:
    found = {"type": "bug", "labels": (Chosen(label="bug", confidence=0.8, by="offline"),), **more.pop("found", {})}
    return Row.model_validate({"number": number, "title": "It breaks", "found": Triage.model_validate(found), **more})


def test_the_most_urgent_come_first() -> None:
    rows = [
        row(1, found={"priority": "info", "spam": True}),
        row(2),
        row(3),
        row(4, found={"priority": "high"}),
        row(5, found={"priority": "high", "security": True}),
        Row(number=6, title="failed", failure=Failure(code="unreachable", message="nobody there")),
        row(7, found={"priority": "critical", "usage": Usage(steps=2, usd=0.5)}),
    ]
    assert [each.number for each in in_order(rows)] == [7, 5, 4, 3, 2, 1, 6]
    counts = totals(rows)
    assert counts.priorities == (("critical", 1), ("high", 2), ("medium", 2), ("info", 1), ("failed", 1))
    assert (counts.issues, counts.failed, counts.usage.usd, counts.types) == (7, 1, 0.5, (("bug", 6),))


def test_the_page_links_and_runs_nothing() -> None:
    near = Neighbour(number=3, title=HOSTILE, score=0.7, candidate=True)
    found = {
        "missing": (HOSTILE,),
        "duplicates": (near,),
        "labels": (Chosen(label=HOSTILE, confidence=0.5, by="model"),),
    }
    rows = [
        row(7, title=HOSTILE, put_on=(HOSTILE + "2",), found=found),
        Row(number=8, title="x", failure=Failure(code="x", message=HOSTILE)),
    ]
    text = backlog_page("acme/app", "https://github.example", rows, dry_run=True, made="today")
    page = looked_at(text)
    links = [attributes["href"] for name, attributes in page.tags if name == "a"]
    assert links == [
        "#p-medium",
        "#p-failed",
        "https://github.example/acme/app/issues/7",
        "https://github.example/acme/app/issues/3",
        "https://github.example/acme/app/issues/8",
    ]
    assert page.said.count("alert(1)") == 6
    assert "\u202e" not in page.said
    for server in ("javascript:alert(1)//", 'https://x" onclick="y', "ftp://x"):
        links = [each["href"] or "" for name, each in looked_at(backlog_page("a/b", server, rows, dry_run=True)).tags
                 if name == "a"]  # fmt: skip
        assert all((each or "").startswith("#p-") for each in links)
    assert "No open issue" in looked_at(backlog_page("a/b", "", [], dry_run=True)).said


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_titles_are_text_on_the_page(titles: list[str]) -> None:
    rows = [row(number, title=title) for number, title in enumerate(titles, 1)]
    page = looked_at(backlog_page("acme/app", "https://github.example", rows, dry_run=False))
    assert len([1 for name, _ in page.tags if name == "tr"]) == len(titles) + 8


def shown(parts: Callable[[], Iterator[Any]]) -> str:
    console = Console(file=StringIO(), width=160, highlight=False)
    for part in parts():
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_the_terminal_shows_a_table_and_totals() -> None:
    rows = [row(number, title=f"\x1b[31mBad\u202e {number}") for number in range(1, 6)]
    text = shown(lambda: backlog_parts(rows, dry_run=True, most=3))
    for wanted in ("#5", "Bad 5", "and 2 more", "would label", "80 %", "medium 5", "bug 5"):
        assert wanted in text
    assert "Bad 1" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "no open issue" in shown(lambda: backlog_parts([], dry_run=True))


def test_a_log_gets_lines_with_rate_and_price() -> None:
    now = [0.0]
    console = Console(file=StringIO())
    with Meter(console, 200, clock=lambda: now[0]) as meter:
        for number in range(1, 101):
            now[0] += 0.5
            meter.step(row(number), new=True, usd=number * 0.01)
        meter.step(Row(number=7, title="x", failure=Failure(code="c", message="::error::m")), new=False, usd=1.0)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0].startswith("30 of 200 issues, 2.0/s, 1m left")
    assert any(each.startswith("100 of 200 issues, 2.0/s, ") and each.endswith("left, 1.00 USD") for each in lines)
    assert "#7: ::error::m [c]" in lines  # no command where a line does not begin with one
    assert lines[-1].startswith("101 of 200 issues")


def test_long_waits_for_the_forge_are_said() -> None:
    slept: list[float] = []
    console = Console(file=StringIO())
    waits = Waits(slept.append)
    waits(60)
    waits.meter = Meter(console, 1)
    waits(0.5)
    waits(42)
    assert slept == [60, 0.5, 42]
    assert console.file.getvalue() == "GitHub's rate limit: waiting 42 s\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("", ""),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
    ],
)
def test_times_are_iso(text: str, time: str) -> None:
    assert moment(text) == time


def test_other_times_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        moment("yesterday")


# --- the command, against a GitHub over HTTP ----------------------------------------------------------------------


class Desk:
    """A GitHub with a policy and open issues, and calls of the command in processes of their own."""

    def __init__(self, github: GitHubServer, home: Path) -> None:
        self.github, self.home = github, home
        self.repo = github.add_repo(NAME, {".github/bot.yml": POLICY})
        github.add_token(TOKEN)
        for number in range(1, 7):
            github.open_issue(NAME, title="crash on start" if number % 2 else "you are welcome")
        github.open_pull(NAME, {"a.txt": "a"}, title="crash in a pull request")
        self.process: subprocess.Popen[str] | None = None

    def variables(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "SANDPIPER_STATE": str(self.home / "state"),
            "SANDPIPER_TOKEN": TOKEN,
            "SANDPIPER_API_URL": self.github.url,
            "SANDPIPER_SERVER_URL": self.github.html_url,
            "SANDPIPER_OFFLINE": "false",
        }

    def call(self, *words: str) -> Result:
        """In this process."""
        return CliRunner(env=self.variables()).invoke(triage, ["backlog", NAME, *words])

    def killed(self) -> tuple[int, str, str]:
        """In a process of its own, which gets a signal."""
        command = [sys.executable, "-m", "bot", "triage", "backlog", NAME]
        variables = {"PATH": os.environ["PATH"], **self.variables()}
        self.process = subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err

    def signal_at(self, path: str, number: signal.Signals) -> None:
        """Send a signal when that is asked for the first time, before it takes effect."""
        sent: list[str] = []

        def hook(request: Request) -> None:
            if not sent and request.method == "POST" and request.path.endswith(path) and self.process is not None:
                sent.append(path)
                self.process.send_signal(number)

        self.github.on_request(hook)

    def seen(self) -> dict[int, tuple[list[str], int]]:
        return {each.number: (sorted(each.label_names), len(each.comments)) for each in self.repo.issues.values()}


WANTED = {1: (["bug"], 0), 2: ([], 1), 3: (["bug"], 0), 4: ([], 1), 5: (["bug"], 0), 6: ([], 1), 7: ([], 0)}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with GitHubServer() as github:
        yield Desk(github, tmp_path)
        assert github.violations == []
        assert github.unknown == []


def test_a_dry_run_writes_nothing_and_a_real_one_writes_once(desk: Desk, tmp_path: Path) -> None:
    html = tmp_path / "list.html"
    done = desk.call("--dry-run", "--json", "--html", str(html), "--limit", "4")
    value = json.loads(done.stdout)
    assert (done.exit_code, value["judged"], value["dry_run"], value["totals"]["issues"]) == (0, 4, True, 4)
    assert value["totals"]["labels"] == {"bug": 2}
    page = looked_at(
        html.read_text().replace("http://127.0.0.1", "https://127.0.0.1")
    )  # the test's server has no https
    assert len([1 for _, each in page.tags if "/issues/" in (each.get("href") or "")]) == 4
    assert [each for each in desk.github.requests if not each.reads] == []
    done = desk.call()
    assert done.exit_code == 0
    assert "labelled" in done.stdout
    assert "6 of 6 issues" in done.stderr
    assert desk.seen() == WANTED
    written = len(desk.github.ledger)
    done = desk.call("--json")
    assert (done.exit_code, json.loads(done.stdout)["judged"]) == (0, 0)
    assert len(desk.github.ledger) == written


def test_after_a_kill_the_same_command_goes_on(desk: Desk) -> None:
    desk.signal_at("/issues/4/comments", signal.SIGKILL)
    assert desk.killed()[0] == -signal.SIGKILL
    assert 0 < len([1 for labels, comments in desk.seen().values() if labels or comments]) < 6
    journal = next(desk.home.rglob("backlog/*.jsonl"))
    with journal.open("ab") as file:
        file.write(b'{"basis": "torn')
    done = desk.call("--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["judged"] == 2  # 5 and 6; of the fourth it was only in doubt whether it was written
    assert desk.seen() == WANTED


def test_an_interrupt_ends_it_cleanly(desk: Desk) -> None:
    desk.signal_at("/issues/3/labels", signal.SIGINT)
    code, out, err = desk.killed()
    assert code == 130
    assert "goes on where this ended" in err
    assert "#2" in out
    assert desk.call().exit_code == 0
    assert desk.seen() == WANTED


def test_mistakes_are_said(desk: Desk) -> None:
    assert getattr(desk.call("--since", "yesterday").exception, "code", "") == "no_time"
    done = desk.call("--dry-run", "--since", "2100-01-01")
    assert (done.exit_code, "no open issue" in done.stdout) == (0, True)

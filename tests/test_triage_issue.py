"""An issue on a GitHub over HTTP -> its judgement, on the command line and as a whole run with every oracle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bot.__main__ import run
from bot.telemetry.view import show_run
from bot.types.decision import Answer
from tests.github_server.faults import Kind
from tests.github_server.server import GitHubServer
from tests.github_server.webhooks import issues_opened
from tests.issue_fixtures import said
from tests.oracles import Allowed
from tests.stage import NAME, PRICE, TOKEN, Stage, Trap, event_of, staged

POLICY = """\
triage:
  labels: [bug, question]
  actions: [labels, comment]
  rules: [{when: {matches: '(?i)crash(es|ed)?'}, then: {labels: [crash]}}]
"""
FORM = """\
name: Bug
body:
  - {type: input, attributes: {label: Version}, validations: {required: true}}
  - {type: textarea, attributes: {label: What happened}, validations: {required: true}}
"""
FILES = {
    ".github/bot.yml": POLICY,
    ".github/ISSUE_TEMPLATE/bug.yml": FORM,
    ".github/CODEOWNERS": "*.py @octo/readers\n",
    "SECURITY.md": "Write to us.\n",
    "src/reader.py": "def read_table(path):\n    return open(path)\n",
}
BODY = "### Version\n\n_No response_\n\n### What happened\n\nread_table crashes when the file is empty."


def filled(server: GitHubServer, *bodies: str) -> list[int]:
    """The repository with issues; their numbers."""
    server.add_repo(NAME, FILES)
    server.add_token(TOKEN, repos=[NAME])
    server.add_user("maria")
    server.set_permission(NAME, "maria", "write")
    return [server.open_issue(NAME, title=f"Reader {at}", body=body).number for at, body in enumerate(bodies)]


# --- the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        values = {
            "GITHUB_API_URL": server.url,
            "GITHUB_SERVER_URL": server.html_url,
            "GITHUB_TOKEN": TOKEN,
            "SANDPIPER_STATE": str(tmp_path / "state"),
            "SANDPIPER_ENCODER": "none",
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        yield server
        assert server.violations == []
        assert server.ledger == [], "the command writes nothing"


def asked(capsys: pytest.CaptureFixture[str], number: int, *more: str) -> Any:
    assert run(["triage", "issue", f"{NAME}#{number}", "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_judges_and_writes_nothing(hub: GitHubServer, capsys: pytest.CaptureFixture[str]) -> None:
    (number,) = filled(hub, BODY)
    found = asked(capsys, number, "--no-model")
    triage, outputs = found["triage"], found["outputs"]
    assert triage["missing"] == ["Version"]
    assert triage["question"] == "Could you add what is missing: Version?"
    assert triage["by"] == "offline"
    assert [each["label"] for each in triage["labels"] if each["apply"]] == ["crash"]
    assert [each["kind"] for each in outputs] == ["labels", "note"]
    assert outputs[0]["add"] == ["crash"]
    assert run(["triage", "issue", f"{NAME}#{number}", "--no-model"]) == 0
    words = capsys.readouterr().out
    assert "Would put on: crash" in words
    assert "missing" in words


def test_of_a_vulnerability_it_names_the_policy_and_nothing_else(
    hub: GitHubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (number,) = filled(hub, "A SQL injection vulnerability lets attackers read all passwords: `' OR 1=1`. CVE pending.")
    found = asked(capsys, number, "--no-model")
    (note,) = [each for each in found["outputs"] if each["kind"] == "note"]
    assert found["triage"]["security"]
    assert "`SECURITY.md`" in note["body"]
    assert "OR 1=1" not in json.dumps(found["outputs"])


@pytest.mark.parametrize(("where", "code"), [(f"{NAME}#99", 2), (f"{NAME}#2", 2), ("nonsense", 2), ("octo/gone#1", 3)])
def test_what_can_not_be_judged_is_said(
    hub: GitHubServer, capsys: pytest.CaptureFixture[str], where: str, code: int
) -> None:
    filled(hub, BODY)
    hub.open_pull(NAME, {"a.txt": "a"}, title="Two", user="maria")
    assert run(["triage", "issue", where]) == code
    assert capsys.readouterr().err


# --- the whole run ----------------------------------------------------------------------------------------------


def opened_issue(server: GitHubServer, folder: Path, trap: Trap) -> Stage:
    """A stranger opens an issue."""
    (number,) = filled(server, BODY)
    allowed = Allowed(NAME, number, labels=frozenset({"crash", "bug"}))
    answer = said(summary="Reading an empty file crashes. @octocat", question="Which version?", files={"f1": True})
    return Stage(server, folder, event_of("issues", issues_opened(server, NAME, number)), allowed, trap, (answer,))


def test_a_new_issue_is_judged_once_whatever_happens(tmp_path: Path) -> None:
    with staged(opened_issue, tmp_path / "s") as stage:
        done = stage.judge(stage.play())
        assert done.conclusion == "success"
        assert isinstance(done.decision, Answer)
        assert done.decision.usage.usd == PRICE, "what it cost is on the record"
        shown = StringIO()
        show_run(Console(file=shown, width=120), done)
        assert "1 model calls, 0.0100 USD" in shown.getvalue()
        assert sorted(stage.subject.label_names) == ["bug", "crash"]
        (body,) = stage.server.repo(NAME).comments(stage.allowed.number)
        assert "**Missing:** `Version`" in body
        assert "```text\nWhich version?\n```" in body
        state, written = stage.state(), len(stage.server.ledger)
        stage.judge(stage.play(attempt=2))
        stage.machine_lost()
        again = stage.judge(stage.play(attempt=3))
        assert again.conclusion == "success"
        assert stage.state() == state
        assert len(stage.server.ledger) == written, "nothing is written a second time"
        assert sum(len(model.heard) for model in stage.models) == 1, "and nobody is asked a second time"


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "status_after"])
@pytest.mark.parametrize("path", ["/labels$", "/issues/1/labels$", "/comments$"])
def test_after_any_failed_write_the_end_is_the_same(tmp_path: Path, path: str, kind: Kind) -> None:
    """Also on a machine that knows nothing of the first try."""
    with staged(opened_issue, tmp_path / "calm") as calm:
        calm.judge(calm.play())
        wanted = calm.state()
    with staged(opened_issue, tmp_path / "s") as stage:
        stage.server.faults.add("POST", path, kind, times=9)
        first = stage.play()
        stage.server.faults.planted.clear()
        if first.run.conclusion != "success":
            stage.machine_lost()
        stage.judge(stage.play(attempt=2))
        assert stage.state() == wanted
        assert len(stage.server.repo(NAME).comments(1)) == 1


def test_judging_takes_few_requests(tmp_path: Path) -> None:
    with staged(opened_issue, tmp_path / "s") as stage:
        stage.judge(stage.play())
        reads = [each.path for each in stage.server.requests if each.reads]
        assert len(reads) <= 16, reads

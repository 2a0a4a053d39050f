"""`sandpiper triage analyze` against a GitHub and a model over HTTP: reports, and issues that are opened once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bot.cli.triage import triage
from bot.errors import ForgeError, SandpiperError
from bot.forge.local.reader import LocalReader, create_local
from bot.forge.local.writer import open_local
from bot.store.folder import FolderStore
from bot.testing.forge import FakeForge, FakeWriter
from bot.types.output import NewIssue
from tests.forge_fixtures import NAME, TOKEN, Desk, desk, open_desk
from tests.github_server.model_server import ModelServer, text
from tests.test_conversation import ANSWER
from tests.triage_fixtures import opened

__all__ = ["desk"]
ISSUE = NewIssue(
    key="issue:1",
    marker="<!-- sandpiper:task=0123:abcd -->",
    title="Test the parser",
    body="## Summary\n\nIt has no test.",
    labels=("priority:high",),
)
TALK = "Rewrite it.\n- [x] parser\n- [ ] tests\n- [ ] security review @octo closes #1\n"


def issues_of(desk: Desk) -> list[Any]:
    """What people would see of issues that we opened."""
    ours = [each for each in desk.repo.issues.values() if each.number != 1]
    return [(each.title, each.body, sorted(each.label_names), each.user.login) for each in ours]


# --- the output ---------------------------------------------------------------------------------------------------


def test_an_issue_is_opened_with_its_marker_and_labels(desk: Desk) -> None:
    receipt = desk.apply(ISSUE)
    assert (receipt.id, receipt.done, receipt.kind) == (2, True, "issue")
    assert receipt.url.endswith("/issues/2")
    body = "<!-- sandpiper:task=0123:abcd -->\n## Summary\n\nIt has no test."
    assert issues_of(desk) == [("Test the parser", body, ["priority:high"], "github-actions[bot]")]


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "status", "secondary_limit"])
def test_it_is_opened_once_whichever_of_its_requests_fails(tmp_path: Path, fault: Any) -> None:
    with open_desk(tmp_path / "calm") as calm:
        calm.apply(ISSUE)
        wanted, requests = issues_of(calm), [(each.method, each.path) for each in calm.server.requests]
    assert [path for method, path in requests if method == "POST" and "/repos/" in path] == [
        f"/repos/{NAME}/labels",
        f"/repos/{NAME}/issues",
    ]
    for at, (method, path) in enumerate(requests):
        with open_desk(tmp_path / str(at)) as desk:
            skip = sum(1 for before in requests[:at] if before == (method, path))
            planted = desk.server.faults.add(method, re.escape(path) + "$", fault, skip=skip)
            desk.apply(ISSUE)
            assert planted.met == 1, (method, path)
            assert issues_of(desk) == wanted, (method, path)


def test_a_second_run_finds_it_also_when_it_is_closed(desk: Desk) -> None:
    first = desk.apply(ISSUE)
    desk.repo.issues[2].state = "closed"
    again = desk.apply(ISSUE)
    assert (again.id, again.url, again.done) == (first.id, first.url, False)
    assert desk.apply(ISSUE, doubt=True).done
    assert len(issues_of(desk)) == 1


def test_a_marker_that_somebody_else_copied_is_not_ours(desk: Desk) -> None:
    desk.server.open_issue(NAME, body=f"{ISSUE.marker}\nhello")
    assert desk.apply(ISSUE).id == 3


def test_twenty_issues_need_one_list(desk: Desk) -> None:
    _, writer = desk.open()
    for number in range(20):
        writer.apply(ISSUE.changed(key=str(number), marker=f"<!-- sandpiper:task=a:{number} -->"), blobs=desk.blobs)
    asked = [each for each in desk.server.requests if each.method == "GET" and each.path.endswith("/issues")]
    assert len(asked) == 1
    assert len(issues_of(desk)) == 20


def test_who_may_only_read_opens_nothing(desk: Desk) -> None:
    desk.server.add_token("reads", permissions={"issues": "read"})
    with pytest.raises(ForgeError) as caught:
        desk.open("reads")[1].apply(ISSUE, blobs=desk.blobs)
    assert caught.value.code == "forbidden"
    assert issues_of(desk) == []


def test_a_folder_and_the_fake_open_it_once_too(tmp_path: Path) -> None:
    create_local(tmp_path / "forge", "maria/app", {"a": b"b"}, {})
    reader, writer = open_local(tmp_path / "forge")
    assert isinstance(reader, LocalReader)
    first, again = (writer.apply(ISSUE, blobs=tmp_path) for _ in range(2))
    assert (first.done, again.done, again.id) == (True, False, first.id)
    made = reader.subject(first.id)
    assert made is not None
    assert (made.title, made.labels) == (ISSUE.title, ISSUE.labels)
    forge = FakeForge()
    assert [FakeWriter(forge).apply(ISSUE, blobs=tmp_path).done for _ in range(2)] == [True, False]
    assert forge.issues == [ISSUE]


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A conversation in a file, and a state folder of the test's own."""
    monkeypatch.setenv("SANDPIPER_STATE", str(tmp_path / "state"))
    path = tmp_path / "talk.txt"
    path.write_text(TALK)
    return path


def at_desk(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    monkeypatch.setenv("SANDPIPER_TOKEN", TOKEN)
    monkeypatch.setenv("SANDPIPER_API_URL", desk.server.url)
    monkeypatch.setenv("SANDPIPER_SERVER_URL", desk.server.html_url)


def call(*words: str, stdin: bytes | None = None) -> str:
    done = CliRunner().invoke(triage, ["analyze", *words], input=stdin, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def failing(*words: str) -> str:
    done = CliRunner().invoke(triage, ["analyze", *words])
    assert isinstance(done.exception, SandpiperError), done.output
    return done.exception.code


def test_a_report_is_written_without_a_model(talk: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    assert str(report) in call(str(talk), "-o", str(report))
    written = report.read_text()
    for heading in ("## Summary", "## Completed tasks", "## Outstanding tasks", "## Blockers", "## Recommendations"):
        assert heading in written
    assert "digest by rules" in written
    assert "### tests" in written
    assert call("-", stdin=talk.read_bytes()).strip() == written.strip()


def test_a_dry_run_makes_no_call_and_says_what_it_would_open(
    talk: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_desk(monkeypatch, desk)
    shown = call(str(talk), "--create-issues", NAME, "--dry-run")
    assert f"would open in {NAME}: tests [priority:medium]" in shown
    assert "## Acceptance Criteria" in shown
    value = json.loads(call(str(talk), "--create-issues", NAME, "--dry-run", "--json"))
    assert [each["title"] for each in value["issues"]] == ["security review octo closes 1", "tests"]
    assert value["dry_run"] is True
    assert desk.server.requests == []


def test_issues_are_opened_once_over_two_runs(talk: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    at_desk(monkeypatch, desk)
    first = call(str(talk), "--create-issues", NAME)
    assert first.count("opened: ") == 2
    again = json.loads(call(str(talk), "--create-issues", NAME, "--json"))
    assert [(each["number"], each["new"]) for each in again["issues"]] == [(2, False), (3, False)]
    assert [each[0] for each in issues_of(desk)] == ["security review octo closes 1", "tests"]
    (urgent, _) = issues_of(desk)
    assert urgent[2] == ["priority:high"]
    for heading in ("## Summary", "## Priority", "## Blocked By", "## Acceptance Criteria"):
        assert heading in urgent[1]
    assert desk.server.violations == []


def test_a_model_is_paid_once_for_the_same_conversation(talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer([text(json.dumps(ANSWER)), text("unused")]) as server:
        monkeypatch.setenv("SANDPIPER_MODEL", "openai/scripted")
        monkeypatch.setenv("SANDPIPER_MODEL_URL", f"{server.url}/v1")
        monkeypatch.setenv("SANDPIPER_MODEL_KEY", "sk-test-test-test")
        talk.write_text(TALK + "the key is sk-test-test-test\n")
        words = [str(talk), "--create-issues", NAME, "--dry-run", "--json"]
        first, again = json.loads(call(*words)), json.loads(call(*words))
        assert first == again
        assert first["analysis"]["by"] == "model"
        assert [each["title"] for each in first["issues"]] == ["Test the parser", "Document it"]
        assert first["issues"][0]["labels"] == ["priority:critical"]
        assert len(server.requests) == 1
        assert "security review" in str(server.requests[0].body)
        assert "sk-test-test-test" not in str(server.requests[0].body)
        assert json.loads(call(*words, "--no-model"))["analysis"]["by"] == "rules"
        assert len(server.requests) == 1


def test_a_run_is_found_by_its_id(talk: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "state")
    run = store.save(store.open(opened()).changed(status="completed", conclusion="failure"))
    assert failing(run.run_id) == "no_conversation"
    messages = [{"role": "user", "content": "Mend it."}, {"role": "assistant", "content": "- [ ] mend it"}]
    (store.folder(run.run_id) / "trajectory.json").write_text(json.dumps(messages))
    value = json.loads(call(run.run_id[:6], "--json"))
    assert value["source"] == run.run_id
    assert [each["title"] for each in value["analysis"]["outstanding"]] == ["mend it"]
    assert "failure" in value["analysis"]["summary"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["no-such-file"], "no_such_conversation"),
        (["abcdef"], "no_such_run"),
        (["EMPTY"], "empty_conversation"),
        (["TALK", "--create-issues", "nonsense"], "invalid_repository"),
        (["TALK", "-o", "no/such/folder/report.md"], "not_writable"),
        (["TALK", "--create-issues", NAME], "token_missing"),
    ],
)
def test_what_is_wrong_is_said(talk: Path, words: list[str], code: str) -> None:
    empty = talk.with_name("empty")
    empty.write_text(" \n")
    places = {"TALK": str(talk), "EMPTY": str(empty)}
    assert failing(*(places.get(each, each) for each in words)) == code

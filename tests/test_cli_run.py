"""`run` and `handle` -> the whole story from a command line: a checkout, a stateful GitHub, a real container."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import run
from bot.errors import ConfigurationError
from bot.forge.local.borrow import borrow, full_name_of, git_folder_of
from bot.forge.local.reader import LocalReader, Person
from bot.settings import Settings
from tests.github_server.server import GitHubServer
from tests.github_server.webhooks import issues_labeled

NAME = "shore/tidepool"
TOKEN = "t0ken-of-maria"
POLICY = """\
version: 1
tasks:
  regenerate:
    runtime: command
    commands: [make generate]
    verify: [make test]
    outputs: [comment, patch, branch, pull_request]
  wait:
    runtime: command
    commands: ["sleep 300"]
    outputs: [comment]
"""
MAKEFILE = "generate:\n\techo fresh > table.txt\ntest:\n\ttest -s table.txt\n"
FILES = {"Makefile": MAKEFILE, "table.txt": "stale\n", ".github/bot.yml": POLICY}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SANDPIPER_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@dataclass
class Hub:
    """A GitHub with a labelled issue, and the webhook about it."""

    server: GitHubServer
    payload: Path
    number: int

    def writes(self) -> list[str]:
        return [f"{each.method} {each.path}" for each in self.server.requests if not each.reads]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with GitHubServer() as server:
        server.add_user("maria", 1001)
        server.add_repo(NAME, FILES)
        server.add_token(TOKEN)
        issue = server.open_issue(
            NAME, "The table is stale", "Please regenerate.", user="otto", labels=["bot:regenerate"]
        )
        server.set_permission(NAME, "maria", "write")
        payload = tmp_path / "payload.json"
        payload.write_text(json.dumps(issues_labeled(server, NAME, issue.number, "bot:regenerate", "maria")))
        monkeypatch.setenv("SANDPIPER_TOKEN", TOKEN)
        monkeypatch.setenv("SANDPIPER_API_URL", server.url)
        monkeypatch.setenv("SANDPIPER_SERVER_URL", server.html_url)
        yield Hub(server, payload, issue.number)
        assert server.violations == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "tidepool"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "init", "-q", "-b", "trunk")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=Maria", "-c", "user.email=maria@localhost", "commit", "-qm", "Start")
    return folder


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True).stdout


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def tree(folder: Path) -> Mapping[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file()}


# --- handle -------------------------------------------------------------------------------------------------------


def test_the_decision_alone_costs_no_sandbox_and_no_write(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["handle", "--event", "issues", str(hub.payload), "--decide-only"]
    assert run([*words, "--json"]) == 0
    value = answer(capsys)
    assert (value["decision"]["kind"], value["decision"]["code"]) == ("run", "accepted")
    assert value["decision"]["reason"]
    assert "note" in [each["kind"] for each in value["outputs"]]
    assert run(words) == 0
    assert capsys.readouterr().out.startswith("run (accepted): ")
    assert hub.writes() == []


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_a_dry_run_shows_all_and_writes_nothing_then_the_real_run_publishes(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["handle", "--event", "issues", str(hub.payload), "--json"]
    for _ in range(2):
        assert run([*words, "--dry-run"]) == 0
        value = answer(capsys)
        kinds = [each["kind"] for each in value["outputs"]]
        assert {"reaction", "note", "commit", "pull"} <= set(kinds)
        assert value["conclusion"] == "success"
        assert "table.txt" in Path(value["artifacts_dir"], "changes.patch").read_text(encoding="utf-8")
    assert hub.writes() == []
    assert run(words) == 0
    assert answer(capsys)["conclusion"] == "success"
    pulls = [each for each in hub.server.repo(NAME).issues.values() if each.pull]
    assert [each.pull.draft for each in pulls if each.pull] == [True]
    done = len(hub.writes())
    assert run(words) == 0
    assert len(hub.writes()) == done


def test_a_refusal_is_shown_with_its_reason(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.server.set_permission(NAME, "maria", "none")
    assert run(["handle", "--event", "issues", str(hub.payload), "--dry-run", "--json"]) == 0
    value = answer(capsys)
    assert value["decision"]["code"] == "permission"
    assert hub.writes() == []


def test_a_repository_without_a_token(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SANDPIPER_TOKEN")
    for words in (["handle", "--event", "issues", str(hub.payload)], ["run", "--repo", NAME, "--task", "test"]):
        assert run([*words, "--json"]) == 2
        error = answer(capsys)["error"]
        assert error["code"] == "token_missing"
        assert NAME in error["message"]
        assert "SANDPIPER_TOKEN" in error["hint"]
    assert hub.server.requests == []


def test_an_event_that_the_bot_does_not_act_on_needs_no_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    payload = tmp_path / "ping.json"
    payload.write_text('{"zen": "Speak like a human.", "hook_id": 1}', encoding="utf-8")
    assert run(["handle", "--event", "ping", str(payload), "--json"]) == 0
    assert answer(capsys)["decision"]["kind"] == "ignore"


@pytest.mark.parametrize("data", [b"", b"  \n", b"{", b"[]", b"\xff\xfe", b'{"action":"labeled"}', b"[" * 100_000])
def test_garbage_is_the_callers_mistake(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    payload = tmp_path / "payload.json"
    payload.write_bytes(data)
    assert run(["handle", "--event", "issues", str(payload), "--json"]) == 2
    assert answer(capsys)["error"]["code"].startswith("payload_")


# --- run ----------------------------------------------------------------------------------------------------------


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_a_run_in_a_checkout_changes_nothing_there_and_can_be_taken(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(checkout)
    assert run(["run", "--repo", str(checkout), "--task", "regenerate"]) == 0
    assert tree(checkout) == before
    text = capsys.readouterr().out
    for words in ("+fresh", "-stale", "make generate", "success", "changes.patch"):
        assert words in text
    take = next(line for line in text.splitlines() if line.startswith("take it:")).split()[2:]
    branch = take[-1].partition(":")[0]
    git(checkout, *take[1:])
    assert git(checkout, "show", f"{branch}:table.txt") == "fresh\n"


def test_a_task_that_is_not_there_is_the_callers_mistake(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--repo", str(checkout), "--task", "nope", "--json"]) == 2
    value = answer(capsys)
    assert value["decision"]["kind"] == "refuse"
    assert "regenerate" in value["decision"]["reason"]


@pytest.mark.parametrize("repo", ["/nowhere/at/all", "no-slash", "a/b/c", "../x/y"])
def test_a_repository_that_is_none(repo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--repo", repo, "--task", "test", "--json"]) == 2
    assert answer(capsys)["error"]["code"] == "no_such_repository"


def test_a_folder_that_is_no_checkout_or_has_no_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    words = ["run", "--repo", str(folder), "--task", "test", "--json"]
    assert run(words) == 2
    assert answer(capsys)["error"]["code"] == "not_a_checkout"
    git(folder, "init", "-q")
    assert run(words) == 2
    assert answer(capsys)["error"]["code"] == "no_commits"


def test_an_issue_is_read_from_github_and_nothing_is_written_there(
    hub: Hub, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--repo", str(checkout), "--task", "nope", "--issue", str(hub.number), "--json"]
    assert run(words) == 2
    assert answer(capsys)["error"]["code"] == "issue_unreachable"
    git(checkout, "remote", "add", "origin", f"{hub.server.html_url}/{NAME}.git")
    assert run(words) == 2
    assert answer(capsys)["decision"]["code"] == "unknown_task"
    assert "GET" in {each.method for each in hub.server.requests}
    assert hub.writes() == []


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_a_run_on_github_is_published_there(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.server.add_token("t0ken-of-a-person", "maria", "pat")
    words = ["run", "--repo", NAME, "--task", "regenerate", "--issue", str(hub.number), "--json"]
    environ = {**os.environ, "SANDPIPER_TOKEN": "t0ken-of-a-person"}
    command = [sys.executable, "-m", "bot", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["conclusion"] == "success"
    assert [each.pull.draft for each in hub.server.repo(NAME).issues.values() if each.pull] == [True]


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_sigterm_ends_a_run_with_the_truth(checkout: Path, state: Path) -> None:
    command = [sys.executable, "-m", "bot", "run", "--repo", str(checkout), "--task", "wait", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=dict(os.environ)) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "$ sleep 300" in line:
                break
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, said = process.communicate(timeout=60)
    assert time.monotonic() - started < 30
    assert process.returncode == 130, out + said
    value = json.loads(out)
    assert (value["status"], value["conclusion"]) == ("completed", "cancelled")


# --- doctor, on a GitHub that answers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scopes", "role", "state"), [("repo", "write", "ok"), ("repo", "read", "warn"), ("gist", "write", "missing")]
)
def test_doctor_knows_what_a_token_may_do(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], scopes: str, role: Any, state: str
) -> None:
    hub.server.add_token("t0ken-of-a-person", "maria", "pat").scopes = scopes
    hub.server.set_permission(NAME, "maria", role)
    monkeypatch.setenv("SANDPIPER_TOKEN", "t0ken-of-a-person")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert run(["doctor", "--repo", NAME, "--json"]) == 2
    found = {each["name"]: each for each in answer(capsys)["findings"]}
    assert found["token"]["state"] == state, found["token"]
    assert bool(found["token"]["mend"]) is (state != "ok")
    assert hub.writes() == []


# --- a checkout as a forge ------------------------------------------------------------------------------------------


def test_a_checkout_becomes_a_forge_without_being_touched(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "branch", "other/topic")
    git(checkout, "worktree", "add", "-q", str(tmp_path / "tree"), "other/topic")
    before = tree(checkout)
    for place, branch in ((checkout / ".github", "trunk"), (tmp_path / "tree", "other/topic")):
        folder = tmp_path / "forges" / branch.replace("/", "-")
        made = borrow(git_folder_of(place), folder, "local/tidepool", {"maria": Person(id=2, permission="admin")})
        reader = LocalReader(folder)
        assert made.default_branch == branch
        assert reader.file("table.txt", branch) == b"stale\n"
        found = reader.revision("other/topic")
        assert found is not None
        assert found.sha == git(checkout, "rev-parse", "other/topic").strip()
    assert tree(checkout) == before


def test_a_detached_and_shallow_checkout_becomes_a_forge(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "-c", "user.name=M", "-c", "user.email=m@localhost", "commit", "-q", "--allow-empty", "-m", "Two")
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth=1", checkout.as_uri(), str(shallow)], check=True)
    git(shallow, "checkout", "-q", "--detach")
    made = borrow(git_folder_of(shallow), tmp_path / "forge", "local/x", {})
    assert made.default_branch == "detached"
    assert LocalReader(tmp_path / "forge").file("table.txt", "detached") == b"stale\n"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/shore/tidepool.git", NAME),
        ("https://x-access-token:t0ken@github.com/shore/tidepool", NAME),
        ("git@github.com:shore/tidepool.git", NAME),
        ("ssh://git@github.com/shore/tidepool.git", NAME),
        ("https://example.org/shore/tidepool.git", None),
        ("https://github.com.evil.example/shore/tidepool", None),
        ("/home/shore/tidepool", None),
        ("https://github.com/shore/tidepool/extra", None),
    ],
)
def test_the_remote_says_which_repository_it_is(url: str, name: str | None, checkout: Path) -> None:
    git(checkout, "remote", "add", "origin", url)
    assert full_name_of(git_folder_of(checkout), Settings()) == name


def test_a_folder_outside_of_git(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="in no git repository"):
        git_folder_of(tmp_path)

"""`sandpiper triage review` in a real checkout: what git is asked, what a hostile one can't do, and exit codes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bot.__main__ import run
from bot.cli.triage_review import diff_between
from bot.errors import ConfigurationError
from bot.triage.pulls.review_shape import DiffReview
from tests.github_server.model_server import ModelServer, text


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout


def commit(folder: Path, message: str, **files: str) -> None:
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_text(data, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`topic` changes a file; meanwhile `main` went on."""
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "SANDPIPER_MODEL", "SANDPIPER_MODEL_URL"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "one", app_py="x = 1\n")
    git(folder, "checkout", "-qb", "topic")
    commit(folder, "two", app_py="x = eval(input())\n")
    git(folder, "checkout", "-q", "main")
    commit(folder, "three", other_py="y = 1\n")
    return folder


def test_what_the_head_changed_since_it_left_the_base(checkout: Path) -> None:
    diff = diff_between(checkout, "main", "topic")
    assert "+x = eval(input())" in diff
    assert "other.py" not in diff, "what the base did meanwhile is no change of the head"
    git(checkout, "tag", "v1", "topic")
    assert diff_between(checkout, "main~1", "v1") == diff
    assert diff_between(checkout, "main", "main") == ""
    worktree = checkout.parent / "tree"
    git(checkout, "worktree", "add", "-q", str(worktree), "topic")
    assert diff_between(worktree, "main", "HEAD") == diff


@pytest.mark.parametrize(
    "ref", ["nowhere", "", " ", "--output=/tmp/x", "main..topic", "main\0", "x" * 5_000, "HEAD:app.py"]
)
def test_no_such_ref(checkout: Path, ref: str) -> None:
    for pair in ((ref, "topic"), ("main", ref)):
        with pytest.raises(ConfigurationError) as caught:
            diff_between(checkout, *pair)
        assert caught.value.code == "no_such_ref"


def test_no_common_commit_and_no_checkout(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "checkout", "-q", "--orphan", "alone")
    commit(checkout, "four", app_py="z = 1\n")
    with pytest.raises(ConfigurationError) as caught:
        diff_between(checkout, "main", "alone")
    assert caught.value.code == "no_merge_base"
    with pytest.raises(ConfigurationError) as caught:
        diff_between(Path("/"), "main", "topic")
    assert caught.value.code == "not_a_checkout"


def test_nothing_that_the_checkout_configures_is_run_or_obeyed(checkout: Path, tmp_path: Path) -> None:
    wanted = diff_between(checkout, "main", "topic")
    trace = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\ntouch {trace}\ncat "$1" 2>/dev/null\n', encoding="utf-8")
    program.chmod(0o755)
    for name in ("diff.external", "diff.evil.textconv", "diff.evil.command", "core.fsmonitor", "core.pager"):
        git(checkout, "config", name, str(program))
    git(checkout, "config", "core.hooksPath", str(tmp_path))
    git(checkout, "config", "diff.noprefix", "true")
    (checkout / ".gitattributes").write_text("*.py diff=evil -diff\n", encoding="utf-8")
    (checkout / ".git" / "info" / "attributes").write_text("*.py -diff\n", encoding="utf-8")
    commit(checkout, "attributes")
    assert diff_between(checkout, "main~1", "topic") == wanted
    trace.unlink(missing_ok=True)
    assert diff_between(checkout, "main", "topic") == wanted
    assert not trace.exists()


ISSUE = {
    "path": "app.py",
    "line": 1,
    "category": "security",
    "severity": "critical",
    "text": "It runs what anybody types.",
    "effort": "low",
}
ANSWER = {
    "issues": [ISSUE],
    "improvements": [],
    "assessment": "Dangerous.",
    "ready_to_merge": False,
    "merge_blockers": [],
}


def test_the_command_with_a_model(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["triage", "review", "--repo", str(checkout), "--base", "main", "--head", "topic"]
    with ModelServer([text(json.dumps(ANSWER)), text(json.dumps(ANSWER)), text("no"), text("no")]) as model:
        monkeypatch.setenv("SANDPIPER_MODEL", "openai/scripted")
        monkeypatch.setenv("SANDPIPER_MODEL_URL", f"{model.url}/v1")
        assert run([*words, "--json"]) == 0, "a bad change is no failed command"
        found = DiffReview.model_validate_json(capsys.readouterr().out)
        assert [(each.path, each.line, each.severity) for each in found.issues] == [("app.py", 1, "critical")]
        assert run(words) == 0
        shown = capsys.readouterr().out
        assert "not ready to merge" in shown
        assert "app.py:1 [security, effort low] It runs what anybody types." in " ".join(shown.split())
        assert run([*words, "--json"]) == 3
        assert DiffReview.model_validate_json(capsys.readouterr().out).trouble == "model_answer"


def test_the_command_without_a_model_and_without_changes(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["triage", "review", "--repo", str(checkout), "--base", "main", "--json", "--head"]
    git(checkout, "checkout", "-q", "topic")
    commit(checkout, "conflict", app_py="<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> topic\n")
    assert run([*words, "topic"]) == 2
    told = capsys.readouterr()
    found = DiffReview.model_validate_json(told.out)
    assert [(each.line, each.certain) for each in found.issues] == [(1, True)]
    assert "a review needs a model" in told.err
    assert run([*words, "main"]) == 0
    assert DiffReview.model_validate_json(capsys.readouterr().out).assessment == "No changes to review"
    assert run([*words, "nowhere"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "no_such_ref"

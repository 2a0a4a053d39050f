"""The demo and the command line over a local forge: real Docker, real git, and a model reached through real litellm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.forge.local.reader import LocalReader
from bot.types.run import Run
from tests.github_server.model_server import ModelServer, text, tool

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]


def demo(folder: Path, **environ: str) -> Run:
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "bot", "demo", "--folder", str(folder), "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**clean, **environ},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return Run.model_validate_json(done.stdout)


def cloned(folder: Path, branch: str, into: Path) -> Path:
    source = str(folder / "forge" / "repository.git")
    subprocess.run(["git", "clone", "-q", "-b", branch, source, str(into)], check=True, capture_output=True)
    return into


def make(target: str, folder: Path) -> int:
    return subprocess.run(["make", target], cwd=folder, capture_output=True, check=False).returncode


def branch_of(run: Run) -> str:
    commit = run.receipt("commit")
    assert commit is not None
    return commit.url.partition("#")[2]


def test_without_a_model_it_regenerates_what_is_stale(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    run = demo(folder)
    assert run.conclusion == "success"
    assert make("check-generated", cloned(folder, "main", tmp_path / "before")) != 0
    assert make("check-generated", cloned(folder, branch_of(run), tmp_path / "after")) == 0
    reader = LocalReader(folder / "forge")
    pull = run.receipt("pull")
    assert pull is not None
    opened = reader.subject(pull.id)
    assert opened is not None
    assert opened.pull is not None
    assert opened.pull.draft
    assert "Fixes #1" in opened.body
    assert len(reader.comments(1)) == 1
    issue = reader.subject(1)
    assert issue is not None
    assert issue.labels == ()
    assert (folder / "state" / "runs" / run.run_id / "changes.patch").read_text().count("\n+    (") == 4
    assert not list((folder / "state" / "sandboxes").glob("[!.]*"))
    again = demo(folder)
    assert again.conclusion == "success", "it can be run twice"


def test_with_a_model_it_fixes_the_bug(tmp_path: Path) -> None:
    old, new = "{minutes // 60}:{minutes % 60}", "{minutes // 60}:{minutes % 60:02}"
    script = [
        tool("read", {"path": "tidepool/clock.py"}),
        tool("edit", {"path": "tidepool/clock.py", "old": old, "new": new}),
        tool("shell", {"command": "make test"}),
        tool("finish", {"title": "Print two digits", "summary": "`7:05`", "success": True}),
        text("unused"),
    ]
    folder = tmp_path / "demo"
    with ModelServer(script) as server:
        run = demo(
            folder,
            SANDPIPER_MODEL="openai/scripted",
            SANDPIPER_MODEL_URL=f"{server.url}/v1",
            SANDPIPER_MODEL_KEY="sk-demo-demo-demo",
        )
        told = str(server.requests)
    assert run.conclusion == "success"
    assert run.result is not None
    assert [(each.phase, each.ok) for each in run.result.reports if each.phase in ("before", "after")] == [
        ("before", False),
        ("after", True),
    ]
    assert make("test", cloned(folder, branch_of(run), tmp_path / "after")) == 0
    assert "7:5 instead of 7:05" in told
    assert "sk-demo-demo-demo" not in run.model_dump_json()


def test_a_folder_that_is_not_the_demos_own_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    done = subprocess.run(
        [sys.executable, "-m", "bot", "demo", "--folder", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "folder_in_use" in done.stderr
    assert (tmp_path / "precious.txt").read_text() == "mine"

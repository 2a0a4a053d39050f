"""The templates' `if:` under `act`, with payloads as GitHub sends them: which events start a runner, and which do not.

The job's condition is the template's own; its steps are one line of shell, so that a case takes a part of a second.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.triage_fixtures import HEAD, account, comment_payload, envelope, issue, pull

ROOT = Path(__file__).resolve().parent.parent
ACT = ROOT / ".venv" / "bin" / "act"
HOME = "octo/repo"


def label(name: str) -> dict[str, Any]:
    return envelope("writer", action="labeled", issue=issue(), label={"name": name, "id": 4})


def assigned(login: str) -> dict[str, Any]:
    return envelope("writer", action="assigned", issue=issue(), assignee=account(login))


def requested(login: str, *, fork: bool = False) -> dict[str, Any]:
    shape = pull("writer", fork=fork)
    return envelope("writer", action="review_requested", pull_request=shape, requested_reviewer=account(login))


def review(body: str | None, *, fork: bool = False) -> dict[str, Any]:
    shape = {"id": 9, "user": account("writer"), "body": body, "commit_id": HEAD}
    return envelope("writer", action="submitted", review=shape, pull_request=pull("writer", fork=fork))


def ended(conclusion: str, **more: Any) -> dict[str, Any]:
    run = {"conclusion": conclusion, "head_branch": "topic", "head_sha": HEAD, "event": "push", **more}
    return envelope("writer", action="completed", workflow_run={"head_repository": {"full_name": HOME}, **run})


def opened(*, fork: bool) -> dict[str, Any]:
    return envelope("writer", action="opened", pull_request=pull("writer", fork=fork))


ONE = "sandpiper.yml"
CASES = [
    (ONE, "issues", label("bot:fix"), "", True),
    (ONE, "issues", label("question"), "piper", False),
    (ONE, "issue_comment", comment_payload("/bot fix"), "", True),
    (ONE, "issue_comment", comment_payload("hello"), "", False),
    (ONE, "issue_comment", comment_payload("@piper fix"), "piper", True),
    (ONE, "issue_comment", comment_payload("@ fix"), "", False),
    (ONE, "issues", assigned("piper"), "piper", True),
    (ONE, "issues", assigned("piper[bot]"), "piper", True),
    (ONE, "issues", assigned("ann"), "piper", False),
    (ONE, "issues", assigned("piper"), "", False),
    (ONE, "pull_request", requested("piper"), "piper", True),
    (ONE, "pull_request", requested("piper", fork=True), "piper", False),
    (ONE, "pull_request_review", review("/bot fix"), "", True),
    (ONE, "pull_request_review", review("/bot fix", fork=True), "", False),
    (ONE, "pull_request_review", review(None), "piper", False),
    ("sandpiper-ci.yml", "workflow_run", ended("failure"), "", True),
    ("sandpiper-ci.yml", "workflow_run", ended("timed_out"), "", True),
    ("sandpiper-ci.yml", "workflow_run", ended("success"), "", False),
    ("sandpiper-ci.yml", "workflow_run", ended("failure", head_branch="main"), "", False),
    ("sandpiper-ci.yml", "workflow_run", ended("failure", head_repository={"full_name": "a/b"}), "", False),
    ("sandpiper-fork-request.yml", "pull_request", opened(fork=True), "", True),
    ("sandpiper-fork-request.yml", "pull_request", opened(fork=False), "", False),
]


@pytest.mark.parametrize(("template", "event", "payload", "mention", "starts"), CASES)
def test_which_events_start_a_runner(
    template: str, event: str, payload: dict[str, Any], mention: str, starts: bool, tmp_path: Path
) -> None:
    content = yaml.load((ROOT / "workflows" / template).read_text(encoding="utf-8"), yaml.BaseLoader)
    job = next(iter(content["jobs"].values()))
    small = {"if": job["if"], "runs-on": "ubuntu-latest", "steps": [{"run": "echo a-runner-starts"}]}
    home = tmp_path / "clone"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", str(home)]
    subprocess.run(["git", "init", "-q", str(home)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    subprocess.run([*git, "remote", "add", "origin", f"https://github.com/{HOME}"], check=True)
    workflow, payload_file = tmp_path / template, tmp_path / "event.json"
    workflow.write_text(json.dumps({"name": "x", "on": content["on"], "jobs": {"one": small}}), encoding="utf-8")
    payload_file.write_text(json.dumps(payload), encoding="utf-8")
    variables = [f"--var=SANDPIPER_MENTION={mention}"] if mention else []
    argv = [str(ACT), event, f"--workflows={workflow}", f"--eventpath={payload_file}", *variables]
    done = subprocess.run(
        [*argv, "--platform=ubuntu-latest=-self-hosted", "--no-cache-server"],
        cwd=home,
        env={**os.environ, "HOME": str(tmp_path), "DOCKER_HOST": "unix:///nonexistent/docker.sock"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("| a-runner-starts" in done.stdout) is starts, done.stdout + done.stderr


def test_the_filter_of_two_jobs_is_that_of_one() -> None:
    texts = [(ROOT / "workflows" / name).read_text(encoding="utf-8") for name in (ONE, "sandpiper-two-jobs.yml")]
    one, two = (next(iter(yaml.load(text, yaml.BaseLoader)["jobs"].values()))["if"] for text in texts)
    assert one == two

"""A fork's pull request -> work on its pinned commit without rights, then a comment by a job without a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.marks import read_mark
from tests.action_fixtures import NAME, READING, TOKEN, Labelled, job_for, labelled
from tests.github_server.webhooks import frame

POLICY = """\
version: 1
on: {upstream: [check]}
tasks:
  check:
    runtime: command
    commands: [[sh, make.sh]]
    permission: none
    outputs: [comment, patch, branch, pull_request, labels, check]
    limits: {minutes: 2, memory_mb: 256}
"""
READER = "ghs_this-token-may-only-read-9876543210"
COMMENTER = "ghs_this-token-may-only-comment-987654321"


def finished_workflow(at: Labelled, number: int, sender: str) -> dict[str, Any]:
    """`workflow_run`, action completed, of a workflow that ran for the pull request of a fork."""
    world, repo = at.github.world, at.github.repo(NAME)
    pull = repo.pulls[number].pull
    assert pull is not None
    head = at.github.repo(f"{sender}/hello").git.ref("refs/heads/feature")
    run = {
        "id": 4711,
        "run_attempt": 1,
        "name": "Sandpiper fork request",
        "event": "pull_request",
        "status": "completed",
        "conclusion": "success",
        "head_branch": "feature",
        "head_sha": head,
        "head_repository": {"full_name": f"{sender}/hello", "id": 5},
        "pull_requests": [],
    }
    return {"action": "completed", "workflow_run": run, "workflow": {}} | frame(world, repo, sender, None)


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_a_fork_gets_a_comment_and_nothing_is_committed(tmp_path: Path) -> None:
    with labelled("question") as at:
        at.github.commit(NAME, "main", {".github/bot.yml": POLICY})
        at.github.add_user("mallory")
        at.github.add_token(READER, permissions=READING)
        at.github.add_token(COMMENTER, permissions={**READING, "issues": "write", "pull_requests": "write"})
        files = {
            "make.sh": "echo forked > made.txt; cat secret* /proc/1/environ 2>/dev/null; true\n",
            ".github/bot.yml": "version: 1\ntasks: {check: {runtime: command, commands: [[sh, -c, 'exit 9']]}}\n",
        }
        pull = at.github.open_pull(NAME, files, user="mallory", from_fork=True)
        payload = finished_workflow(at, pull.number, "mallory")
        before = at.github.repo(NAME).git.refs("refs/heads/")

        one = job_for(at.github, tmp_path / "one", payload, "workflow_run", SANDPIPER_TOKEN=READER)
        proposed = one.step("propose")
        assert proposed.code == 0, proposed.stdout + proposed.stderr
        assert proposed.outputs["conclusion"] == "success", proposed.stdout
        assert at.writes == []
        folder = Path(proposed.outputs["artifacts_dir"])
        assert "forked" in (folder / "changes.patch").read_text()

        two = job_for(at.github, tmp_path / "two", payload, "workflow_run", SANDPIPER_TOKEN=COMMENTER)
        done = two.step("publish", RUN_FOLDER=str(folder), DOCKER_HOST="unix:///nonexistent/docker.sock")
        assert done.code == 0, done.stdout + done.stderr
        assert done.outputs["branch_name"] == ""
        assert at.github.repo(NAME).git.refs("refs/heads/") == before
        assert list(at.github.repo(NAME).pulls) == [pull.number]
        (comment,) = at.github.repo(NAME).comments(pull.number)
        mark = read_mark(comment)
        assert mark is not None
        assert (mark.status, mark.conclusion) == ("completed", "success")
        assert all(token not in comment for token in (READER, COMMENTER, TOKEN))
        assert at.github.violations == []


def test_a_fork_that_moved_on_is_not_run(tmp_path: Path) -> None:
    """Exactly the commit that GitHub reported, or nothing."""
    with labelled("question") as at:
        at.github.commit(NAME, "main", {".github/bot.yml": POLICY})
        at.github.add_user("mallory")
        pull = at.github.open_pull(NAME, {"a.txt": "one\n"}, user="mallory", from_fork=True)
        payload = finished_workflow(at, pull.number, "mallory")
        at.github.commit("mallory/hello", "feature", {"a.txt": "two\n"})
        job = job_for(at.github, tmp_path, payload, "workflow_run", DOCKER_HOST="unix:///nonexistent/docker.sock")
        done = job.step("propose")
        assert done.code == 0, done.stdout + done.stderr
        assert done.outputs["conclusion"] == "skipped"
        assert "new commits came in" in done.stdout
        assert at.writes == []

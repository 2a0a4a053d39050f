"""What people do on GitHub -> what they find there afterwards: the Action's door, real Docker, a model behind litellm.

Only GitHub and the model are played, over HTTP on loopback; the door runs in a process of its own, as a job starts it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.marks import Mark, read_mark
from tests.action_fixtures import NAME, TOKEN, Step, job_for
from tests.github_server.client import Client
from tests.github_server.model_server import Failure, ModelServer, tool
from tests.github_server.server import GitHubServer
from tests.github_server.webhooks import (
    issue_comment_created,
    issues_labeled,
    pull_request_labeled,
    pull_request_review_comment_created,
    workflow_dispatch,
)

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]

KEY = "sk-story-0123456789abcdef"
NO_ENGINE = "unix:///nonexistent/docker.sock"
MOST_REQUESTS = 25
"""Of the REST API in a whole run, with a pull request of ten files."""
PLACES = [f"tides/place{number}.py" for number in range(9)]
WRONG, RIGHT = "{minutes // 60}:{minutes % 60}", "{minutes // 60}:{minutes % 60:02}"
TEST = """\
import importlib
import unittest


class Clock(unittest.TestCase):
    def test_minutes_have_two_digits(self):
        for name in ["clock", *(f"place{number}" for number in range(9))]:
            self.assertEqual(importlib.import_module(f"tides.{name}").clock(425), "7:05")
"""
MODULE = f'def clock(minutes):\n    return f"{WRONG}"\n'
FILES = {
    ".gitignore": "__pycache__/\n",
    "Makefile": "test:\n\t@python3 -m unittest -q\n",
    "tides/__init__.py": "",
    "tides/clock.py": MODULE,
    "tests/__init__.py": "",
    "tests/test_clock.py": TEST,
    **dict.fromkeys(PLACES, MODULE),
}
COMMANDS = """\
version: 1
tasks:
  fix:
    runtime: command
    prompt: none
    commands: [[sh, make.sh]]
    limits: {minutes: 2, memory_mb: 256}
"""
SCRIPTED = {".github/bot.yml": COMMANDS, "made.txt": "stale\n"}
MAKE = "echo fresh > made.txt\n"


@dataclass
class World:
    """A GitHub with one repository, in which ann may write."""

    github: GitHubServer

    @property
    def heads(self) -> dict[str, str]:
        """Branches and their commits."""
        return dict(self.github.repo(NAME).git.refs("refs/heads/"))

    def run(self, folder: Path, payload: Mapping[str, Any], event: str, **more: str) -> Step:
        """One job, from its beginning to its end."""
        return job_for(self.github, folder, payload, event).step("run", **more)

    def story_of(self, number: int) -> tuple[str, Mark]:
        """The one comment of ours, and what it says to machines."""
        ours = [each for each in self.github.repo(NAME).comments(number) if read_mark(each)]
        assert len(ours) == 1
        mark = read_mark(ours[0])
        assert mark is not None
        return ours[0], mark

    def said(self, method: str, path: str) -> Any:
        """What the API tells about an object."""
        return Client(self.github, TOKEN)(method, path)


@contextmanager
def world(files: Mapping[str, str]) -> Iterator[World]:
    with GitHubServer() as github:
        github.add_repo(NAME, files)
        github.add_user("ann")
        github.set_permission(NAME, "ann", "write")
        github.add_token(TOKEN)
        yield World(github)
        assert github.violations == []
        assert github.unknown == []


def model_of(server: ModelServer) -> dict[str, str]:
    """Inputs by which a job reaches the model."""
    return {
        "SANDPIPER_MODEL": "openai/scripted",
        "SANDPIPER_MODEL_URL": f"{server.url}/v1",
        "SANDPIPER_MODEL_KEY": KEY,
    }


def test_a_labelled_issue_becomes_a_verified_draft_pull_request(tmp_path: Path) -> None:
    script = [
        tool("read", {"path": "tides/clock.py"}),
        tool("edit", {"path": "tides/clock.py", "old": WRONG, "new": RIGHT}),
        tool("shell", {"command": "sed -i 's/% 60}/% 60:02}/' tides/place?.py && make test"}),
        tool("finish", {"title": "Print two digits", "summary": "`7:05` instead of `7:5`.", "success": True}),
    ]
    with world(FILES) as at, ModelServer(script) as model:
        issue = at.github.open_issue(NAME, "Minutes", "It says 7:5.", labels=["bot:fix"])
        payload = issues_labeled(at.github, NAME, issue.number, "bot:fix", "ann")
        done = at.run(tmp_path, payload, "issues", **model_of(model))
        spent = [f"{each.method} {each.path}" for each in at.github.requests]
        assert done.code == 0, done.stdout + done.stderr
        assert len(spent) <= MOST_REQUESTS, "\n".join(spent)
        assert "It says 7:5." in str(model.requests[0].messages)

        pull = at.github.repo(NAME).pulls[int(done.outputs["pr_number"])]
        assert pull.pull is not None
        assert pull.pull.draft
        assert f"Fixes #{issue.number}" in str(pull.body)
        changed = at.said("GET", f"/repos/{NAME}/pulls/{pull.number}/files")
        assert sorted(each["filename"] for each in changed) == ["tides/clock.py", *PLACES]
        assert all(f'+    return f"{RIGHT}"' in each["patch"] for each in changed)
        commit = at.said("GET", f"/repos/{NAME}/commits/{pull.pull.head_sha}")
        assert commit["commit"]["verification"]["verified"] is True
        assert [each["sha"] for each in commit["parents"]] == [at.heads["refs/heads/main"]]

        comment, mark = at.story_of(issue.number)
        assert (mark.status, mark.conclusion) == ("completed", "success")
        for truth in ("Print two digits", f"/pull/{pull.number}", "failed before the change and passes after it"):
            assert truth in comment
        assert [each.content for each in issue.reactions] == ["eyes"]
        assert issue.label_names == []
        assert KEY not in done.stdout.replace(f"::add-mask::{KEY}\n", "") + comment + str(pull.body)


def test_a_command_on_a_pull_request_commits_to_its_branch(tmp_path: Path) -> None:
    with world(SCRIPTED) as at:
        pull = at.github.open_pull(NAME, {"make.sh": MAKE})
        asked = at.github.comment(NAME, pull.number, "/bot fix", user="ann")
        before = at.heads
        payload = issue_comment_created(at.github, NAME, asked.id)
        done = at.run(tmp_path, payload, "issue_comment")
        assert done.code == 0, done.stdout + done.stderr
        assert done.outputs["branch_name"] == "feature"
        after = at.heads
        assert [name for name in after if after[name] != before.get(name)] == ["refs/heads/feature"]
        commit = at.said("GET", f"/repos/{NAME}/commits/feature")
        assert [each["sha"] for each in commit["parents"]] == [before["refs/heads/feature"]]
        assert [each["filename"] for each in commit["files"]] == ["made.txt"]
        assert commit["commit"]["verification"]["verified"] is True
        assert list(at.github.repo(NAME).pulls) == [pull.number]
        assert at.story_of(pull.number)[1].conclusion == "success"
        assert [each.content for each in asked.reactions] == ["eyes"]


def test_a_forks_pull_request_gets_a_patch_and_no_commit(tmp_path: Path) -> None:
    with world(SCRIPTED) as at:
        pull = at.github.open_pull(NAME, {"make.sh": MAKE}, user="mallory", from_fork=True, labels=["bot:fix"])
        before = (at.heads, dict(at.github.repo("mallory/hello").git.refs("refs/heads/")))
        payload = pull_request_labeled(at.github, NAME, pull.number, "bot:fix", "ann")
        done = at.run(tmp_path, payload, "pull_request_target")
        assert done.code == 0, done.stdout + done.stderr
        assert (at.heads, dict(at.github.repo("mallory/hello").git.refs("refs/heads/"))) == before
        assert not [each.path for each in at.github.requests if each.is_write and "/git/" in each.path]
        assert "+fresh" in (Path(done.outputs["artifacts_dir"]) / "changes.patch").read_text()
        comment, mark = at.story_of(pull.number)
        assert mark.conclusion == "success"
        assert "comes from a fork, so nothing is pushed" in comment
        assert list(at.github.repo(NAME).pulls) == [pull.number]


def test_failing_tests_are_shown_at_their_line(tmp_path: Path) -> None:
    with world(FILES) as at:
        pull = at.github.open_pull(NAME, {"NEWS": "none\n"}, labels=["bot:test"])
        payload = pull_request_labeled(at.github, NAME, pull.number, "bot:test", "ann")
        done = at.run(tmp_path, payload, "pull_request_target")
        assert (done.code, done.outputs["conclusion"]) == (1, "failure"), done.stdout + done.stderr
        (check,) = at.github.repo(NAME).check_runs
        assert check.head_sha == at.heads["refs/heads/feature"]
        assert check.fields["conclusion"] == "failure"
        shown = [(each["path"], each["start_line"], each["message"]) for each in check.annotations]
        assert shown == [("tests/test_clock.py", 8, "AssertionError: '7:5' != '7:05'")]
        assert at.story_of(pull.number)[1].conclusion == "failure"


def test_a_question_on_a_line_is_answered_without_code(tmp_path: Path) -> None:
    said = "It cuts the day into hours and minutes."
    script = [
        tool("read", {"path": "tides/clock.py"}),
        tool("finish", {"title": "What clock does", "summary": said, "success": True}),
    ]
    with world(FILES) as at, ModelServer(script) as model:
        pull = at.github.open_pull(NAME, {"tides/clock.py": MODULE + "\n# new\n"})
        asked = at.github.review_comment(NAME, pull.number, "/bot explain why?", "tides/clock.py", user="ann")
        before = at.heads
        payload = pull_request_review_comment_created(at.github, NAME, asked.id)
        done = at.run(tmp_path, payload, "pull_request_review_comment", **model_of(model))
        assert done.code == 0, done.stdout + done.stderr
        assert [each.content for each in asked.reactions] == ["eyes"]
        assert said in at.story_of(pull.number)[0]
        assert at.heads == before
        assert "why?" in str(model.requests[0].messages)


def test_a_dispatch_without_a_number_opens_a_pull_request(tmp_path: Path) -> None:
    script = [
        tool("write", {"path": "NOTICE", "content": "Low tide.\n"}),
        tool("finish", {"title": "Add a notice", "summary": "There is a notice now.", "success": True}),
    ]
    with world({"README.md": "# Tides\n"}) as at, ModelServer(script) as model:
        inputs = {"task": "run", "prompt": "Add a file NOTICE about the tide.", "number": ""}
        payload = workflow_dispatch(at.github, NAME, "ann", inputs)
        done = at.run(tmp_path, payload, "workflow_dispatch", **model_of(model))
        assert done.code == 0, done.stdout + done.stderr
        (pull,) = at.github.repo(NAME).pulls.values()
        assert pull.pull is not None
        assert (pull.pull.draft, pull.title, pull.pull.head_ref) == (True, "Add a notice", done.outputs["branch_name"])
        assert "Fixes" not in str(pull.body)
        shown = at.said("GET", f"/repos/{NAME}/pulls/{pull.number}/files")
        assert [(each["filename"], each["status"]) for each in shown] == [("NOTICE", "added")]
        assert "Add a file NOTICE about the tide." in str(model.requests[0].messages)


def test_a_model_that_is_down_is_said_to_be_down(tmp_path: Path) -> None:
    with world(FILES) as at, ModelServer([Failure(500, retry_after=1)] * 9) as model:
        issue = at.github.open_issue(NAME, labels=["bot:fix"])
        payload = issues_labeled(at.github, NAME, issue.number, "bot:fix", "ann")
        done = at.run(tmp_path, payload, "issues", **model_of(model))
        assert (done.code, done.outputs["conclusion"]) == (3, "failure"), done.stdout + done.stderr
        comment, mark = at.story_of(issue.number)
        assert (mark.status, mark.conclusion) == ("completed", "failure")
        assert "provider does not answer" in comment
        assert "/bot retry" in comment
        assert at.github.repo(NAME).pulls == {}
        assert issue.label_names == []
        assert len(model.requests) > 1, "a passing failure deserves another try"


def test_a_stop_in_another_job_ends_the_work(tmp_path: Path) -> None:
    with world({**SCRIPTED, "make.sh": "sleep 100\n"}) as at:
        issue = at.github.open_issue(NAME, labels=["bot:fix"])
        payload = issues_labeled(at.github, NAME, issue.number, "bot:fix", "ann")
        first = job_for(at.github, tmp_path / "first", payload)
        process = first.start("run")
        try:
            deadline = time.monotonic() + 60
            while not issue.comments and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            asked = at.github.comment(NAME, issue.number, "/bot stop", user="ann")
            payload = issue_comment_created(at.github, NAME, asked.id)
            second = at.run(tmp_path / "second", payload, "issue_comment", DOCKER_HOST=NO_ENGINE)
            assert second.code == 0, second.stdout + second.stderr
            assert [each.content for each in asked.reactions] == ["+1"]
            done = first.wait(process, 30)
        finally:
            process.kill()
        assert done.code == 130, done.stdout + done.stderr
        assert "$ sh make.sh" in done.stdout, "it was stopped in the middle of its work"
        comment, mark = at.story_of(issue.number)
        assert (mark.status, mark.conclusion) == ("completed", "cancelled")
        assert "stopped" in comment
        assert at.github.repo(NAME).pulls == {}

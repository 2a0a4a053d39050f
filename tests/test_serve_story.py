"""A labelled issue -> a draft pull request by the App: webhook, sandbox, test report, check run and all, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.marks import read_mark
from tests.app_fixtures import app_settings, install
from tests.github_server.server import GitHubServer
from tests.github_server.webhooks import issues_labeled
from tests.serve_fixtures import NAME, environ_for, serving

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]

POLICY = """\
version: 1
tasks:
  regenerate:
    runtime: command
    commands: [[sh, make.sh]]
    verify: [[sh, check.sh]]
    reports: ["out/*.xml"]
    outputs: [comment, branch, pull_request, check]
    limits: {minutes: 2, memory_mb: 256}
"""
REPORT = (
    '<testsuite><testcase name="t_old" classname="c" file="check.sh" line="1"><failure message="known to fail"/>'
    '</testcase><testcase name="t_new" classname="c"/></testsuite>'
)
FILES = {
    ".github/bot.yml": POLICY,
    ".gitignore": "out/\n",
    "made.txt": "stale\n",
    "make.sh": "echo fresh > made.txt\n",
    "check.sh": f"mkdir -p out && printf '%s' '{REPORT}' > out/report.xml\n",
}


def test_one_delivery_becomes_one_pull_request_and_one_check(tmp_path: Path) -> None:
    with GitHubServer() as github:
        repo = github.add_repo(NAME, FILES)
        app = install(github, NAME)
        github.add_user("ann")
        github.set_permission(NAME, "ann", "write")
        issue = github.open_issue(NAME, labels=["bot:regenerate"])
        payload = issues_labeled(github, NAME, issue.number, "bot:regenerate", "ann", app=app)
        settings = app_settings(github)
        key = settings.app_key.get_secret_value() if settings.app_key else ""
        environ = environ_for(github, tmp_path, SANDPIPER_APP_ID=str(settings.app_id), SANDPIPER_APP_KEY=key)
        del environ["SANDPIPER_TOKEN"]
        with serving(environ) as server:
            for _ in range(2):
                assert server.post(payload, "d-1", "issues").status_code == 202
            server.idle(120)
            assert server.end() == 0
        log = "".join(server.lines)
        (pull,) = repo.pulls.values()
        assert pull.pull is not None
        assert pull.pull.draft, log
        assert pull.user.login == app.user.login
        (check,) = repo.check_runs
        assert (check.app, check.fields["status"], check.fields["conclusion"]) == (app, "completed", "success"), log
        assert [(each["path"], each["start_line"], each["title"]) for each in check.annotations] == [
            ("check.sh", 1, "t_old")
        ]
        (story,) = [each for each in repo.comments(issue.number) if read_mark(each)]
        assert "1 passed, 1 failed" in story
        assert [each.revoked for each in github.world.tokens.values() if each.kind == "app"].count(False) == 0
        done = [json.loads(line) for line in server.lines if '"delivery done"' in line]
        assert [each["conclusion"] for each in done] == ["success"]
        assert github.violations == []

"""The templates as `sandpiper init` installs them, with the Action itself, under `act` -> a draft pull request.

`act` plays the runner: jobs, `needs`, `if`, composite steps, outputs, masks. Three actions of GitHub's own, which need
its services, are played by a few lines of shell; the Action is this checkout, and its packages come from the lock.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.marks import read_mark
from tests.action_fixtures import NAME, TOKEN, Labelled, labelled, obeyed, repository
from tests.github_server.webhooks import frame, issues_opened, pull_request_opened
from tests.test_action_fork import POLICY as FORK_POLICY
from tests.test_action_fork import finished_workflow

ROOT = Path(__file__).resolve().parent.parent
PART = ("action.yml", "pyproject.toml", "uv.lock", "README.md", "LICENSE", "bot", "scripts")
OURS = "sandpiper-bot/sandpiper"
STANDINS = {
    "actions/cache": "true",
    "actions/cache/restore": 'K=$STORE/knowledge; [ ! -d "$K" ] || { mkdir -p "$FROM"; cp -R "$K/." "$FROM/"; }',
    "actions/cache/save": 'mkdir -p "$STORE/knowledge" && cp -R "$FROM/." "$STORE/knowledge/"',
    "actions/upload-artifact": 'mkdir -p "$STORE/$NAME" && cp -R "$FROM/." "$STORE/$NAME/"',
    "actions/download-artifact": 'mkdir -p "$FROM" && cp -R "$STORE/$NAME/." "$FROM/"',
}

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]


@dataclass
class Runner:
    """A folder with the Action, the stand-ins and what they store."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def run(self, at: Labelled, template: str) -> subprocess.CompletedProcess[str]:
        """Deliver the event to a clone of the repository that has the template."""
        clone = self.folder / "clone"
        shutil.rmtree(clone, ignore_errors=True)
        git = ["git", "-c", f"url.{at.github.html_url}/.insteadOf=https://github.com/"]
        subprocess.run([*git, "clone", "--quiet", f"https://github.com/{NAME}", str(clone)], check=True)
        (self.folder / "event.json").write_text(json.dumps(at.payload))
        return subprocess.run(
            [
                str(ROOT / ".venv" / "bin" / "act"),
                at_event(at),
                f"--workflows={ROOT / 'workflows' / template}",
                f"--eventpath={self.folder / 'event.json'}",
                "--platform=ubuntu-latest=-self-hosted",
                "--secret=GITHUB_TOKEN",
                "--no-cache-server",
                "--pull=false",
                f"--action-cache-path={self.folder / 'cache'}",
                *(f"--local-repository={each}" for each in self.local_repositories(template)),
                *(f"--env={name}={value}" for name, value in self.variables(at).items()),
            ],
            cwd=clone,
            env={**os.environ, "GITHUB_TOKEN": TOKEN, "PATH": f"{os.environ['PATH']}:{ROOT / '.venv-tools' / 'bin'}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    def variables(self, at: Labelled) -> dict[str, str]:
        """UV_CACHE_DIR spares the download of what `make setup` has downloaded already."""
        home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return {
            "GITHUB_API_URL": at.github.url,
            "GITHUB_SERVER_URL": at.github.html_url,
            "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or f"{home}/uv",
            "STORE": str(self.store),
        }

    def local_repositories(self, template: str) -> Iterator[str]:
        """What act takes from this machine instead of the network, by the very pins that the files hold."""
        texts = ((ROOT / "workflows" / template).read_text() + (ROOT / "action.yml").read_text()).splitlines()
        pins = {
            found.groups() for text in texts if (found := re.search(r"uses: ([\w.-]+/[\w.-]+)\S*(@[0-9a-f]{40})", text))
        }
        for action, commit in pins:
            if action != "actions/checkout":  # act copies the working folder itself
                yield f"{action}{commit}={self.folder / 'actions' / action}"


def at_event(at: Labelled) -> str:
    """The event's name, by what only its payload has."""
    telling = {"workflow_run": "workflow_run", "pull_request": "pull_request", "inputs": "workflow_dispatch"}
    telling |= {"client_payload": "repository_dispatch", "schedule": "schedule"}
    return next((name for key, name in telling.items() if key in at.payload), "issues")


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """The Action as a release would hold it, and the stand-ins."""
    action = tmp_path / "actions" / OURS
    action.mkdir(parents=True)
    for each in PART:
        if (ROOT / each).is_dir():
            shutil.copytree(ROOT / each, action / each, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / each, action / each)
    for name, script in STANDINS.items():
        folder = tmp_path / "actions" / name
        folder.mkdir(parents=True, exist_ok=True)
        inputs = {
            each: {"required": False}
            for each in ("name", "path", "key", "restore-keys", "overwrite", "if-no-files-found")
        }
        step = {
            "shell": "bash",
            "env": {"NAME": "${{ inputs.name }}", "FROM": "${{ inputs.path }}"},
            "run": script,
        }
        content = {"name": name, "inputs": inputs, "runs": {"using": "composite", "steps": [step]}}
        (folder / "action.yml").write_text(json.dumps(content))
    return Runner(tmp_path)


def said(log: str) -> str:
    """What steps printed: act puts the job's name in front of each line."""
    return "\n".join(line.partition("  | ")[2] for line in log.splitlines() if "  | " in line)


def assert_published(at: Labelled, done: subprocess.CompletedProcess[str]) -> None:
    """One draft pull request with the task's work, one true comment, and a token that nobody saw."""
    repo = at.github.repo(NAME)
    assert done.returncode == 0, done.stdout + done.stderr
    (issue,) = repo.pulls.values()
    assert issue.pull is not None
    assert issue.pull.draft
    (branch,) = [ref for ref in repo.git.refs("refs/heads/") if ref != "refs/heads/main"]
    assert at.file(branch.removeprefix("refs/heads/"), "made.txt") == "fresh\n"
    assert len(at.comments) == 1
    assert "bot:regenerate" not in [label.name for label in repo.issues[at.number].labels]
    assert TOKEN not in done.stdout + done.stderr
    assert at.github.violations == []


def test_one_job_from_label_to_draft_pull_request(runner: Runner) -> None:
    with labelled() as at:
        done = runner.run(at, "sandpiper.yml")
        assert_published(at, done)
        (kept,) = runner.store.iterdir()
        assert re.fullmatch("sandpiper-[0-9a-f]{16}", kept.name)
        assert {"changes.patch", "result.json"} <= {each.name for each in kept.iterdir()}
        assert "Main Finalise" in done.stdout


def test_two_jobs_hand_over_and_only_the_second_writes(runner: Runner) -> None:
    with labelled() as at:
        early: list[str] = []
        handed_over = runner.store / "sandpiper-proposal" / "run.json"
        at.github.on_request(
            lambda request: early.append(request.path) if not request.reads and not handed_over.exists() else None
        )
        done = runner.run(at, "sandpiper-two-jobs.yml")
        assert_published(at, done)
        assert early == []


def test_an_event_for_nobody_starts_no_step(runner: Runner) -> None:
    """The job's own `if`: no runner, no request."""
    with labelled("question") as at:
        done = runner.run(at, "sandpiper.yml")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Run" not in done.stdout
        assert at.github.requests == []


def test_a_task_that_fails_fails_the_job(runner: Runner) -> None:
    with labelled(script="echo '::set-output name=conclusion::success'; exit 3\n") as at:
        done = runner.run(at, "sandpiper.yml")
        assert done.returncode == 1, done.stdout + done.stderr
        assert at.github.repo(NAME).pulls == {}
        assert len(at.comments) == 1
        assert "::set-output" not in "\n".join(obeyed(said(done.stdout)))
        assert list(runner.store.iterdir()), "artifacts of a failed run are kept"


def test_the_two_halves_of_the_way_for_forks(runner: Runner) -> None:
    """The first has no right and runs nothing of the fork; the second works on its commit, and writes a comment."""
    with labelled("question") as at:
        at.github.commit(NAME, "main", {".github/bot.yml": FORK_POLICY})
        at.github.add_user("mallory")
        files = {"make.sh": "echo forked > made.txt\n", ".github/bot.yml": "version: 1\n"}
        pull = at.github.open_pull(NAME, files, user="mallory", from_fork=True)
        at.payload = pull_request_opened(at.github, NAME, pull.number)
        first = runner.run(at, "sandpiper-fork-request.yml")
        assert first.returncode == 0, first.stdout + first.stderr
        assert "Sandpiper follows." in said(first.stdout)
        assert at.writes == []

        at.payload = finished_workflow(at, pull.number, "mallory")
        done = runner.run(at, "sandpiper-fork.yml")
        assert done.returncode == 0, done.stdout + done.stderr
        assert [each for each in at.writes if "/comments" not in each and "/reactions" not in each] == []
        (comment,) = at.github.repo(NAME).comments(pull.number)
        mark = read_mark(comment)
        assert mark is not None
        assert (mark.status, mark.conclusion) == ("completed", "success")
        assert "forked" in (runner.store / "sandpiper-proposal" / "changes.patch").read_text()


def test_a_fork_request_of_this_repository_starts_no_step(runner: Runner) -> None:
    with labelled("question") as at:
        pull = at.github.open_pull(NAME, {"a.txt": "a\n"})
        at.payload = pull_request_opened(at.github, NAME, pull.number)
        done = runner.run(at, "sandpiper-fork-request.yml")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "follows" not in said(done.stdout)


@pytest.mark.parametrize("event", ["workflow_dispatch", "schedule"])
def test_by_hand_and_by_the_clock(runner: Runner, event: str) -> None:
    """No subject: a branch and a draft pull request. Of a schedule the payload may hold the line alone."""
    with labelled("question") as at:
        policy = repository()[".github/bot.yml"] + "on: {schedule: regenerate}\n"
        at.github.commit(NAME, "main", {".github/bot.yml": policy})
        place = frame(at.github.world, at.github.repo(NAME), "ann", None)
        at.payload = {"schedule": "23 4 * * 1"} if event == "schedule" else {"inputs": {"task": "regenerate"}} | place
        done = runner.run(at, "sandpiper-dispatch.yml")
        assert done.returncode == 0, done.stdout + done.stderr
        (issue,) = at.github.repo(NAME).pulls.values()
        assert issue.pull is not None
        assert issue.pull.draft
        assert at.github.violations == []


def test_new_issues_are_triaged(runner: Runner) -> None:
    with labelled("question") as at:
        rules = "triage: {rules: [{when: {title: '*'}, then: {labels: [seen]}}]}\n"
        at.github.commit(NAME, "main", {".github/bot.yml": f"version: 1\n{rules}"})
        at.payload = {**at.payload, "action": "opened"}
        del at.payload["label"]
        done = runner.run(at, "sandpiper-triage.yml")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "seen" in [label.name for label in at.github.repo(NAME).issues[at.number].labels]


def test_what_triage_learned_is_kept_for_the_next_job(runner: Runner) -> None:
    """Without a key: the first job reads the past and keeps what it taught, the second need not learn."""
    with labelled("question") as at:
        at.github.commit(NAME, "main", {".github/bot.yml": "version: 1\ntriage: {actions: [comment]}\n"})
        for number in range(12):
            past = at.github.open_issue(NAME, f"Crash number {number}", labels=[])
            at.github.label(NAME, past.number, "bug", user="ann")
        learned = []
        for title in ("Crash on start", "Crash at the end"):
            issue = at.github.open_issue(NAME, title)
            at.payload = issues_opened(at.github, NAME, issue.number)
            done = runner.run(at, "sandpiper-triage.yml")
            assert done.returncode == 0, done.stdout + done.stderr
            (comment,) = at.github.repo(NAME).comments(issue.number)
            assert "offline model" in comment
            learned.append("learning from" in said(done.stdout))
        assert (runner.store / "knowledge").is_dir()
        assert learned == [True, False]

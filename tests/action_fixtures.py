"""A stateful GitHub and a payload -> the Action's door in a process of its own, as the runner calls it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.github_server.server import GitHubServer
from tests.github_server.webhooks import issues_labeled

NAME = "octo/hello"
TOKEN = "ghs_the-token-of-the-job-0123456789"
READING = {"contents": "read", "issues": "read", "pull_requests": "read", "metadata": "read"}
POLICY = """\
version: 1
tasks:
  regenerate:
    runtime: command
    commands: [[sh, make.sh]]
    outputs: [comment, patch, branch, pull_request]
    limits: {minutes: 2, memory_mb: 256}
"""
COMMAND = re.compile(r"\s*::([\w-]+)(?: [^:]*)?::(.*)")
OLD_COMMAND = re.compile(r"##\[([\w-]+)(?: [^\]]*)?\](.*)")
HOSTILE = """\
echo 'fresh' > made.txt
echo '::set-env name=PATH::/tmp/evil'
echo ' ::add-mask::fresh'
printf '##[set-output name=conclusion]forged\\n'
printf 'x\\r::stop-commands::guess\\r\\n'
echo "$(env)"
"""


def repository(script: str = HOSTILE) -> dict[str, str]:
    """Files of a repository whose task runs a script."""
    return {".github/bot.yml": POLICY, "make.sh": script, "made.txt": "stale\n", "README.md": "# Hello\n"}


@dataclass
class Step:
    """A step of a job, after it ended."""

    code: int
    stdout: str
    stderr: str
    outputs: dict[str, str]
    summary: str


@dataclass
class Job:
    """A job on a runner: a folder for its files, and variables that its steps share."""

    folder: Path
    variables: dict[str, str]
    payload: Mapping[str, Any]
    event: str = "issues"
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def environ(self, **more: str) -> dict[str, str]:
        """What the runner gives to a step."""
        temp = self.folder / "temp"
        temp.mkdir(parents=True, exist_ok=True)
        path = self.folder / "event.json"
        path.write_text(json.dumps(self.payload), encoding="utf-8")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": self.event,
            "GITHUB_EVENT_PATH": str(path),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "GITHUB_RUN_ID": "77",
            "GITHUB_RUN_ATTEMPT": "1",
            "RUNNER_TEMP": str(temp),
            **{name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ},
            **self.variables,
            **more,
        }

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        """Begin a step; `wait` ends it."""
        (self.folder / "output").unlink(missing_ok=True)
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "bot", "action", *words],
            env=self.environ(**more),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self, process: subprocess.Popen[str], seconds: float = 120) -> Step:
        """What a step left."""
        stdout, stderr = process.communicate(timeout=seconds)
        output, summary = self.folder / "output", self.folder / "summary"
        return Step(
            process.returncode,
            stdout,
            stderr,
            read_outputs(output.read_text(encoding="utf-8")) if output.exists() else {},
            summary.read_text(encoding="utf-8") if summary.exists() else "",
        )

    def step(self, *words: str, **more: str) -> Step:
        """Run a step to its end."""
        return self.wait(self.start(*words, **more))


def job_for(github: GitHubServer, folder: Path, payload: Mapping[str, Any], event: str = "issues", **more: str) -> Job:
    """A job whose API is the server."""
    variables = {
        "GITHUB_API_URL": github.url,
        "GITHUB_SERVER_URL": github.html_url,
        "SANDPIPER_TOKEN": TOKEN,
        **more,
    }
    folder.mkdir(parents=True, exist_ok=True)
    return Job(folder, variables, payload, event)


def read_outputs(text: str) -> dict[str, str]:
    """The runner's reading of GITHUB_OUTPUT."""
    return {found[1]: found[3] for found in re.finditer(r"^(\w+)<<(\S+)\n(.*?)\n\2$", text, re.MULTILINE | re.DOTALL)}


def obeyed(log: str) -> list[str]:
    """Commands that the runner takes from a log, by both of its parsers, `stop-commands` respected."""
    found: list[str] = []
    word = None
    for line in re.split(r"\r\n|\n|\r", log):
        match = COMMAND.match(line) or OLD_COMMAND.search(line)
        command, data = match.groups() if match else ("", "")
        if word is not None:
            word = None if command == word else word
        elif command == "stop-commands":
            word = data
        elif command:
            found.append(command)
    return found


@dataclass
class Labelled:
    """A labelled issue on the server."""

    github: GitHubServer
    number: int
    payload: dict[str, Any]

    @property
    def comments(self) -> list[str]:
        """Bodies of the issue's comments."""
        return list(self.github.repo(NAME).comments(self.number))

    @property
    def writes(self) -> list[str]:
        """Requests that may have changed something."""
        return [f"{each.method} {each.path}" for each in self.github.requests if not each.reads]

    def file(self, branch: str, path: str) -> str | None:
        """Contents of a file on a branch, read with git."""
        git = self.github.repo(NAME).git
        done = subprocess.run(
            ["git", "--git-dir", str(git.path), "show", f"{branch}:{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout if done.returncode == 0 else None


@contextmanager
def labelled(label: str = "bot:regenerate", script: str = HOSTILE, by: str = "ann") -> Iterator[Labelled]:
    """A repository with an issue that `by`, who may write, has just labelled."""
    with GitHubServer() as github:
        github.add_repo(NAME, repository(script))
        for login in {"ann", by}:
            github.add_user(login)
        github.set_permission(NAME, "ann", "write")
        github.add_token(TOKEN)
        issue = github.open_issue(NAME, labels=[label])
        yield Labelled(github, issue.number, issues_labeled(github, NAME, issue.number, label, by))

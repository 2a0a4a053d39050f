"""`sandpiper serve` as a process of its own beside a stateful GitHub, and deliveries signed as GitHub signs them."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.github_server.server import GitHubServer
from tests.github_server.webhooks import issue_comment_created

ROOT = Path(__file__).resolve().parent.parent
NAME = "octo/hello"
TOKEN = "t0ken-of-the-server"
SECRET = "5f0c2a7be1d94c3f8a6e-webhooks"


def signed(body: bytes, secret: str = SECRET) -> str:
    """The value of X-Hub-Signature-256."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def environ_for(github: GitHubServer, state: Path, **more: str) -> dict[str, str]:
    """The whole environment of a server."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(state),
        "SANDPIPER_STATE": str(state / "state"),
        "SANDPIPER_API_URL": github.url,
        "SANDPIPER_SERVER_URL": github.html_url,
        "SANDPIPER_TOKEN": TOKEN,
        "SANDPIPER_WEBHOOK_SECRET": SECRET,
        **more,
    }


class Serving:
    """One process that listens; `lines` is its log."""

    def __init__(self, environ: Mapping[str, str], *words: str) -> None:
        command = [sys.executable, "-m", "bot", "serve", "--port", "0", *words]
        self.process = subprocess.Popen(command, env=dict(environ), cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if '"listening"' in line:
                break
        assert self.lines, "it ended without a word"
        assert '"listening"' in self.lines[-1], "".join(self.lines)
        self.address = str(json.loads(self.lines[-1])["address"])
        self._client = httpx.Client(verify=False, timeout=30)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    def post(
        self, payload: Any, delivery: str, event: str = "issue_comment", *, secret: str = SECRET, **headers: str
    ) -> httpx.Response:
        """A delivery, as GitHub sends it; a header that is empty is left out."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        sent = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": signed(body, secret),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        kept = {name: value for name, value in sent.items() if value}
        return self._client.post(self.address, content=body, headers=kept)

    def health(self) -> httpx.Response:
        """What /healthz says."""
        return self._client.get(f"http://{urlsplit(self.address).netloc}/healthz")

    def idle(self, seconds: float = 60) -> None:
        """Wait until there is nothing to do."""
        until(lambda: self.health().json() == {"status": "ok", "waiting": 0, "running": 0}, seconds)

    def end(self, kill: bool = False) -> int:
        """End the process; its exit code."""
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        code = self.process.wait(60)
        self._reader.join(10)
        self._client.close()
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code


@contextmanager
def serving(environ: Mapping[str, str], *words: str) -> Iterator[Serving]:
    """A process that is gone at the end."""
    server = Serving(environ, *words)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.end(kill=True)


@contextmanager
def github_with_ann() -> Iterator[GitHubServer]:
    """A repository in which ann may write, and the bot's token."""
    with GitHubServer() as github:
        github.add_repo(NAME, {"README.md": "# Hello\n"})
        github.add_user("ann")
        github.set_permission(NAME, "ann", "write")
        github.add_token(TOKEN)
        yield github
        assert github.violations == []


def asks(github: GitHubServer, words: str = "/bot help") -> tuple[int, dict[str, Any]]:
    """An issue on which ann said something: its number, and the payload."""
    issue = github.open_issue(NAME)
    comment = github.comment(NAME, issue.number, words, user="ann")
    return issue.number, issue_comment_created(github, NAME, comment.id)


def answers(github: GitHubServer, number: int) -> list[str]:
    """Comments that are not ann's."""
    return [each.body for each in github.repo(NAME).issues[number].comments if each.user.login != "ann"]


def until(good: Any, seconds: float = 60) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)

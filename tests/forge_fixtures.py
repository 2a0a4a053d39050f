"""A stateful GitHub with one repository -> reader, writer, blobs and the small values that forge tests need."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.forge.forge import open_forge
from bot.forge.reading.reader import GitHubReader
from bot.forge.writing.writer import GitHubWriter
from bot.settings import Settings
from bot.types.output import Commit, Output, Receipt
from bot.types.sandbox import Blob, FileChange
from tests.github_server.records import Issue, Repo
from tests.github_server.server import GitHubServer
from tests.github_server.trees import File, files_of

NAME = "octo/hello"
TOKEN = "t0ken-of-the-job"
FILES: dict[str, File] = {
    "README.md": "# Sample\n",
    "src/app.py": "print(1)\n",
    "src/deep/old.py": "old\n",
    "bin/tool": ("100755", b"#!/bin/sh\n"),
}
MARKER = "<!-- sandpiper:run=0123456789abcdef -->"


def settings_for(server: GitHubServer, token: str | None = TOKEN) -> Settings:
    """Settings that point at the server."""
    secret = SecretStr(token) if token else None
    return Settings(token=secret, api_url=server.url, server_url=server.html_url)


@dataclass
class Desk:
    """Everything on one table."""

    server: GitHubServer
    repo: Repo
    issue: Issue
    blobs: Path
    naps: list[float] = field(default_factory=list)

    def open(self, token: str | None = TOKEN, name: str = NAME) -> tuple[GitHubReader, GitHubWriter]:
        """A new client, as a new process would have; it naps without sleeping."""
        return open_forge(settings_for(self.server, token), name, sleep=self.naps.append)

    def apply(self, output: Output, *, doubt: bool = False) -> Receipt:
        """Publish with a new client."""
        return self.open()[1].apply(output, blobs=self.blobs, doubt=doubt)

    @property
    def head(self) -> str:
        """Commit of the default branch."""
        sha = self.repo.git.ref("refs/heads/main")
        assert sha is not None
        return sha

    def blob(self, data: bytes, mode: str = "100644") -> Blob:
        """Contents, kept in the blob folder."""
        digest = hashlib.sha256(data).hexdigest()
        (self.blobs / digest).write_bytes(data)
        return Blob.model_validate({"digest": digest, "size": len(data), "mode": mode})

    def change(self, path: str, data: bytes | None, mode: str = "100644") -> FileChange:
        """A change against the repository's first commit."""
        known = FILES.get(path)
        old_mode, old = known if isinstance(known, tuple) else ("100644", known)
        before = None if old is None else self.blob(old if isinstance(old, bytes) else old.encode(), old_mode)
        return FileChange(path=path, old=before, new=None if data is None else self.blob(data, mode))

    def commit(self, *files: FileChange, branch: str = "bot/fix-1", create: bool = True) -> Commit:
        """A commit on the default branch's head."""
        return Commit(
            key="commit", branch=branch, create=create, parent=self.head, message="Mend it\n\nFixes #1", files=files
        )

    def files(self, revision: str) -> dict[str, bytes]:
        """Contents of a commit, read by git's own format."""
        return files_of(self.repo.git, revision)

    def calls(self) -> list[str]:
        """`METHOD /template` of every request so far."""
        return [each.operation or f"{each.method} {each.path}" for each in self.server.requests]


@contextmanager
def open_desk(folder: Path) -> Iterator[Desk]:
    """A server with a repository, an issue and the job's token; its own complaints fail the test."""
    blobs = folder / "blobs"
    blobs.mkdir(parents=True)
    with GitHubServer() as server:
        repo = server.add_repo(NAME, FILES)
        server.add_token(TOKEN)
        table = Desk(server, repo, server.open_issue(NAME), blobs)
        yield table
        assert server.violations == []
        assert server.unknown == []


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """One desk."""
    with open_desk(tmp_path) as table:
        yield table

"""A temporary folder -> a Sandbox whose commands really run in it (trusted ones only), and specs to run there."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

from bot.errors import TaskError
from bot.protocols import Cancelled, OnOutput
from bot.types.event import Actor, Comment, Repository, Revision, Subject
from bot.types.run import Progress
from bot.types.sandbox import Changes, ExecRequest, ExecResult, SandboxRecord, SandboxStats
from bot.types.task import RunSpec, Task
from bot.types.value import Ending

SHA = "a" * 40


class FolderSandbox:
    """Implements Sandbox without any isolation; `endings` replaces how commands with that first word end."""

    def __init__(self, root: Path, endings: dict[str, Ending] | None = None) -> None:
        self.root = root
        self.id = "folder"
        self.ran: list[tuple[str, ...]] = []
        self._endings = endings or {}

    def exec(
        self, request: ExecRequest, *, on_output: OnOutput | None = None, cancelled: Cancelled | None = None
    ) -> ExecResult:
        self.ran.append(request.argv)
        if ending := self._endings.get(request.argv[0]):
            return ExecResult(ending=ending, exit_code=137)
        began = time.monotonic()
        try:
            done = subprocess.run(
                request.argv, cwd=self.root / request.cwd, input=request.stdin, capture_output=True, timeout=60
            )
        except FileNotFoundError:
            return ExecResult(ending="exited", exit_code=127, stderr=b"not found")
        seconds = time.monotonic() - began
        return ExecResult(
            ending="exited", exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr, seconds=seconds
        )

    def read_file(self, path: str, *, max_bytes: int = 10_000_000) -> bytes:
        file = self._inside(path)
        if not file.exists():
            raise TaskError("no_such_file", f"{path}: no such file")
        if not file.is_file():
            raise TaskError("not_a_file", f"{path}: not a file")
        return file.read_bytes()

    def write_file(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        file = self._inside(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def list_files(self, path: str = ".", *, limit: int = 10_000) -> tuple[str, ...]:
        found = (each for each in self._inside(path).rglob("*") if each.is_file())
        return tuple(sorted(str(each.relative_to(self.root)) for each in found))[:limit]

    def delete_file(self, path: str) -> None:
        self._inside(path).unlink()

    @property
    def record(self) -> SandboxRecord:
        return SandboxRecord(provider="folder", workspace="copy", disk="none")

    def stats(self) -> SandboxStats:
        return SandboxStats()

    def health(self) -> str | None:
        return None

    def pause(self) -> None:
        return

    def resume(self) -> None:
        return

    def collect(self, blobs: Path) -> Changes:
        return Changes()

    def close(self) -> None:
        return

    def _inside(self, path: str) -> Path:
        file = (self.root / path).resolve()
        if not file.is_relative_to(self.root.resolve()):
            raise TaskError("no_such_file", f"{path}: not in the workspace")
        return file


class News:
    """Implements Observer: keeps what was said."""

    def __init__(self) -> None:
        self.heard: list[Progress] = []

    def notify(self, progress: Progress) -> None:
        self.heard.append(progress)


def never() -> bool:
    return False


def spec_of(task: Task, **more: Any) -> RunSpec:
    """A run of that task on issue 7."""
    author = Actor(login="mallory", id=66)
    subject = Subject(kind="issue", number=7, title="Sum is off by one", body="`total` skips the last.", author=author)
    values: dict[str, Any] = {
        "run_id": "0123456789abcdef",
        "task": task,
        "repository": Repository(full_name="octo/sample", default_branch="main"),
        "subject": subject,
        "revision": Revision(ref="main", sha=SHA),
        "base": Revision(ref="main", sha=SHA),
        "requester": Actor(login="alice", id=1),
        "trust": "writer",
    }
    return RunSpec.model_validate({**values, **more})


def comment(body: str) -> Comment:
    return Comment(id=1, author=Actor(login="mallory", id=66), body=body, created_at="2026-01-01T00:00:00Z")

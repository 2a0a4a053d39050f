"""A folder and a script of answers -> a Sandbox for other rooms' tests: no container, no process, no isolation."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from posixpath import normpath

from bot.errors import SandboxError, TaskError
from bot.protocols import Cancelled, OnOutput
from bot.types.sandbox import Blob, Changes, ExecRequest, ExecResult, FileChange, Template

Answer = ExecResult | Callable[[ExecRequest, Path], ExecResult]
Script = Mapping[tuple[str, ...], Answer] | Callable[[ExecRequest, Path], ExecResult]
"""What each argv does: a result, or a function that is given the request and the workspace. Or one function for all."""


def exited(code: int = 0, stdout: bytes = b"", stderr: bytes = b"") -> ExecResult:
    """A command that ended by itself."""
    return ExecResult(ending="exited", exit_code=code, stdout=stdout, stderr=stderr)


class FakeSandbox:
    """Behaves as bot.testing.contracts_sandbox says where that can be had without a container."""

    def __init__(self, checkout: Path, folder: Path, script: Script | None = None) -> None:
        self.workspace = folder / "workspace"
        self.requests: list[ExecRequest] = []
        self.closed = False
        self._checkout, self._folder, self._script = checkout, folder, script if script is not None else {}
        self._collected = False
        shutil.copytree(checkout, self.workspace, symlinks=True)

    @property
    def id(self) -> str:
        return f"fake-{self._folder.name}"

    def exec(
        self, request: ExecRequest, *, on_output: OnOutput | None = None, cancelled: Cancelled | None = None
    ) -> ExecResult:
        if self.closed or self._collected:
            raise SandboxError("sandbox_expired", "the sandbox's time is over")
        self._path(request.cwd)
        self.requests.append(request)
        if cancelled is not None and cancelled():
            return ExecResult(ending="cancelled", exit_code=137)
        if callable(self._script):
            answer: Answer = self._script
        else:
            answer = self._script.get(request.argv, exited(127, stderr=f"{request.argv[0]}: not found\n".encode()))
        result = answer(request, self.workspace) if callable(answer) else answer
        if on_output is not None:
            if result.stdout:
                on_output("stdout", result.stdout)
            if result.stderr:
                on_output("stderr", result.stderr)
        return result

    def read_file(self, path: str, *, max_bytes: int = 10_000_000) -> bytes:
        file = self._path(path)
        if not file.exists():
            raise TaskError("no_such_file", f"{path!r} does not exist")
        if not file.is_file():
            raise TaskError("not_a_file", f"{path!r} is not a regular file")
        if file.stat().st_size > max_bytes:
            raise TaskError("file_too_large", f"{path!r} is too large")
        return file.read_bytes()

    def write_file(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        file = self._path(path)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        except OSError as error:
            raise TaskError("not_writable", f"{path!r} can't be written") from error
        if executable is not None:
            file.chmod(0o755 if executable else 0o644)

    def list_files(self, path: str = ".", *, limit: int = 10_000) -> tuple[str, ...]:
        folder = self._path(path)
        if not folder.exists():
            raise TaskError("no_such_file", f"{path!r} does not exist")
        return tuple(sorted(each for each in _files(self.workspace) if self._below(each, folder)))[:limit]

    def collect(self, blobs: Path) -> Changes:
        self._collected = True
        blobs.mkdir(parents=True, exist_ok=True)
        old, new = _files(self._checkout), _files(self.workspace)
        changes = []
        for path in sorted(old | new):
            before, after = _blob(self._checkout / path, blobs), _blob(self.workspace / path, blobs)
            if before != after:
                changes.append(FileChange(path=path, old=before, new=after))
        return Changes(files=tuple(changes))

    def close(self) -> None:
        self.closed = True
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, path: str) -> Path:
        clean = normpath(path.removeprefix("/workspace/") if path != "/workspace" else ".")
        file = self.workspace / clean
        if not path or "\0" in path or clean.startswith(("/", "..")) or ".." in path.split("/"):
            raise TaskError("path_outside", f"{path!r} is outside of the workspace")
        if not file.resolve().is_relative_to(self.workspace.resolve()):
            raise TaskError("path_outside", f"{path!r} leads out of the workspace")
        return file

    def _below(self, path: str, folder: Path) -> bool:
        return (self.workspace / path).is_relative_to(folder)


class FakeProvider:
    """Makes FakeSandboxes below a folder and remembers them; `error` is raised by create if given."""

    def __init__(self, folder: Path, script: Script | None = None, *, error: SandboxError | None = None) -> None:
        self.made: list[FakeSandbox] = []
        self.templates: list[Template] = []
        self.swept: list[str | None] = []
        self._folder, self._script, self._error = folder, script, error

    def create(self, template: Template) -> FakeSandbox:
        if self._error is not None:
            raise self._error
        self.templates.append(template)
        folder = self._folder / f"sandbox-{len(self.made)}"
        folder.mkdir(parents=True)
        self.made.append(FakeSandbox(Path(template.checkout or folder), folder, self._script))
        return self.made[-1]

    def healthy(self) -> str | None:
        return None if self._error is None else str(self._error)

    def sweep(self, run_id: str | None = None) -> int:
        self.swept.append(run_id)
        return 0


def _files(root: Path) -> set[str]:
    found = (file.relative_to(root) for file in root.rglob("*") if file.is_file() or file.is_symlink())
    return {path.as_posix() for path in found if ".git" not in path.parts}


def _blob(file: Path, blobs: Path) -> Blob | None:
    if not file.is_file() or file.is_symlink():
        return None
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return Blob(digest=digest, size=len(data), mode="100755" if file.stat().st_mode & 0o100 else "100644")

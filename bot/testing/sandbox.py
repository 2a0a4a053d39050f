"""A folder and a script of answers -> a Sandbox for other rooms' tests: no container, no process, no isolation."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from posixpath import normpath

from bot.errors import SandboxError, SandboxExpired, TaskError
from bot.protocols import Cancelled, OnOutput
from bot.types.sandbox import (
    Blob,
    Changes,
    ExecRequest,
    ExecResult,
    FileChange,
    SandboxInfo,
    SandboxRecord,
    SandboxStats,
    Template,
)
from bot.types.task import Limits

Answer = ExecResult | Callable[[ExecRequest, Path], ExecResult]
Script = Mapping[tuple[str, ...], Answer] | Callable[[ExecRequest, Path], ExecResult]
"""What each argv does: a result, or a function that is given the request and the workspace. Or one function for all."""


def exited(code: int = 0, stdout: bytes = b"", stderr: bytes = b"") -> ExecResult:
    """A command that ended by itself."""
    return ExecResult(ending="exited", exit_code=code, stdout=stdout, stderr=stderr)


class _Files:
    """Files of a folder, with the refusals that the contract asks for."""

    workspace: Path

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
        found = (each for each in _files(self.workspace) if (self.workspace / each).is_relative_to(folder))
        return tuple(sorted(found)[:limit])

    def delete_file(self, path: str) -> None:
        place = self.workspace / _relative(path)
        if place == self.workspace:
            raise TaskError("not_writable", "the workspace itself can't be deleted")
        file = self._path(_relative(path).rpartition("/")[0] or ".") / place.name
        try:
            if file.is_dir() and not file.is_symlink():
                shutil.rmtree(file)
            else:
                file.unlink()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise TaskError("no_such_file", f"{path!r} does not exist") from error
        except OSError as error:
            raise TaskError("not_writable", f"{path!r} can't be deleted") from error

    def _path(self, path: str) -> Path:
        file = self.workspace / _relative(path)
        if not file.resolve().is_relative_to(self.workspace.resolve()):
            raise TaskError("path_outside", f"{path!r} leads out of the workspace")
        return file


class _Vitals:
    """How a fake is: what a test says. Set `used` for other figures, `sick` for an illness."""

    def __init__(self, record: SandboxRecord) -> None:
        self.closed = False
        self.paused = False
        self.sick: str | None = None
        self.used = SandboxStats(memory_mb=1.0, cpu_seconds=0.0, cpu_percent=0.0, pids=1, disk_mb=0.0)
        self._record = record

    @property
    def record(self) -> SandboxRecord:
        return self._record

    def stats(self) -> SandboxStats:
        self._living()
        return self.used

    def health(self) -> str | None:
        if self.closed:
            return "it was closed"
        return self.sick or ("it is paused" if self.paused else None)

    def pause(self) -> None:
        self._living()
        self.paused = True

    def resume(self) -> None:
        self._living()
        self.paused = False

    def _living(self) -> None:
        if self.closed:
            raise SandboxExpired


class FakeSandbox(_Files, _Vitals):
    """Behaves as bot.testing.contracts_sandbox says where that can be had without a container."""

    def __init__(
        self, checkout: Path, folder: Path, script: Script | None = None, template: Template | None = None
    ) -> None:
        asked = template or Template(run_id="0" * 16)
        super().__init__(
            SandboxRecord(
                provider="fake",
                image=asked.image,
                workspace="copy",
                disk="none",
                network=asked.network.mode,
                notes=("no isolation: a script answers instead of programs",),
            )
        )
        self.workspace = folder / "workspace"
        self.template = asked
        self.requests: list[ExecRequest] = []
        self.created_at = datetime.now(UTC)
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
            raise SandboxExpired
        self._path(request.cwd)
        self.requests.append(request)
        if cancelled is not None and cancelled():
            return ExecResult(ending="cancelled", exit_code=137)
        if self.paused:
            return ExecResult(ending="timed_out", exit_code=124, seconds=request.seconds)
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


class FakeProvider:
    """Makes FakeSandboxes below a folder and remembers them; `error` is raised by create if given."""

    def __init__(self, folder: Path, script: Script | None = None, *, error: SandboxError | None = None) -> None:
        self.made: list[FakeSandbox] = []
        self.templates: list[Template] = []
        self.warmed: list[tuple[Template, int]] = []
        self.swept: list[str | None] = []
        self.closed = False
        self._folder, self._script, self._error = folder, script, error

    def create(self, template: Template) -> FakeSandbox:
        if self._error is not None:
            raise self._error
        self.templates.append(template)
        folder = self._folder / f"sandbox-{len(self.made)}"
        empty = folder / "checkout"
        empty.mkdir(parents=True)
        self.made.append(FakeSandbox(Path(template.checkout or empty), folder, self._script, template))
        return self.made[-1]

    def warm(self, template: Template, count: int = 1) -> None:
        self.warmed.append((template, count))

    def healthy(self) -> str | None:
        return None if self._error is None else str(self._error)

    def sweep(self, run_id: str | None = None) -> int:
        self.swept.append(run_id)
        return 0

    def close(self) -> None:
        self.closed = True

    def get(self, sandbox_id: str) -> FakeSandbox | None:
        found = [each for each in self.made if not each.closed and each.id.startswith(sandbox_id)]
        exact = [each for each in found if each.id == sandbox_id]
        return (exact or found)[0] if exact or len(found) == 1 else None

    def capacity(self, limits: Limits) -> int:
        """As many as an imaginary machine of 16 GiB bears."""
        return max(1, 16_384 // limits.memory_mb)

    def list(self) -> tuple[SandboxInfo, ...]:
        if self._error is not None:
            raise self._error
        return tuple(_info(each) for each in self.made if not each.closed)


def _info(made: FakeSandbox) -> SandboxInfo:
    return SandboxInfo(
        id=made.id,
        provider=made.record.provider,
        state="paused" if made.paused else "running",
        run_id=made.template.run_id,
        image=made.template.image,
        created_at=made.created_at,
        ends_at=made.created_at + timedelta(minutes=made.template.limits.minutes),
    )


def _relative(path: str) -> str:
    """A path below the workspace in its plain form."""
    clean = normpath(path.removeprefix("/workspace/") if path != "/workspace" else ".")
    if not path or "\0" in path or clean.startswith(("/", "..")) or ".." in path.split("/"):
        raise TaskError("path_outside", f"{path!r} is outside of the workspace")
    return clean


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

"""Files and folders of this machine <-> a sandbox's workspace, without following anybody's links on either side.

What comes out was named by untrusted code: a name is taken apart, and each folder on the way is opened as a folder and
not through a link, so that nothing is written outside of the target. Links, pipes and the like are left out, and said.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

from bot.errors import TaskError
from bot.protocols import Sandbox, SandboxFiles
from bot.sandbox.files import checked
from bot.types.sandbox import WORKSPACE, ExecRequest

OnCopied = Callable[[str, int], None]
"""Told of every file when it is there: its name in the workspace, its bytes."""
_MIB = 1 << 20
_MAX_BYTES = 1 << 30
_MAX_FILES = 100_000
_LISTING_BYTES = 16 * _MIB
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Copied:
    """What came out of a sandbox."""

    files: int
    size: int
    """Bytes."""
    skipped: tuple[str, ...] = ()
    """Names that were left out, with why."""


def copy_in(
    sandbox: SandboxFiles,
    source: Path,
    path: str,
    *,
    max_bytes: int = _MAX_BYTES,
    max_files: int = _MAX_FILES,
    on_copied: OnCopied | None = None,
) -> int:
    """Put a file, or all files of a folder, at `path` in the workspace; returns how many. Folders named `.git` stay.

    Raises TaskError `no_such_file`, `not_a_file` for a link or a device, `copy_too_large`, and those of `write_file`.
    """
    count = size = 0
    for file, name in _sources(source, path):
        data, executable = _read(file, max_bytes - size)
        count, size = count + 1, size + len(data)
        if count > max_files:
            raise _too_large(f"more than {max_files} files")
        sandbox.write_file(name, data, executable=executable)
        if on_copied is not None:
            on_copied(name, len(data))
    return count


def copy_out(
    sandbox: Sandbox,
    path: str,
    target: Path,
    *,
    max_bytes: int = _MAX_BYTES,
    max_files: int = _MAX_FILES,
    on_copied: OnCopied | None = None,
) -> Copied:
    """Write a file of the workspace to `target`, or all files of a folder below it. What is there is replaced.

    Raises TaskError `no_such_file`, `copy_too_large`, `bad_name` for a name that leads elsewhere, `target_refused` for
    a link or something else in the way, and those of `read_file`. What was written until then stays.
    """
    start = checked(path).removeprefix(WORKSPACE).lstrip("/")
    files = _found(sandbox, start, "-type", "f")
    others = _found(sandbox, start, "!", "-type", "f", "!", "-type", "d")
    if len(files) > max_files:
        raise _too_large(f"there are more than {max_files} files")
    if start in others:
        raise TaskError("not_a_file", f"{path!r} is neither a regular file nor a folder", hint="name what it leads to")
    executable = _found(sandbox, start, "-type", "f", "-perm", "-100")
    alone, size = files == {start}, 0
    if alone:
        into, target = (target, target / start.rpartition("/")[2]) if target.is_dir() else (target.parent, target)
    with _opened(into if alone else target) as root:
        for name in sorted(files):
            data = sandbox.read_file(name, max_bytes=max_bytes - size)
            size += len(data)
            below = target.name if alone else name.removeprefix(f"{start}/" if start else "")
            _write(root, below, data, 0o777 if name in executable else 0o666)
            if on_copied is not None:
                on_copied(name, len(data))
    return Copied(len(files), size, tuple(f"{name}: not a regular file" for name in sorted(others)))


def _sources(source: Path, path: str) -> Iterator[tuple[Path, str]]:
    """Files with their names in the workspace, in order."""
    try:
        mode = source.lstat().st_mode
    except OSError as error:
        raise TaskError("no_such_file", f"{source} can't be read: {error.strerror}") from error
    if not stat.S_ISDIR(mode):
        yield source, path
        return
    for folder, folders, names in os.walk(source):  # does not follow links
        folders[:] = sorted(each for each in folders if each != ".git")
        for name in sorted(names):
            file = Path(folder, name)
            if stat.S_ISREG(file.lstat().st_mode):
                yield file, normpath(f"{path}/{file.relative_to(source).as_posix()}")


def _read(file: Path, most: int) -> tuple[bytes, bool]:
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        code = "not_a_file" if file.is_symlink() else "no_such_file"
        raise TaskError(code, f"{file} can't be read: {error.strerror}", hint="name the file itself") from error
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise TaskError("not_a_file", f"{file} is not a regular file")
        data = stream.read(most + 1)
    if len(data) > most:
        raise _too_large(f"{file} does not fit any more")
    return data, bool(status.st_mode & 0o100)


def _found(sandbox: Sandbox, start: str, *tests: str) -> set[str]:
    """Names in the workspace below one of them, or itself. What answers is the image's program: nothing is believed."""
    argv = ("find", f"./{start}", "-name", ".git", "-prune", "-o", *tests, "-print0")
    result = sandbox.exec(ExecRequest(argv=argv, seconds=60, output_bytes=_LISTING_BYTES))
    if result.dropped_bytes:
        raise _too_large("the names of the files alone are more than 16 MiB")
    if not result.ok and not result.stdout:
        said = result.stderr.decode("utf-8", "replace").strip()[:300]
        raise TaskError("no_such_file", f"{start!r} can't be listed: {said or result.ending}", hint="list its folder")
    names = {normpath(name.decode("utf-8", "replace")) for name in result.stdout.split(b"\0") if name}
    for name in names:
        inside = not start or name == start or name.startswith(f"{start}/")
        if not inside or name.startswith("/") or {"..", ".git"} & set(name.casefold().split("/")):
            raise TaskError("bad_name", f"the sandbox names {name[:100]!r}, which is not below {start or '.'!r}")
    return names - {"."}


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A folder that the caller named, made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(str(folder), error) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _write(root: int, name: str, data: bytes, mode: int) -> None:
    """A whole file below an open folder, in place of what has its name."""
    *folders, last = name.split("/")
    handle, temporary = os.dup(root), f".{secrets.token_hex(8)}.part"
    try:
        for folder in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, dir_fd=handle)
            inner = os.open(folder, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = inner
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(temporary, flags, mode, dir_fd=handle), "wb") as stream:
                stream.write(data)
            os.replace(temporary, last, src_dir_fd=handle, dst_dir_fd=handle)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=handle)
            raise
    except OSError as error:
        raise _refused(name, error) from error
    finally:
        os.close(handle)


def _refused(name: str, error: OSError) -> TaskError:
    hint = "links are not followed below the target; move what is in the way"
    return TaskError("target_refused", f"{name!r} can't be written: {error.strerror}", hint=hint)


def _too_large(what: str) -> TaskError:
    return TaskError("copy_too_large", what, hint="copy a part of it, or allow more")

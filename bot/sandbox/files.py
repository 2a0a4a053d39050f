"""Reading, writing and listing files of the workspace, inside the sandbox and as the task's user.

The host never opens a path below a workspace whose sandbox is alive: links resolve where the task itself could follow
them. No path is ever part of a script: paths are arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass
from posixpath import normpath

from bot.errors import SandboxError, TaskError
from bot.types.sandbox import WORKSPACE, ExecRequest, ExecResult

Execute = Callable[[ExecRequest], ExecResult]
_SECONDS = 60.0
_LISTING_MAX = 8_000_000
"""Bytes of file names that a listing reads."""

_OUTSIDE, _MISSING, _NO_FILE, _LARGE, _READ_ONLY = 81, 82, 83, 84, 85
_RESOLVE = f"""
inside() {{ case "$1" in {WORKSPACE}|{WORKSPACE}/*) return 0;; *) exit {_OUTSIDE};; esac; }}
"""
_READ = (
    _RESOLVE
    + f"""
[ -e "$1" ] || {{ if [ -L "$1" ]; then exit {_NO_FILE}; fi; exit {_MISSING}; }}
real=$(readlink -f -- "$1") || exit {_MISSING}
inside "$real"
[ -f "$real" ] || exit {_NO_FILE}
size=$(stat -c %s -- "$real") || exit {_NO_FILE}
[ "$size" -le "$2" ] || exit {_LARGE}
exec head -c "$2" -- "$real"
"""
)
_WRITE = (
    _RESOLVE
    + f"""
umask 022
folder=${{1%/*}}
parent=$folder
while [ ! -e "$parent" ] && [ ! -L "$parent" ]; do parent=${{parent%/*}}; done
real=$(readlink -f -- "$parent") || exit {_READ_ONLY}
inside "$real"
mkdir -p -- "$folder" 2>/dev/null || exit {_READ_ONLY}
if [ -L "$1" ]; then real=$(readlink -f -- "$1") || exit {_READ_ONLY}; inside "$real"; fi
if [ -e "$1" ] && [ ! -f "$1" ]; then exit {_READ_ONLY}; fi
cat 2>/dev/null > "$1" || exit {_READ_ONLY}
case "$2" in yes) chmod a+x -- "$1";; no) chmod a-x -- "$1";; esac || exit {_READ_ONLY}
"""
)
_LIST = (
    _RESOLVE
    + f"""
[ -e "$1" ] || exit {_MISSING}
real=$(readlink -f -- "$1") || exit {_MISSING}
inside "$real"
exec find "$1/." -name .git -prune -o \\( -type f -o -type l \\) -print0
"""
)


@dataclass(frozen=True)
class Files:
    """File operations over something that runs commands."""

    execute: Execute

    def read(self, path: str, max_bytes: int) -> bytes:
        result = self._script(_READ, path, str(max_bytes), output_bytes=2 * max_bytes + 2)
        return result.stdout

    def write(self, path: str, data: bytes, executable: bool | None) -> None:
        if checked(path) == WORKSPACE:
            raise TaskError("not_writable", "the workspace itself is no file")
        mode = {True: "yes", False: "no", None: ""}[executable]
        self._script(_WRITE, path, mode, stdin=data)

    def list(self, path: str, limit: int) -> tuple[str, ...]:
        result = self._script(_LIST, path, output_bytes=2 * _LISTING_MAX)
        names = result.stdout[:_LISTING_MAX].split(b"\0")[:-1]
        root = checked(path)
        found = []
        for name in names:
            try:
                text = name.decode()
            except UnicodeDecodeError:
                continue  # nothing could name it afterwards
            found.append(normpath(root + text.removeprefix(root)).removeprefix(WORKSPACE + "/"))
        return tuple(sorted(found)[:limit])

    def _script(self, script: str, path: str, *args: str, stdin: bytes = b"", output_bytes: int = 10_000) -> ExecResult:
        argv = ("/bin/sh", "-c", script, "sh", checked(path), *args)
        result = self.execute(ExecRequest(argv=argv, stdin=stdin, seconds=_SECONDS, output_bytes=output_bytes))
        if result.ok:
            return result
        raise _failure(path, result)


def checked(path: str) -> str:
    """The path inside the sandbox. Raises TaskError `path_outside`; links are looked at inside."""
    if not path or "\0" in path or len(path) > 4096:
        raise TaskError("path_outside", f"not a path in the workspace: {path[:100]!r}", hint="use a relative path")
    full = path if path.startswith("/") else f"{WORKSPACE}/{path}"
    clean = normpath(full)
    # `..` is refused although it may cancel out: behind a link it means another folder than it seems.
    if ".." in path.split("/") or not (clean == WORKSPACE or clean.startswith(WORKSPACE + "/")):
        raise TaskError(
            "path_outside", f"{path!r} is outside of the workspace", hint="use a relative path without `..`"
        )
    try:
        clean.encode()
    except UnicodeEncodeError as error:
        raise TaskError("path_outside", f"{path!r} is not text", hint="use a relative path in UTF-8") from error
    return clean


def _failure(path: str, result: ExecResult) -> TaskError | SandboxError:
    errors = {
        _OUTSIDE: TaskError("path_outside", f"{path!r} leads out of the workspace", hint="use a path inside it"),
        _MISSING: TaskError("no_such_file", f"{path!r} does not exist", hint="list the files first"),
        _NO_FILE: TaskError("not_a_file", f"{path!r} is not a regular file"),
        _LARGE: TaskError("file_too_large", f"{path!r} is too large", hint="read a part of it with a command"),
        _READ_ONLY: TaskError("not_writable", f"{path!r} can't be written"),
    }
    if result.ending == "exited" and result.exit_code in errors:
        return errors[result.exit_code]
    if result.exit_code in (126, 127):
        return SandboxError(
            "image_unusable",
            "the sandbox's image lacks a shell or basic tools",
            hint="use an image with sh, cat, head, stat, find, mkdir, chmod, readlink and sleep",
        )
    return TaskError(
        "file_failed", f"{path!r}: {result.stderr.decode('utf-8', 'replace').strip()[:500] or result.ending}"
    )

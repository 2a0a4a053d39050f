"""Reading, writing, listing and deleting files of a workspace, inside the sandbox and as the task's user.

The host never opens a path below a workspace whose sandbox is alive: links resolve where the task itself could follow
them. No path is ever part of a script: paths are arguments. Most of each script is the shell's own, because every
process that is started takes as long as the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from posixpath import normpath

from bot.errors import SandboxError, TaskError
from bot.types.sandbox import WORKSPACE, ExecResult

Script = Callable[[str, Sequence[str], bytes, int], ExecResult]
"""Run a constant script: (script, arguments, standard input, kept bytes of output)."""
_LISTING_MAX = 8_000_000
"""Bytes of file names that a listing reads."""

_OUTSIDE, _MISSING, _NO_FILE, _READ_ONLY = 81, 82, 83, 85
_RESOLVE = f"""
root=$1 path=$2
inside() {{ case "$1" in "$root"|"$root"/*) return 0;; *) exit {_OUTSIDE};; esac; }}
"""
_READ = (
    _RESOLVE
    + f"""
[ -d "$path" ] && [ ! -L "$path" ] && exit {_NO_FILE}
if [ -L "$path" ]; then
    [ -e "$path" ] || exit {_NO_FILE}
    real=$(readlink -f -- "$path") || exit {_MISSING}
else
    cd -P -- "${{path%/*}}" 2>/dev/null || exit {_MISSING}
    real=$PWD/${{path##*/}}
fi
inside "$real"
[ -e "$real" ] || exit {_MISSING}
[ -f "$real" ] || exit {_NO_FILE}
exec head -c "$3" -- "$real"
"""
)
_WRITE = (
    _RESOLVE
    + f"""
umask 022
folder=${{path%/*}} parent=${{path%/*}}
while [ ! -e "$parent" ] && [ ! -L "$parent" ]; do parent=${{parent%/*}}; done
cd -P -- "$parent" 2>/dev/null || exit {_READ_ONLY}
inside "$PWD"
[ "$parent" = "$folder" ] || mkdir -p -- "$folder" 2>/dev/null || exit {_READ_ONLY}
if [ -L "$path" ]; then real=$(readlink -f -- "$path") || exit {_READ_ONLY}; inside "$real"; fi
if [ -e "$path" ] && [ ! -f "$path" ]; then exit {_READ_ONLY}; fi
cat 2>/dev/null > "$path" || exit {_READ_ONLY}
case "$3" in yes) chmod a+x -- "$path";; no) chmod a-x -- "$path";; esac || exit {_READ_ONLY}
"""
)
_LIST = (
    _RESOLVE
    + f"""
[ -e "$path" ] || exit {_MISSING}
real=$(readlink -f -- "$path") || exit {_MISSING}
inside "$real"
[ -d "$path" ] || exit {_MISSING}
find "$path/." -name .git -prune -o \\( -type f -o -type l \\) -print0 2>/dev/null
code=$?
[ $code -gt 1 ] && exit $code
exit 0
"""
)
_DELETE = (
    _RESOLVE
    + f"""
cd -P -- "${{path%/*}}" 2>/dev/null || exit {_MISSING}
inside "$PWD"
name=./${{path##*/}}
[ -e "$name" ] || [ -L "$name" ] || exit {_MISSING}
rm -rf -- "$name" 2>/dev/null || exit {_READ_ONLY}
"""
)


@dataclass(frozen=True)
class Files:
    """File operations over something that runs scripts."""

    run: Script
    root: str = WORKSPACE
    """Where the sandbox has its workspace."""

    def read(self, path: str, max_bytes: int) -> bytes:
        data = self._script(_READ, path, str(max_bytes + 1), output_bytes=max_bytes + 1).stdout
        if len(data) > max_bytes:
            raise TaskError(
                "file_too_large", f"{path!r} has more than {max_bytes} bytes", hint="read a part of it with a command"
            )
        return data

    def write(self, path: str, data: bytes, executable: bool | None) -> None:
        self._not_the_root(path)
        mode = {True: "yes", False: "no", None: ""}[executable]
        self._script(_WRITE, path, mode, stdin=data)

    def list(self, path: str, limit: int) -> tuple[str, ...]:
        result = self._script(_LIST, path, output_bytes=2 * _LISTING_MAX)
        names = result.stdout[:_LISTING_MAX].split(b"\0")[:-1]
        root = checked(path, self.root)
        found = []
        for name in names:
            try:
                text = name.decode()
            except UnicodeDecodeError:
                continue  # nothing could name it afterwards
            found.append(normpath(root + text.removeprefix(root)).removeprefix(self.root + "/"))
        return tuple(sorted(found)[:limit])

    def delete(self, path: str) -> None:
        self._not_the_root(path)
        self._script(_DELETE, path)

    def _not_the_root(self, path: str) -> None:
        if checked(path, self.root) == self.root:
            raise TaskError("not_writable", "the workspace itself can't be replaced or removed")

    def _script(self, script: str, path: str, *args: str, stdin: bytes = b"", output_bytes: int = 10_000) -> ExecResult:
        result = self.run(script, (self.root, checked(path, self.root), *args), stdin, output_bytes)
        if result.ok:
            return result
        raise _failure(path, result)


def checked(path: str, root: str = WORKSPACE) -> str:
    """The path inside the sandbox. Raises TaskError `path_outside`; links are looked at inside."""
    if not path or "\0" in path or len(path) > 4096:
        raise TaskError("path_outside", f"not a path in the workspace: {path[:100]!r}", hint="use a relative path")
    clean = normpath(path if path.startswith("/") else f"{root}/{path}")
    # `..` is refused although it may cancel out: behind a link it means another folder than it seems.
    if ".." in path.split("/") or not (clean == root or clean.startswith(root + "/")):
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
        _READ_ONLY: TaskError("not_writable", f"{path!r} can't be written"),
    }
    if result.ending == "exited" and result.exit_code in errors:
        return errors[result.exit_code]
    if result.exit_code in (126, 127):
        return SandboxError(
            "image_unusable",
            "the sandbox's image lacks a shell or basic tools",
            hint="use an image with sh, cat, chmod, find, head, mkdir, readlink and rm",
        )
    return TaskError(
        "file_failed", f"{path!r}: {result.stderr.decode('utf-8', 'replace').strip()[:500] or result.ending}"
    )

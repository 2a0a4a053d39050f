"""Questions about a git directory of our own -> answers by git's plumbing, with every configuration but ours shut out.

Only for directories that no agent and no stranger could write: git runs what a repository's configuration names.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.errors import ForgeError
from bot.types.sandbox import FileChange

LOCKED_DOWN: Mapping[str, str] = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ATTR_NOSYSTEM": "1",
    "LC_ALL": "C",
}


def git(directory: Path, *words: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
    """Run one plumbing command and return its output. Raises ForgeError `git_failed` with what git said."""
    command = ["git", f"--git-dir={directory}", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=", *words]
    environ = {"PATH": os.environ.get("PATH", os.defpath), **LOCKED_DOWN, **(env or {})}
    done = subprocess.run(command, input=stdin, capture_output=True, env=environ, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise ForgeError("git_failed", f"git {words[0]} failed: {said}", hint=f"look at the repository in {directory}")
    return done.stdout


def resolve(directory: Path, ref: str) -> str | None:
    """The commit that a branch or a SHA stands for, None if there is none."""
    for name in (f"refs/heads/{ref}", ref):
        try:
            words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
            return git(directory, *words).decode().strip()
        except ForgeError:
            continue
    return None


def read_path(directory: Path, ref: str, path: str) -> bytes | None:
    """A file at a commit or branch, None if there is none or it is no regular file."""
    sha = resolve(directory, ref)
    if sha is None:
        return None
    entry = git(directory, "ls-tree", "-z", sha, "--", path).split(b"\0")[0]
    if not entry.startswith(b"100"):
        return None
    return git(directory, "cat-file", "blob", entry.split()[2].decode())


def write_commit(
    directory: Path,
    parent: str | None,
    contents: Sequence[tuple[FileChange, bytes]],
    message: str,
    author: Mapping[str, str],
) -> str:
    """Make a commit of `parent` with the changes applied; no ref moves. `author` has name, email and date."""
    with tempfile.TemporaryDirectory(prefix="sandpiper-index-") as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        if parent:
            git(directory, "read-tree", parent, env=env)
        lines = b"".join(_index_line(directory, change, data) for change, data in contents)
        git(directory, "update-index", "-z", "--index-info", stdin=lines, env=env)
        tree = git(directory, "write-tree", env=env).decode().strip()
    words = ("commit-tree", tree, *(("-p", parent) if parent else ()))
    people = {f"GIT_{who}_{what.upper()}": value for who in ("AUTHOR", "COMMITTER") for what, value in author.items()}
    return git(directory, *words, stdin=message.encode(), env=people).decode().strip()


def _index_line(directory: Path, change: FileChange, data: bytes) -> bytes:
    path = change.path.encode()
    if change.new is None:
        return b"0 " + b"0" * 40 + b"\t" + path + b"\0"
    blob = git(directory, "hash-object", "-w", "--stdin", "--no-filters", stdin=data).strip()
    return change.new.mode.encode() + b" " + blob + b"\t" + path + b"\0"

"""A folder with a git repository -> the commit that its HEAD names, read from git's files without running git.

Source: gitrepository-layout and gitformat-refs. A checkout may hold settings that make git run programs, so before
anything is known about it, only its files are looked at.
"""

from __future__ import annotations

import re
from pathlib import Path

SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
REF = re.compile(r"refs/(?!.*(?:\.\.|//))[^\x00-\x20\x7f]+")
LINE = 4_096
"""Bytes of the longest line that is read."""


def head_of(folder: Path) -> str | None:
    """The commit checked out in `folder`, None when it is no checkout or has no commit."""
    directory = git_directory(folder)
    if directory is None:
        return None
    head = _first_line(directory / "HEAD")
    if SHA.fullmatch(head):
        return head
    ref = head.removeprefix("ref:").strip()
    if not head.startswith("ref:") or not REF.fullmatch(ref):
        return None
    shared = _first_line(directory / "commondir")
    common = directory / shared if shared else directory
    for place in (directory, common):
        sha = _first_line(place / ref)
        if SHA.fullmatch(sha):
            return sha
    return _packed(common / "packed-refs", ref)


def git_directory(folder: Path) -> Path | None:
    """`.git`, or where the `.git` file of a worktree points."""
    entry = folder / ".git"
    if entry.is_dir():
        return entry
    line = _first_line(entry)
    return folder / line.removeprefix("gitdir:").strip() if line.startswith("gitdir:") else None


def _packed(path: Path, ref: str) -> str | None:
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                sha, _, name = line.rstrip("\n").partition(" ")
                if name == ref and SHA.fullmatch(sha):
                    return sha
    except OSError:
        return None
    return None


def _first_line(path: Path) -> str:
    """Empty where there is no such regular file (a FIFO would never end)."""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return file.readline(LINE).decode("utf-8", "surrogateescape").strip()
    except OSError:
        return ""

"""A number of files -> a repository with so many, checked out, as large projects are laid out.

Usage: python bench/checkouts.py FOLDER FILES      or make_big_checkout from another benchmark
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OWNER = 1000
"""Whose files they are where root makes them: people and runners are not root."""
_WHO = "A Person <person@example.org> 1700000000 +0000"
_ENVIRON = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}


def make_big_checkout(folder: Path, files: int, *, per_folder: int = 50, owner: int = OWNER) -> Path:
    """Fill `folder` (made if need be); `owner` counts for root only."""
    folder.mkdir(parents=True, exist_ok=True)
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _import(folder, files, per_folder)
    _git(folder, "checkout", "--quiet", "--force", "main")
    if os.geteuid() == 0 and owner:
        subprocess.run(["chown", "-R", "-h", f"{owner}:{owner}", "--", str(folder)], check=True)
        _git(folder, "update-index", "-q", "--refresh")  # git notes the owner of each file
        os.chown(folder / ".git" / "index", owner, owner)
    return folder


def path_of(number: int, per_folder: int = 50) -> str:
    """Where the file of that number lies: folders in folders, twenty by twenty."""
    place = number // per_folder
    return f"packages/part{place // 400:03d}/area{place // 20 % 20:02d}/module{place:05d}/file_{number:06d}.py"


def _import(folder: Path, files: int, per_folder: int) -> None:
    with subprocess.Popen(
        ["git", "fast-import", "--quiet"], cwd=folder, env=_ENVIRON, stdin=subprocess.PIPE
    ) as process:
        if process.stdin is None:
            raise RuntimeError("git has no standard input")
        for piece in _commit(files, per_folder):
            process.stdin.write(piece)
        process.stdin.close()
        if process.wait() != 0:
            raise RuntimeError(f"git fast-import ended with {process.returncode}")


def _commit(files: int, per_folder: int) -> Iterator[bytes]:
    yield f"commit refs/heads/main\ncommitter {_WHO}\ndata 6\nlarge\n\n".encode()
    rest = {".gitignore": b"*.log\nbuild/\n__pycache__/\nnode_modules/\n", "README.md": b"# Large\n"}
    for path, data in rest.items():
        yield f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n"
    for number in range(files - len(rest)):
        data = f'"""Module {number}."""\n\nNUMBER = {number}\n'.encode() + b"# a line of text\n" * (number % 9)
        yield f"M 100644 inline {path_of(number, per_folder)}\ndata {len(data)}\n".encode() + data + b"\n"


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, env=_ENVIRON, check=True)


if __name__ == "__main__":
    make_big_checkout(Path(sys.argv[1]), int(sys.argv[2]))

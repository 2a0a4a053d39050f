"""A git repository on this machine -> its commits, trees and texts, for measuring. Nothing in it is run or written.

The repository is its owner's, but what its configuration names is not run: only plumbing that asks no configured
program, no hook, no monitor, no filter, and no object is fetched for a partial clone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bot.errors import ConfigurationError, ForgeError
from bot.forge.local import gitdir
from bot.forge.local.borrow import git_folder_of

_QUIET: Mapping[str, str] = {
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # for versions of git that do not know the variable above
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}
_REGULAR = (b"100644", b"100755")
BATCH = 200
"""Objects that are read by one call of git."""


class Change(NamedTuple):
    """A file that a commit changed."""

    path: str
    """Its path, signs that are no UTF-8 replaced."""
    status: str
    """`A`dded, `M`odified, `D`eleted or `T`ype changed; a rename is an addition and a deletion."""


class Commit(NamedTuple):
    """A commit with one parent."""

    sha: str
    """Its name."""
    parent: str
    """The parent's name."""
    message: str
    """Subject and body."""


def open_history(place: Path) -> Path:
    """The git folder of a checkout or a bare repository. Raises ConfigurationError `not_a_checkout`, `no_commits`."""
    if not place.is_dir():
        raise ConfigurationError("not_a_checkout", f"{place} is no folder", hint="give the folder of a git repository")
    bare = (place / "HEAD").is_file() and (place / "objects").is_dir()
    folder = place if bare else git_folder_of(place.resolve())
    if gitdir.resolve(folder, "HEAD") is None:
        raise ConfigurationError("no_commits", f"{place} has no commit that can be read", hint="commit, then try again")
    return folder


def is_shallow(folder: Path) -> bool:
    """Whether the history was cut when it was cloned."""
    return _git(folder, "rev-parse", "--is-shallow-repository").strip() == b"true"


def commits(folder: Path, *, most: int) -> Iterator[Commit]:
    """Commits with exactly one parent that is here, newest first."""
    words = ("rev-list", "--no-merges", "--parents", f"--max-count={most}", "--end-of-options", "HEAD")
    rows = [line.split() for line in _git(folder, *words).decode("ascii").splitlines()]
    pairs = [(row[0], row[1]) for row in rows if len(row) == 2]
    for start in range(0, len(pairs), BATCH):
        batch = pairs[start : start + BATCH]
        texts = _objects(folder, [sha for sha, _ in batch])
        for sha, parent in batch:
            if sha in texts:
                yield Commit(sha, parent, texts[sha].partition(b"\n\n")[2].decode("utf-8", "replace"))


def changes(folder: Path, shas: Sequence[str]) -> dict[str, tuple[Change, ...]]:
    """Commit -> the files that it changed."""
    words = ("diff-tree", "--stdin", "-r", "--raw", "-z", "--no-renames", "--no-ext-diff", "--no-textconv")
    answer = _git(folder, *words, stdin="".join(f"{sha}\n" for sha in shas).encode())
    found: dict[str, list[Change]] = {}
    current: list[Change] = []
    fields = iter(answer.split(b"\0"))
    for field in fields:
        if field.startswith(b":"):
            current.append(Change(_path(next(fields, b"")), field[-1:].decode("ascii")))
        elif field.strip():
            current = found.setdefault(field.strip().decode("ascii"), [])
    return {sha: tuple(rows) for sha, rows in found.items()}


def tree(folder: Path, sha: str) -> dict[str, str]:
    """Path -> blob of the regular files at a commit."""
    found: dict[str, str] = {}
    for row in _git(folder, "ls-tree", "-r", "-z", "--full-tree", "--end-of-options", sha).split(b"\0"):
        head, _, path = row.partition(b"\t")
        words = head.split()
        if len(words) == 3 and words[0] in _REGULAR:
            found[_path(path)] = words[2].decode("ascii")
    return found


def texts(folder: Path, shas: Sequence[str], *, limit: int) -> Iterator[tuple[str, bytes]]:
    """Blobs of at most `limit` bytes, each with its name; those that are not here are left out."""
    for start in range(0, len(shas), BATCH):
        batch = shas[start : start + BATCH]
        asked = "".join(f"{sha}\n" for sha in batch).encode()
        sizes = _git(folder, "cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked).splitlines()
        small = [
            row.split()[0].decode() for row in sizes if row.split()[-1].isdigit() and int(row.split()[-1]) <= limit
        ]
        yield from _objects(folder, small).items()


def _objects(folder: Path, shas: Sequence[str]) -> dict[str, bytes]:
    answer = _git(folder, "cat-file", "--batch", stdin="".join(f"{sha}\n" for sha in shas).encode())
    found: dict[str, bytes] = {}
    at = 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        words = answer[at:end].split()
        at = end + 1
        if len(words) == 3 and words[2].isdigit():  # else it says `<name> missing`
            size = int(words[2])
            found[words[0].decode("ascii")] = answer[at : at + size]
            at += size + 1
    return found


def _git(folder: Path, *words: str, stdin: bytes = b"") -> bytes:
    try:
        return gitdir.git(folder, *words, stdin=stdin, env=_QUIET)
    except ForgeError as error:
        hint = "run `git fsck` there; a partial clone has to be fetched whole first"
        raise ConfigurationError("history_unreadable", error.message, hint=hint) from None


def _path(data: bytes) -> str:
    return data.decode("utf-8", "replace")

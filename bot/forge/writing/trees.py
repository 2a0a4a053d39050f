"""Directories of a repository on GitHub, by SHA -> what lies in them, what differs, and what a change makes of them.

A directory's name is the hash of what lies in it (git's "tree object"). So a change can be worked out here and compared
with what GitHub made of it by one name, and a list that GitHub cut short can be told from a whole one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from bot.errors import ForgeError
from bot.forge.client.client import Client, shaped

FOLDER = "040000"
SUBMODULE = "160000"
THREADS = 8
"""Directories that are read at once."""
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Entry(NamedTuple):
    """One name in a directory."""

    mode: str
    sha: str


Level = dict[str, Entry]
Edits = Mapping[str, Entry | None]
"""Path of a file -> what is there afterwards; None where it is deleted."""


class Clash(Exception):
    """A file and a folder would have the same name; the text is the path."""


class Trees:
    """Fetches directories: everything below a root at once, or one by one where GitHub cuts that short."""

    def __init__(self, client: Client, path: str) -> None:
        self._client, self._path = client, path
        self._known: dict[str, Level] = {}
        self._cut: set[str] = set()
        """Roots whose recursive list is cut before their own directory is whole."""

    def whole(self, root: str) -> str:
        """Fetch all below a tree or commit in one request; the tree's SHA as GitHub names it in the answer."""
        data = self._client.get(f"{self._path}/git/trees/{root}", {"recursive": "1"})
        sha, rows, truncated = shaped(_recursive, data)
        found = shaped(lambda data: _levels(sha, data, strict=not truncated), rows)
        # Of a list that was cut only those directories are believed whose name is the hash of what was listed.
        self._known |= {each: level for each, level in found.items() if not truncated or tree_name(level) == each}
        if sha not in self._known:
            self._cut.add(sha)
        return sha

    def level(self, sha: str) -> Level:
        """One directory."""
        while sha not in self._known:
            self._fetch(sha)
        return self._known[sha]

    def reach(self, root: str, paths: Iterable[str]) -> None:
        """Fetch the directories on the ways to these paths, those that are unknown at once and with all below them."""
        wanted = list(paths)
        with ThreadPoolExecutor(THREADS) as pool:
            while missing := {sha for path in wanted if (sha := self._first_unknown(root, path))}:
                list(pool.map(self._fetch, sorted(missing)))

    def entry(self, root: str, path: str) -> Entry | None:
        """What lies at a path."""
        found = Entry(FOLDER, root)
        for name in path.split("/"):
            if found.mode != FOLDER:
                return None
            below = self.level(found.sha).get(name)
            if below is None:
                return None
            found = below
        return found

    def contents(self) -> set[str]:
        """SHAs of all files seen so far: what the repository holds already."""
        return {
            each.sha
            for level in self._known.values()
            for each in level.values()
            if each.mode not in (FOLDER, SUBMODULE)
        }

    def differences(self, old: str, new: str, prefix: str = "") -> Iterator[tuple[str, Entry | None]]:
        """Paths of files that differ between two trees, with what the new one has there (None: nothing)."""
        before, after = self.level(old), self.level(new)
        for name in sorted(before.keys() | after.keys()):
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            path = prefix + name
            if was and now and was.mode == now.mode == FOLDER:
                yield from self.differences(was.sha, now.sha, f"{path}/")
                continue
            if was and was.mode == FOLDER:
                yield from ((each, None) for each, _ in self._files(was.sha, f"{path}/"))
            elif was and (now is None or now.mode == FOLDER):
                yield path, None
            if now and now.mode == FOLDER:
                yield from self._files(now.sha, f"{path}/")
            elif now:
                yield path, now

    def _files(self, sha: str, prefix: str) -> Iterator[tuple[str, Entry]]:
        for name, entry in self.level(sha).items():
            if entry.mode == FOLDER:
                yield from self._files(entry.sha, f"{prefix}{name}/")
            else:
                yield prefix + name, entry

    def _first_unknown(self, root: str, path: str) -> str | None:
        """The first directory on the way to a path that has not been fetched."""
        found = Entry(FOLDER, root)
        for name in path.split("/"):
            if found.sha not in self._known:
                return found.sha
            below = self._known[found.sha].get(name)
            if below is None or below.mode != FOLDER:
                return None
            found = below
        return None

    def _fetch(self, sha: str) -> None:
        if sha not in self._cut:
            self.whole(sha)
        if sha not in self._known:
            _, rows, truncated = shaped(_recursive, self._client.get(f"{self._path}/git/trees/{sha}"))
            if truncated:
                text = "a folder of the repository holds more names than GitHub lists"
                raise ForgeError("folder_too_large", text, hint="take the patch from the artifacts")
            self._known[sha] = dict(rows)


def applied(trees: Trees, root: str, edits: Edits, prefix: str = "") -> str | None:
    """Name of the tree with these edits, None for one that holds nothing. Raises Clash.

    Nothing is implied: a folder gives way to a file when every file in it is deleted too, and the other way round.
    """
    level = dict(trees.level(root)) if root else {}
    below: dict[str, dict[str, Entry | None]] = {}
    for path, entry in edits.items():
        name, inside, rest = path.partition("/")
        if inside:
            below.setdefault(name, {})[rest] = entry
    for name in below.keys() | {path for path in edits if "/" not in path}:
        was, now = level.pop(name, None), edits.get(name)
        if was is not None and was.mode != FOLDER and name not in edits:
            now = was
        folder = was.sha if was is not None and was.mode == FOLDER else ""
        inner = applied(trees, folder, below[name], f"{prefix}{name}/") if name in below else folder or None
        if now is not None and inner is not None:
            raise Clash(prefix + name)
        if now is not None or inner is not None:
            level[name] = now or Entry(FOLDER, str(inner))
    return tree_name(level) if level or not prefix else None


def tree_name(level: Mapping[str, Entry]) -> str:
    """Git's name of a directory, in the object format of its entries; git sorts folders as if they ended in a slash."""

    def key(item: tuple[str, Entry]) -> bytes:
        return _bytes(item[0] + "/" * (item[1].mode == FOLDER))

    rows = [
        entry.mode.lstrip("0").encode() + b" " + _bytes(name) + b"\0" + bytes.fromhex(entry.sha)
        for name, entry in sorted(level.items(), key=key)
    ]
    length = next((len(entry.sha) for entry in level.values()), 40)
    return object_name("tree", b"".join(rows), length)


def object_name(kind: str, data: bytes, length: int) -> str:
    """Git's name of an object, in a format whose names have so many digits."""
    algorithm = hashlib.sha1 if length == 40 else hashlib.sha256  # git's format, no protection
    name = algorithm(f"{kind} {len(data)}\0".encode())
    name.update(data)
    return name.hexdigest()


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _recursive(data: Any) -> tuple[str, list[tuple[str, Entry]], bool]:
    rows = [(str(row["path"]), Entry(str(row["mode"]), _checked(row["sha"]))) for row in data["tree"]]
    return _checked(data["sha"]), rows, bool(data.get("truncated"))


def _checked(sha: str) -> str:
    if not _SHA.fullmatch(sha):
        raise ValueError(sha)
    return sha


def _levels(root: str, rows: list[tuple[str, Entry]], *, strict: bool = True) -> dict[str, Level]:
    """The flat list of a recursive answer as directories by their SHA."""
    folders = {"": root} | {path: entry.sha for path, entry in rows if entry.mode == FOLDER}
    levels: dict[str, Level] = {sha: {} for sha in folders.values()}
    for path, entry in rows:
        parent, _, name = path.rpartition("/")
        if strict or parent in folders:
            levels[folders[parent]][name] = entry
    return levels

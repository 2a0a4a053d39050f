"""Directories of a repository on GitHub, by SHA -> what lies in them, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from bot.forge.client import Client, shaped

FOLDER = "040000"


class Entry(NamedTuple):
    """One name in a directory."""

    mode: str
    sha: str


Level = dict[str, Entry]


class Trees:
    """Fetches directories: everything below a root at once, or one by one where GitHub cuts that short."""

    def __init__(self, client: Client, path: str) -> None:
        self._client, self._path = client, path
        self._known: dict[str, Level] = {}

    def whole(self, root: str) -> str:
        """Fetch all below a tree or commit in one request; the tree's SHA as GitHub names it in the answer."""
        data = self._client.get(f"{self._path}/git/trees/{root}", {"recursive": "1"})
        sha, rows, truncated = shaped(_recursive, data)
        if not truncated:
            self._known |= _levels(sha, rows)
        return sha

    def level(self, sha: str) -> Level:
        """One directory."""
        if sha not in self._known:
            data = self._client.get(f"{self._path}/git/trees/{sha}")
            self._known[sha] = dict(shaped(_recursive, data)[1])
        return self._known[sha]

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


def _recursive(data: Any) -> tuple[str, list[tuple[str, Entry]], bool]:
    rows = [(str(row["path"]), Entry(str(row["mode"]), str(row["sha"]))) for row in data["tree"]]
    return str(data["sha"]), rows, bool(data.get("truncated"))


def _levels(root: str, rows: list[tuple[str, Entry]]) -> dict[str, Level]:
    """The flat list of a recursive answer as directories by their SHA."""
    folders = {"": root} | {path: entry.sha for path, entry in rows if entry.mode == FOLDER}
    levels: dict[str, Level] = {sha: {} for sha in folders.values()}
    for path, entry in rows:
        parent, _, name = path.rpartition("/")
        levels[folders[parent]][name] = entry
    return levels

"""A Commit's files -> what they make of a tree on GitHub, and whether they fit on another than they were made on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from bot.errors import Conflict, ForgeError
from bot.forge.client.client import Client, shaped
from bot.forge.writing.trees import Clash, Entry, Trees, applied
from bot.forge.writing.uploads import Piece, make_tree, pieces_of
from bot.types.output import Commit


class Change:
    """The files of one commit, beside the trees that they may go on."""

    def __init__(self, client: Client, path: str, output: Commit, blobs: Path) -> None:
        self._client, self._path, self._output, self._blobs = client, path, output, blobs
        self._trees, self._roots = Trees(client, path), dict[str, str]()
        self._sent: set[str] = set()
        """Blobs that GitHub holds."""

    def root(self, commit: str) -> str:
        """Name of a commit's tree, all below it fetched in the same request."""
        if commit not in self._roots:
            root = self._trees.whole(commit)
            if root == commit:
                # A server may echo the commit's name; the tree's own stands in the commit.
                root = self._trees.whole(shaped(_tree, self._client.get(f"{self._path}/git/commits/{commit}")))
            self._roots[commit] = root
        return self._roots[commit]

    def result(self, base: str) -> str | None:
        """Name of the tree that the files make of another; None where they do not fit."""
        try:
            return applied(self._trees, base, self._missing(base))
        except Clash:
            return None

    def obstacle(self, before: str, after: str) -> str:
        """Why files made on one tree must not go on another, empty when they may: git's three-way merge by path.

        Where our files are what they were, the other side's changes are elsewhere; so they are where both sides made
        the same change. Inside a file nothing is merged.
        """
        missing = self._missing(after)
        self._trees.reach(before, missing)
        touched = sum(self._trees.entry(after, path) != self._trees.entry(before, path) for path in missing)
        if touched:
            return f"{touched} of the changed files changed there as well"
        return "" if self.result(after) else "a file and a folder would have the same name"

    def make(self, base: str) -> str:
        """The tree with the files in place. Raises ForgeError `tree_differs` unless it is what was validated."""
        wanted = self._missing(base)
        if not wanted:
            raise Conflict(
                "empty_commit", "the branch holds all of these changes already", hint="nothing is left to do"
            )
        expected = self.result(base)
        pieces = [each for each in self._pieces if each.file.path in wanted]
        self._sent.update(self._trees.contents())
        tree = make_tree(self._client, self._path, base, pieces, self._blobs, self._sent)
        if tree != expected and not self._differ_by(base, tree, wanted):
            hint = "nothing was published; the patch lies in the artifacts"
            raise ForgeError("tree_differs", "GitHub's tree is not the one that was validated", hint=hint)
        return tree

    def _differ_by(self, base: str, tree: str, wanted: Mapping[str, Entry | None]) -> bool:
        """Whether two trees differ by this: asked where names that JSON can't tell hide what a tree would be called."""
        self._trees.whole(tree)
        return dict(self._trees.differences(base, tree)) == wanted

    def _missing(self, base: str) -> dict[str, Entry | None]:
        """What a tree does not hold already."""
        self._trees.reach(base, self._wanted)
        return {path: entry for path, entry in self._wanted.items() if self._trees.entry(base, path) != entry}

    @cached_property
    def _wanted(self) -> dict[str, Entry | None]:
        return {each.file.path: each.entry for each in self._pieces}

    @cached_property
    def _pieces(self) -> tuple[Piece, ...]:
        return pieces_of(self._output, self._blobs)


def _tree(data: Mapping[str, Any]) -> str:
    return str(data["tree"]["sha"])

"""A world -> a copy of its present state that can be read after the world went on: what a lagging replica answers."""

from __future__ import annotations

import copy
from typing import Any

from .objects import GitStore
from .records import World


class FrozenStore(GitStore):
    """The refs of one moment, over objects that are never deleted."""

    def __init__(self, store: GitStore) -> None:
        self.path, self.cache, self.then = store.path, store.cache, store.refs()

    def refs(self, prefix: str = "refs/") -> dict[str, str]:
        """As they were."""
        return {name: sha for name, sha in self.then.items() if name.startswith(prefix)}

    def ref(self, name: str) -> str | None:
        """As it was."""
        return self.then.get(name)

    def set_ref(self, name: str, sha: str | None) -> None:
        """The server's own bookkeeping while it reads (test merges) stays in this copy."""
        self.then = {other: old for other, old in self.then.items() if other != name}
        self.then |= {} if sha is None else {name: sha}


def frozen(world: World) -> World:
    """The copy. Who may ask is not part of it: a token made later works."""
    kept: dict[int, Any] = {id(each): each for each in (world.lock, world.ids, world.tokens, world.users, world.apps)}
    kept |= {id(user): user for user in world.users.values()}
    kept |= {id(app): app for app in world.apps.values()}
    every = (*world.repos.values(), *world.moved.values())
    kept |= {id(repo.git): FrozenStore(repo.git) for repo in every}
    return copy.deepcopy(world, kept)

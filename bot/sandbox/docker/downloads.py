"""The caches of a template -> mounts of a container, and the environment that points package managers at them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.types import Mount

from bot.sandbox.caches import OpenCache, cache_env, caches_of, view_options
from bot.sandbox.docker.container import LABEL_OWNER, LABEL_RUN, VIEWS
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Cache, Template


@dataclass(frozen=True)
class Downloads:
    """Caches in use by one sandbox, until `close`."""

    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    opened: tuple[OpenCache, ...] = ()

    def close(self) -> None:
        """When the sandbox is gone."""
        for each in self.opened:
            each.close()

    @property
    def written(self) -> bool:
        """Whether the sandbox could add to one of them."""
        return any(each.mode == "write" for each in self.opened)


def open_downloads(
    api: docker.APIClient, root: Path, name: str, owner: str, template: Template, workspace: Workspace
) -> Downloads:
    """Open the caches, below `root`, of what the checkout locks. Raises SandboxError, ENGINE_ERRORS.

    What is not trusted gets a view whose writes die with it: a volume of the engine's, by the sandbox's name.
    """
    caches = template.caches
    if template.cache_scope and template.checkout:
        caches += caches_of(Path(template.checkout), trusted=template.trusted, scope=template.cache_scope)
    mounts: list[Mount] = []
    with ExitStack() as undo:
        opened = []
        for number, cache in enumerate(caches):
            each = OpenCache.open(root, cache, uid=workspace.uid, gid=workspace.gid)
            undo.callback(each.close)
            opened.append(each)
            labels = {LABEL_RUN: template.run_id, LABEL_OWNER: owner}
            mounts.append(_mount(api, cache, each, workspace, f"{name}.{number}", labels))
        undo.pop_all()
    env = cache_env(caches, offline=template.network.mode in ("none", "isolated"))
    return Downloads(tuple(mounts), env, tuple(opened))


def _mount(
    api: docker.APIClient, cache: Cache, opened: OpenCache, workspace: Workspace, volume: str, labels: dict[str, str]
) -> Mount:
    if opened.mode == "write":
        return Mount(cache.path, str(opened.folder), type="bind")
    number = volume.rpartition(".")[2]
    options = None
    if workspace.kind == "overlay":
        (workspace.folder / VIEWS / number).mkdir(parents=True)
        options = view_options(opened.folder, workspace.views / number, uid=workspace.uid, gid=workspace.gid)
    if options is None:
        return Mount(cache.path, str(opened.folder), type="bind", read_only=True)
    api.create_volume(
        volume, driver="local", driver_opts={"type": "overlay", "device": "overlay", "o": options}, labels=labels
    )
    return Mount(cache.path, volume, type="volume", no_copy=True)

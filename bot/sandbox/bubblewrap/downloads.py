"""The caches of a template -> what of them a sandbox has, and the environment that points package managers at them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bot.sandbox.bubblewrap.tree import Shared
from bot.sandbox.caches import OpenCache, cache_env, caches_of, view_options
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Template

VIEWS = "views"
"""Folder, next to what it wrote into the workspace, of what it wrote into caches that it does not share."""


@dataclass(frozen=True)
class Downloads:
    """Caches in use by one sandbox, until `close`."""

    shared: tuple[Shared, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    opened: tuple[OpenCache, ...] = ()

    def close(self) -> None:
        """When the sandbox is gone."""
        for each in self.opened:
            each.close()


def open_downloads(root: Path, template: Template, workspace: Workspace) -> Downloads:
    """Open the caches, below `root`, of what the checkout locks. Raises SandboxError, OSError.

    What is not trusted gets a view whose writes die with the sandbox: they go to where its other writes go.
    """
    caches = template.caches
    if template.cache_scope and template.checkout:
        caches += caches_of(Path(template.checkout), trusted=template.trusted, scope=template.cache_scope)
    shared: list[Shared] = []
    with ExitStack() as undo:
        opened = []
        for number, cache in enumerate(caches):
            each = OpenCache.open(root, cache, uid=workspace.uid, gid=workspace.gid)
            undo.callback(each.close)
            opened.append(each)
            shared.append(_shared(each, workspace.changed.parent / VIEWS / str(number), workspace))
        undo.pop_all()
    return Downloads(tuple(shared), cache_env(caches, offline=template.network.mode == "none"), tuple(opened))


def _shared(opened: OpenCache, private: Path, workspace: Workspace) -> Shared:
    source, path = str(opened.folder), opened.cache.path
    if opened.mode == "write":
        return Shared(source, path, writable=True)
    options = None
    if workspace.kind == "overlay":
        options = view_options(opened.folder, private, uid=workspace.uid, gid=workspace.gid)
    if options is None:
        return Shared(source, path)
    (private / "merged").mkdir()
    if workspace.attributes == "user":
        options += ",userxattr"
    return Shared(source, path, options, writable=True)

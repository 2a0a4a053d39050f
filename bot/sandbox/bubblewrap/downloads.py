"""Open caches -> what of them a bubblewrap sandbox has: folders to bind, or views to mount."""

from __future__ import annotations

from pathlib import Path

from bot.sandbox.bubblewrap.tree import Shared
from bot.sandbox.caches import OpenCache, OpenCaches, view_options
from bot.sandbox.workspace.overlay import Workspace

VIEWS = "views"
"""Folder, next to what it wrote into the workspace, of what it wrote into caches that it does not share."""


def shared_caches(caches: OpenCaches, workspace: Workspace) -> tuple[Shared, ...]:
    """What is not trusted gets a view whose writes die with the sandbox: they go to where its other writes go.

    Raises OSError.
    """
    views = workspace.changed.parent / VIEWS
    return tuple(_shared(each, views / str(number), workspace) for number, each in enumerate(caches.each))


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

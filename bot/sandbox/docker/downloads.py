"""Open caches -> mounts of a container: folders, or views as volumes of the engine's."""

from __future__ import annotations

import docker
from docker.types import Mount

from bot.sandbox.caches import OpenCache, OpenCaches, view_options
from bot.sandbox.docker.container import LABEL_OWNER, LABEL_RUN, VIEWS
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Template


def cache_mounts(
    api: docker.APIClient, caches: OpenCaches, name: str, owner: str, template: Template, workspace: Workspace
) -> tuple[Mount, ...]:
    """What is not trusted gets a view whose writes die with it: a volume of the engine's, by the sandbox's name.

    Raises ENGINE_ERRORS.
    """
    labels = {LABEL_RUN: template.run_id, LABEL_OWNER: owner}
    return tuple(_mount(api, each, workspace, f"{name}.{number}", labels) for number, each in enumerate(caches.each))


def _mount(
    api: docker.APIClient, opened: OpenCache, workspace: Workspace, volume: str, labels: dict[str, str]
) -> Mount:
    if opened.mode == "write":
        return Mount(opened.cache.path, str(opened.folder), type="bind")
    number = volume.rpartition(".")[2]
    options = None
    if workspace.kind == "overlay":
        (workspace.folder / VIEWS / number).mkdir(parents=True)
        options = view_options(opened.folder, workspace.views / number, uid=workspace.uid, gid=workspace.gid)
    if options is None:
        return Mount(opened.cache.path, str(opened.folder), type="bind", read_only=True)
    api.create_volume(
        volume, driver="local", driver_opts={"type": "overlay", "device": "overlay", "o": options}, labels=labels
    )
    return Mount(opened.cache.path, volume, type="volume", no_copy=True)

"""Names of sandboxes -> nothing left of them: container, volume, folder; also those that a dead process left."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import LogConfig, Mount

from bot.errors import SandboxError
from bot.sandbox.docker.container import LABEL_OWNER, LABEL_RUN, NOBODYS, VIEWS, Image
from bot.sandbox.docker.engine import ENGINE_ERRORS
from bot.sandbox.folder import PREFIX, Note, is_dead, of_this_boot, process_identity, read_note, unfinished
from bot.sandbox.removal import erase
from bot.sandbox.workspace.mounts import release

_LOG = logging.getLogger(__name__)
_STARTING = 3600
"""Seconds, by the engine's clock and ours: long after it was made, a container that never ran never will."""
_LONGEST = 8 * 3600
"""Seconds: more than any wall clock allows."""


def remove(api: docker.APIClient, name: str, folder: Path | None, janitor: Callable[[], Image]) -> bool:
    """Remove all that has this name; True when nothing is left. Never raises for what the engine says."""
    clean = True
    try:
        with contextlib.suppress(NotFound):
            api.remove_container(name, force=True, v=True)
        for volume in (name, *(f"{name}.{each.name}" for each in _views(folder))):
            with contextlib.suppress(NotFound):
                api.remove_volume(volume, force=True)
    except ENGINE_ERRORS as error:
        _LOG.warning("sandbox %s: not removed, the next sweep tries again: %s", name, error)
        clean = False
    if folder is not None and clean:
        remove_folder(api, folder, janitor)
        clean = not folder.exists()
    return clean


def remove_folder(api: docker.APIClient, folder: Path, janitor: Callable[[], Image]) -> None:
    """Remove a folder, as root inside a container where our own rights don't suffice.

    The engine's overlay leaves a folder of root's, and the sandbox may have taken its own rights away from itself.
    """
    try:
        release(folder)
    except SandboxError as error:
        _LOG.warning("folder %s: %s", folder, error)
        return
    if not erase(folder):
        try:
            _empty(api, folder, janitor())
        except (SandboxError, *ENGINE_ERRORS) as error:
            _LOG.warning("folder %s: not removed, the next sweep tries again: %s", folder, error)
        erase(folder)


def _empty(api: docker.APIClient, folder: Path, image: Image) -> None:
    arguments: dict[str, Any] = {
        "image": image.name,
        "entrypoint": ["find", "/doomed", "-xdev", "-mindepth", "1", "-delete"],
        "command": [],
        "user": "0:0",
        "environment": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        # So that a sweep finds it where we die now.
        "labels": {LABEL_RUN: "0" * 16, LABEL_OWNER: process_identity(os.getpid()) or ""},
        "host_config": api.create_host_config(
            network_mode="none",
            read_only=True,
            cap_drop=["ALL"],
            cap_add=["DAC_OVERRIDE", "FOWNER"],
            security_opt=["no-new-privileges"],
            log_config=LogConfig(type="none"),
            mounts=[
                *(Mount(each, each, type="bind", read_only=True) for each in image.mounts),
                Mount("/doomed", str(folder), type="bind"),
            ],
        ),
    }
    container = api.create_container(**arguments)["Id"]
    try:
        api.start(container)
        api.wait(container, timeout=120)
    finally:
        api.remove_container(container, force=True, v=True)


def find(api: docker.APIClient, work: Path, run_id: str | None) -> dict[str, Path | None]:
    """Leftovers by name: everything of one run, or everything that nobody can want. Raises ENGINE_ERRORS.

    A container's label stays what it was when somebody takes it, so nobody's run is no reason to remove anything.
    """
    run_id = None if run_id == NOBODYS else run_id
    found: dict[str, Path | None] = {}
    living: set[str] = set()
    for folder in sorted(work.glob(f"{PREFIX}*")) if work.is_dir() else ():
        note = read_note(folder)
        if note is not None and note.provider.startswith("docker"):
            if note.run_id == run_id if run_id is not None else note.orphan:
                found[folder.name] = folder
                found.update((name, work / name) for name in _belongings(note))
            else:
                living |= {folder.name, *_belongings(note)}
    if run_id is None:
        found.update((folder.name, folder) for folder in unfinished(work))
    for each in _labelled(api):
        # A sandbox's further volumes have its name, a dot and a number.
        if each.name.partition(".")[0] not in living and _ours(each, run_id):
            found.setdefault(each.name, None)
    return {name: folder for name, folder in found.items() if name not in living}


def _views(folder: Path | None) -> list[Path]:
    """What a sandbox wrote into caches that it only views, a volume each."""
    views = folder / VIEWS if folder is not None else None
    return sorted(views.iterdir()) if views is not None and views.is_dir() else []


def _belongings(note: Note) -> list[str]:
    """Donors that serve a sandbox."""
    return [*note.extra.get("donors", "").split(), *note.extra.get("shared", "").split()]


@dataclass(frozen=True)
class _Labelled:
    """A container or a volume that carries our labels."""

    name: str
    run: str
    owner: str
    ended: bool
    """Nothing runs in it, and nobody can be about to start it."""
    old: bool
    """No sandbox lives that long."""


def _labelled(api: docker.APIClient) -> Iterator[_Labelled]:
    for container in api.containers(all=True, filters={"label": LABEL_OWNER}):
        age = time.time() - container["Created"]
        ended = container["State"] in ("exited", "dead") or (container["State"] == "created" and age > _STARTING)
        yield _named(container["Names"][0].removeprefix("/"), container, ended, age)
    try:
        volumes = api.volumes(filters={"label": LABEL_OWNER}).get("Volumes") or []
    except APIError as error:
        _LOG.warning("volumes can't be listed: %s", error)
        volumes = []
    for volume in volumes:
        age = _age(volume.get("CreatedAt") or "")
        yield _named(volume["Name"], volume, age > _STARTING, age)


def _age(moment: str) -> float:
    """Seconds since then (RFC 3339); 0, which is too young for anything, where an engine does not tell."""
    try:
        return time.time() - datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0


def _named(name: str, found: dict[str, Any], ended: bool, age: float) -> _Labelled:
    labels = found.get("Labels") or {}
    return _Labelled(name, labels.get(LABEL_RUN, ""), labels.get(LABEL_OWNER, ""), ended, age > _LONGEST)


def _ours(found: _Labelled, run_id: str | None) -> bool:
    """Whether nobody can want it. Another machine's process may be alive and well, and share the engine with us."""
    if not found.run:
        return False
    if not found.owner:  # it outlives its maker, and its folder is gone
        return found.ended and found.old and run_id is None
    if run_id is not None:
        return found.run == run_id
    return is_dead(found.owner) and (of_this_boot(found.owner) or found.ended)

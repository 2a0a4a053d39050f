"""The engine that DOCKER_HOST names -> what one process has of it: a connection, donors, removals under way."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import docker
from docker.utils import kwargs_from_env

from bot.sandbox.docker import leftovers
from bot.sandbox.docker.container import Image
from bot.sandbox.docker.donors import Donors, Engine
from bot.sandbox.docker.engine import ENGINE_ERRORS
from bot.sandbox.docker.hostimage import HostImages
from bot.sandbox.docker.images import ImageRules
from bot.sandbox.docker.network import detach
from bot.sandbox.docker.starting import unavailable
from bot.sandbox.egress.inside import OnEgress
from bot.sandbox.folder import process_identity
from bot.sandbox.workspace.overlay import Kind
from bot.types.network import EgressRecord

_LOG = logging.getLogger(__name__)
PROVIDER = "docker"
CHANNEL = "channel"
"""Name of the folder with the named pipes."""
_ENGINE_SECONDS = 60
"""For one answer of the engine."""
_POOLS = 200
_REMOVERS = 2


def _unheard(sandbox_id: str, run_id: str, record: EgressRecord) -> None:
    """Nobody wants to know."""


class Workshop:
    """Owned by a provider, from the first question to the engine until `close`."""

    def __init__(self, work: Path, rules: ImageRules, on_egress: OnEgress | None) -> None:
        self.caches = work.absolute().parent / "caches"
        self.work, self.rules = work.absolute(), rules
        self.on_egress: OnEgress = on_egress or _unheard
        self.donors = Donors(lambda: self.engine)
        self.kind: Kind = "overlay"
        self.hosts = HostImages(self.work)
        self._removing: ThreadPoolExecutor | None = None

    @cached_property
    def api(self) -> docker.APIClient:
        """Raises SandboxError `docker_unavailable`."""
        try:
            # As many pools as there may be threads: the oldest is closed even while it is used.
            api = docker.APIClient(
                version="auto", timeout=_ENGINE_SECONDS, num_pools=_POOLS, max_pool_size=32, **kwargs_from_env()
            )
        except ENGINE_ERRORS as error:
            raise unavailable(error) from error
        if api.base_url.startswith("http+docker"):  # a socket: no proxy to look for in the environment at each call
            api.trust_env = False
        return api

    @cached_property
    def engine(self) -> Engine:
        """For donors."""
        return Engine(self.api, self.work, process_identity(os.getpid()) or "", self.host)

    def host(self) -> Image:
        """The toolchain of this machine, asked each time: somebody may have pruned the engine's images meanwhile."""
        return self.hosts.image(self.api, os.environ)

    def remove(self, name: str, folder: Path | None) -> bool:
        """All of one sandbox or donor; True when nothing is left."""
        return leftovers.remove(self.api, name, folder, self.host)

    def close(self) -> None:
        """Give back the stock and wait for removals; a second call does nothing."""
        self.donors.close()
        removing, self._removing = self._removing, None
        if removing is not None:
            removing.shutdown(wait=True)

    def dispose(self, folder: Path, donors: Sequence[str], shared: str) -> None:
        """The sandbox is gone on return; what held its namespaces, and nothing of its own, goes behind."""
        self.remove(folder.name, folder)
        if donors or shared:
            self.later(partial(detach, self.engine, donors, shared))

    def later(self, work: Callable[[], object]) -> None:
        """Something that nobody waits for but `close`."""
        if self._removing is None:
            self._removing = ThreadPoolExecutor(_REMOVERS, "sandpiper-remove")
        try:
            self._removing.submit(work)
        except RuntimeError:  # the interpreter is at its end: no thread begins any more
            work()

    @cached_property
    def info(self) -> Mapping[str, Any]:
        """What the engine says of itself; asked once."""
        info: dict[str, Any] = self.api.info()
        return info

    @cached_property
    def shares_mounts(self) -> bool:
        """Whether the engine sees what we mount: it runs in our mount namespace, and we may mount at all."""
        return os.geteuid() == 0 and _mount_namespace("self") in {_mount_namespace(pid) for pid in _engines()}


def _engines() -> list[str]:
    """Process numbers of engines on this machine."""
    found = []
    for file in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if file.read_text().strip() == "dockerd":
                found.append(file.parent.name)
    return found


def _mount_namespace(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")  # noqa: PTH115 - not a path but a name of the kernel's
    except OSError:
        return ""

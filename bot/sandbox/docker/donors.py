"""Namespaces made ahead -> sandboxes that start in half the time.

Making a network namespace is the dear part of a container's start. A donor is a container of ours that holds one, with
a PID namespace and the wall clock: a process that the task can't touch, whose end is the end of the namespace.
One donor serves one sandbox and goes with it; sandboxes of an `isolated` run share one donor's network, nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound
from docker.types import Mount

from bot.errors import SandboxError
from bot.sandbox.channel.pipes import INSIDE
from bot.sandbox.docker import leftovers
from bot.sandbox.docker.container import KEEPER, LABEL_OWNER, LABEL_RUN, NOBODYS, Image, hardening
from bot.sandbox.docker.engine import ENGINE_ERRORS
from bot.sandbox.folder import PREFIX, note_for, write_note
from bot.types.sandbox import Template
from bot.types.task import Limits

_LOG = logging.getLogger(__name__)
_LIMITS = Limits(memory_mb=64, pids=64, cpus=1)
"""What a donor itself may use."""
_KEEPER_SCRIPT = b"""\
cd /run/sandpiper || exit
[ -e start ] && . ./start
read -r seconds <turn || exit
exec sleep "$seconds"
"""
"""Waits to be taken, then for the wall clock."""
_KEEPER_SECONDS = 15.0
"""In which it has to wait for its clock."""
_QUIET = 0.5
"""Seconds after the last one was taken before another is made: two starts at once are slower than one."""
_AT_ONCE = 2
"""Donors that are made at the same time: more gain nothing on few processors."""


@dataclass(frozen=True)
class Donor:
    """One container that keeps namespaces."""

    name: str
    folder: Path

    @property
    def reference(self) -> str:
        """For the engine."""
        return f"container:{self.name}"

    def start_clock(self, seconds: int) -> None:
        """From now on it has so long to live. Raises SandboxError."""
        until = time.monotonic() + _KEEPER_SECONDS
        while True:
            try:
                turn = os.open(self.folder / "channel" / "turn", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                break
            except OSError as error:
                if error.errno != errno.ENXIO or time.monotonic() > until:  # else: it does not read yet
                    text = f"the keeper of {self.name} is gone: {error}"
                    raise SandboxError("sandbox_lost", text, hint="retry") from error
            time.sleep(0.002)
        with contextlib.closing(os.fdopen(turn, "wb", buffering=0)) as stream:
            stream.write(b"%d\n" % seconds)


@dataclass(frozen=True)
class Engine:
    """Where donors are made, and by whom."""

    api: docker.APIClient
    work: Path
    owner: str
    image: Callable[[], Image]
    """An image with `sh` and `sleep`."""


def make_donor(
    engine: Engine,
    template: Template | None = None,
    *,
    name: str = "",
    start: str = "",
    mounts: Sequence[Mount] = (),
    prepare: Callable[[], None] = lambda: None,
) -> Donor:
    """A new donor. Raises ENGINE_ERRORS, FileExistsError; then nothing of it is left.

    `start` is a line of shell that begins what it runs beside the clock, with files of `mounts`, which `prepare` makes
    once the folder is there.
    """
    name = name or f"{PREFIX}ns-{secrets.token_hex(6)}"
    donor = Donor(name, engine.work / name)
    asked = template or Template(run_id=NOBODYS)
    channel = donor.folder / "channel"
    engine.work.mkdir(parents=True, exist_ok=True)
    donor.folder.mkdir(mode=0o700)  # FileExistsError: somebody else's, by that name
    try:
        write_note(donor.folder, note_for(asked, "docker-namespace", engine.owner))
        channel.mkdir(mode=0o755)
        channel.chmod(0o755)
        (channel / "keeper").write_bytes(_KEEPER_SCRIPT)
        prepare()
        if start:
            (channel / "start").write_text(start)
        os.mkfifo(channel / "turn")
        for file in channel.iterdir():
            file.chmod(0o644)
        image = engine.image()
        arguments = _arguments(donor, asked, engine.owner, image, mounts)
        arguments["host_config"] = engine.api.create_host_config(**arguments["host_config"])
        engine.api.create_container(**arguments)
        engine.api.start(name)
    except BaseException:
        leftovers.remove(engine.api, name, donor.folder, engine.image)
        raise
    return donor


def _arguments(donor: Donor, template: Template, owner: str, image: Image, mounts: Sequence[Mount]) -> dict[str, Any]:
    ours = [Mount(each, each, type="bind", read_only=True) for each in image.mounts]
    ours += [Mount(INSIDE, str(donor.folder / "channel"), type="bind", read_only=True), *mounts]
    return {
        "image": image.name,
        "name": donor.name,
        "entrypoint": ["/bin/sh", f"{INSIDE}/keeper"],
        "command": [],
        "hostname": "sandbox",
        "user": KEEPER,
        "working_dir": "/",
        "environment": {"PATH": image.path} if image.path else {},
        "labels": {LABEL_RUN: template.run_id, LABEL_OWNER: "" if template.detached else owner},
        "stop_signal": "SIGKILL",
        "healthcheck": {"test": ["NONE"]},
        "host_config": {**hardening(_LIMITS, 1), "init": True, "mounts": ours},
    }


class Donors:
    """A stock of donors that nobody has taken, refilled in the background."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine, self._lock = engine, threading.Lock()
        self._ready: list[Donor] = []
        self._coming: set[Future[None]] = set()
        self._wanted = 0
        self._taken = -_QUIET
        self._stop = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False

    def want(self, count: int) -> None:
        """Keep so many in stock from now on, if that is more than so far."""
        with self._lock:
            self._wanted = max(self._wanted, count)
        self._refill()

    def take(self) -> Donor | None:
        """One that is ready; None when there is none."""
        while True:
            with self._lock:
                self._taken = time.monotonic()
                donor = self._ready.pop(0) if self._ready else None
            self._refill()
            if donor is None or self._runs(donor):
                return donor

    def close(self) -> None:
        """Remove what nobody took; a second call does nothing."""
        with self._lock:
            self._wanted, self._closed, pool = 0, True, self._pool
            self._stop.set()
        if pool is not None:
            pool.shutdown(wait=True)
        with self._lock:
            left, self._ready, self._pool = self._ready, [], None
            self._closed = False
            self._stop.clear()
        for donor in left:
            engine = self._engine()
            leftovers.remove(engine.api, donor.name, donor.folder, engine.image)

    def _runs(self, donor: Donor) -> bool:
        """Whether it still does, an engine's restart later; what does not is removed. Raises ENGINE_ERRORS."""
        engine = self._engine()
        with contextlib.suppress(NotFound):
            if engine.api.inspect_container(donor.name)["State"]["Running"]:
                return True
        leftovers.remove(engine.api, donor.name, donor.folder, engine.image)
        return False

    def _refill(self) -> None:
        with self._lock:
            missing = 0 if self._closed else self._wanted - len(self._ready) - len(self._coming)
            if missing > 0 and self._pool is None:
                self._pool = ThreadPoolExecutor(_AT_ONCE, "sandpiper-donor")
            for _ in range(missing):
                if self._pool is not None:
                    future = self._pool.submit(self._make)
                    self._coming.add(future)
                    future.add_done_callback(self._came)

    def _came(self, future: Future[None]) -> None:
        with self._lock:
            self._coming.discard(future)

    def _make(self) -> None:
        while (pause := self._taken + _QUIET - time.monotonic()) > 0:
            if self._stop.wait(pause):
                return
        try:
            donor = make_donor(self._engine())
        except (SandboxError, *ENGINE_ERRORS) as error:
            _LOG.info("sandbox: no namespaces could be made ahead: %s", error)
            return
        with self._lock:
            self._ready.append(donor)

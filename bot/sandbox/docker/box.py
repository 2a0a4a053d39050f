"""One container, by name: starting it, ending what runs in it, ending it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound

from bot.errors import SandboxError
from bot.sandbox.docker.engine import ENGINE_ERRORS, Command, Raw, lost, run
from bot.sandbox.counters import INSIDE
from bot.sandbox.docker.container import LABEL_OWNER, LABEL_RUN, Image, container_arguments
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Template

_KILL = ("/bin/sh", "-c", "kill -9 -1")
"""As the task's user: everything of its own, daemons included, and nothing else."""
_SECONDS = 30


@dataclass(frozen=True)
class Box:
    """What a container is made from, and the engine that has it."""

    api: docker.APIClient
    name: str
    template: Template
    workspace: Workspace
    image: Image

    @property
    def user(self) -> str:
        """Whom the task runs as."""
        return f"{self.workspace.uid}:{self.workspace.gid}"


def start(box: Box, *, owner: str, engine_cpus: int) -> None:
    """Make and start it. Raises ENGINE_ERRORS, or SandboxError `image_unusable`; the caller clears up."""
    api = box.api
    if box.workspace.kind == "overlay":
        api.create_volume(
            box.name,
            driver="local",
            driver_opts={"type": "overlay", "device": "overlay", "o": box.workspace.overlay_options()},
            labels={LABEL_RUN: box.template.run_id, LABEL_OWNER: owner},
        )
    arguments: dict[str, Any] = container_arguments(
        box.name, box.template, box.workspace, box.image, owner=owner, engine_cpus=engine_cpus
    )
    arguments["host_config"] = api.create_host_config(**arguments["host_config"])
    api.create_container(**arguments)
    api.start(box.name)
    if not box.image.mounts:
        _try(box)


def _try(box: Box) -> None:
    """A strange image may lack what keeps the container up, and the engine's init only says so by ending."""
    try:
        usable = run_in(box, ("sleep", "0")).exit_code == 0
    except SandboxError:
        usable = False
    if not usable:
        raise SandboxError(
            "image_unusable",
            f"the image {box.image.name!r} has no `sleep` that runs",
            hint="use an image with sh, cat, head, stat, find, mkdir, chmod, readlink and sleep",
        )


def run_in(box: Box, argv: Sequence[str]) -> Raw:
    """A short command of ours, as the task's user. Raises SandboxError."""
    return run(box.api, box.name, Command(argv, box.user, "/", seconds=_SECONDS))


def end_commands(box: Box) -> None:
    """End everything that the task started and keep the sandbox usable. Raises SandboxError when it is lost."""
    try:
        if run_in(box, _KILL).exit_code in (0, 1):  # 1: there was nothing left
            return
    except SandboxError:
        check_alive(box)
    # No shell in the image, or no room for one more process: a fresh start ends everything too.
    try:
        box.api.restart(box.name, timeout=0)
    except ENGINE_ERRORS as error:
        raise lost(error) from error


def check_alive(box: Box) -> None:
    """Raises SandboxError when the container ended."""
    try:
        alive = box.api.inspect_container(box.name)["State"]["Running"]
    except ENGINE_ERRORS as error:
        raise lost(error) from error
    if not alive:
        raise lost(RuntimeError("its container ended"))


def counters_inside(box: Box) -> str:
    """The control group's own files, as the container sees them."""
    return run_in(box, ("cat", *INSIDE)).stdout.decode("utf-8", "replace")


def stop(box: Box) -> None:
    """Kill it and return when it is dead. Raises SandboxError when that can't be had."""
    try:
        _kill(box)
    except ENGINE_ERRORS as error:
        raise SandboxError(
            "sandbox_undead", f"the sandbox could not be killed: {error}", hint="restart Docker, then retry"
        ) from error


def _kill(box: Box) -> None:
    try:
        box.api.kill(box.name)
    except NotFound:
        return
    except APIError as error:
        if error.status_code not in (409, 500):  # it is not running; older engines say 500
            raise
    box.api.wait(box.name, timeout=_SECONDS)
    if box.api.inspect_container(box.name)["State"]["Running"]:
        raise DockerException("it survived SIGKILL")

"""The shape of a container -> the container, running, with a shell in it that takes commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import docker
from docker.errors import APIError

from bot.errors import SandboxError
from bot.sandbox.channel.command import Channel
from bot.sandbox.channel.pipes import Pipes
from bot.sandbox.docker.body import start_driver
from bot.sandbox.docker.container import LABEL_OWNER, LABEL_RUN, Shape, container_arguments
from bot.sandbox.docker.engine import ENGINE_ERRORS, EngineChannel, lost
from bot.sandbox.docker.hardware import hardware_error
from bot.sandbox.workspace.archive import pack

_SHELL_SECONDS = 30.0
_START = "run `scripts/ensure-docker`, or see https://docs.docker.com/engine/install/"


class OverlayRefused(Exception):
    """The engine could not mount the workspace."""


class Elsewhere(SandboxError):
    """The engine does not see this machine's files."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "docker_elsewhere",
            f"the engine does not see this machine's files: {why}",
            hint="name an image instead of `host`, or run where the engine has the work folder at the same path",
        )


def start(api: docker.APIClient, shape: Shape, pipes: Pipes | None) -> Channel:
    """Make and start it, and wait for its shell. Raises ENGINE_ERRORS or SandboxError; the caller clears up."""
    labels = {LABEL_RUN: shape.template.run_id, LABEL_OWNER: shape.owner}
    if shape.workspace.kind == "overlay":
        api.create_volume(
            shape.name,
            driver="local",
            driver_opts={"type": "overlay", "device": "overlay", "o": shape.workspace.overlay_options()},
            labels=labels,
        )
    if shape.workspace.kind == "tar":
        api.create_volume(
            shape.name,
            driver="local",
            driver_opts={"type": "tmpfs", "device": "tmpfs", "o": _memory_options(shape)},
            labels=labels,
        )
    arguments = container_arguments(shape)
    arguments["host_config"] = api.create_host_config(**arguments["host_config"])
    api.create_container(**arguments)
    api.start(shape.name)
    if shape.workspace.kind == "tar":
        api.put_archive(shape.name, shape.workspace.root, pack(shape.workspace))
    channel: Channel = pipes or EngineChannel(api, shape.name, shape.user)
    if pipes is not None and not shape.driven:
        start_driver(api, shape.name, shape.user)
    if not channel.ping(_SHELL_SECONDS):
        raise SandboxError(
            "image_unusable",
            f"no shell answers in a container of the image {shape.image.name!r}",
            hint="use an image with sh, cat, chmod, find, head, mkdir, readlink, rm and sleep",
        )
    return channel


def _memory_options(shape: Shape) -> str:
    """A disk of that size in the engine's memory: there is no other that is sized on a machine that we can't see."""
    uid, gid = shape.workspace.uid, shape.workspace.gid
    return f"size={shape.template.limits.disk_mb}m,uid={uid},gid={gid},mode=0755,nosuid,nodev"


def read_back(api: docker.APIClient, name: str, root: str) -> Iterator[bytes]:
    """The whole workspace as an archive, from a container that is paused. Raises SandboxError."""
    try:
        chunks, _ = api.get_archive(name, root)
        yield from chunks
    except ENGINE_ERRORS as error:
        raise lost(error) from error


def unavailable(error: Exception) -> SandboxError:
    """The engine did not answer, or refused."""
    if isinstance(error, APIError):
        return SandboxError("docker_failed", f"the Docker engine refused: {error.explanation}", hint="see its log")
    return SandboxError("docker_unavailable", f"no Docker engine answers: {error}", hint=_START)


def start_error(error: Exception, info: Mapping[str, Any]) -> Exception:
    """Why a container did not start, as an error of ours."""
    text = str(error.explanation) if isinstance(error, APIError) else str(error)
    if "failed to mount local volume" in text:
        return OverlayRefused(text)
    if hardware := hardware_error(text, info):
        return hardware
    if "bind source path does not exist" in text:
        return Elsewhere(text)
    # A program that starts and ends at once is no error of the engine's; the next call on it is.
    if (
        "executable file not found" in text
        or "is not running" in text
        or "in a stopped state" in text
        or (text.startswith("task ") and "not found" in text)
        or ("no such file or directory" in text and "exec" in text)
    ):
        return SandboxError(
            "image_unusable",
            f"the image has no `sh` or `sleep` that runs: {text}",
            hint="use an image with sh, cat, chmod, find, head, mkdir, readlink, rm and sleep",
        )
    return SandboxError(
        "sandbox_failed", f"the sandbox did not start: {text}", hint="see `docker info` and the engine's log"
    )

"""Templates -> sandboxes, each a hardened Docker container with a workspace of its own."""

import logging
import os
import secrets
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import docker
from docker.errors import APIError, ImageNotFound

from bot.errors import SandboxError
from bot.sandbox.docker.engine import ENGINE_ERRORS
from bot.sandbox.docker import leftovers
from bot.sandbox.docker.box import Box, start
from bot.sandbox.docker.container import HOME, Image, process_identity
from bot.sandbox.docker.hostimage import host_image
from bot.sandbox.docker.running import DockerSandbox
from bot.sandbox.toolchain import host_toolchain
from bot.sandbox.workspace.overlay import Workspace, identity, prepare
from bot.types.sandbox import Template

_LOG = logging.getLogger(__name__)
_SECONDS = 120
"""For one answer of the engine."""
_START = "run `scripts/ensure-docker`, or see https://docs.docker.com/engine/install/"


class DockerProvider:
    """A SandboxProvider over the engine that DOCKER_HOST names, or the local one; asked when first needed."""

    def __init__(self, *, work: Path) -> None:
        self._work = work.absolute()
        self._kind: Literal["overlay", "copy"] = "overlay"

    def create(self, template: Template) -> DockerSandbox:
        """See the Protocol. Codes: `docker_unavailable`, `image_not_found`, `image_unusable`, `workspace_failed`."""
        checkout = Path(template.checkout or "").absolute()
        if not checkout.is_dir():
            raise SandboxError("workspace_failed", f"there is no checkout at {checkout}", hint="check out first")
        image = self._image(template.image)
        try:
            return self._create(template, checkout, image, self._kind)
        except _OverlayRefused as refused:
            _LOG.warning("sandbox: the engine mounts no overlay here, checkouts are copied instead: %s", refused)
            self._kind = "copy"
        return self._create(template, checkout, image, self._kind)

    def healthy(self) -> str | None:
        """See the Protocol."""
        try:
            info = self._api.info()
            self._work.mkdir(parents=True, exist_ok=True)
        except SandboxError as error:
            return str(error)
        except ENGINE_ERRORS as error:
            return f"Docker does not work: {error}\n  hint: {_START}"
        if info.get("OSType") != "linux":
            return f"Docker runs {info.get('OSType')} containers\n  hint: switch it to Linux containers"
        if not any("seccomp" in option for option in info.get("SecurityOptions") or ()):
            return "Docker runs without seccomp, its filter of system calls\n  hint: use an engine that has it"
        return None

    def sweep(self, run_id: str | None = None) -> int:
        """See the Protocol. Raises SandboxError when the engine does not answer."""
        try:
            found = leftovers.find(self._api, self._work, run_id)
        except ENGINE_ERRORS as error:
            raise _unavailable(error) from error
        return sum(self._remove(name, folder) for name, folder in found.items())

    @cached_property
    def _api(self) -> docker.APIClient:
        try:
            return docker.from_env(version="auto", timeout=_SECONDS).api
        except ENGINE_ERRORS as error:
            raise _unavailable(error) from error

    def _host(self) -> Image:
        """Asked each time: somebody may have pruned the engine's images meanwhile."""
        toolchain = host_toolchain(os.environ)
        return Image(host_image(self._api), toolchain.path, toolchain.mounts, toolchain.hidden)

    @cached_property
    def _cpus(self) -> int:
        """Of the engine: it refuses to promise more than it has."""
        return int(self._api.info()["NCPU"])

    def _image(self, name: str) -> Image:
        try:
            if name == "host":
                return self._host()
            self._api.inspect_image(name)  # type: ignore[no-untyped-call]
        except ImageNotFound as error:
            raise SandboxError(
                "image_not_found", f"there is no image {name!r} on this machine", hint=f"docker pull {name}"
            ) from error
        except ENGINE_ERRORS as error:
            raise _unavailable(error) from error
        return Image(name)

    def _create(
        self, template: Template, checkout: Path, image: Image, kind: Literal["overlay", "copy"]
    ) -> DockerSandbox:
        name = f"sandpiper-{template.run_id}-{secrets.token_hex(4)}"
        folder, owner = self._work / name, process_identity(os.getpid()) or ""
        try:
            self._work.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
            leftovers.write_owner(folder, template.run_id, owner)
            workspace = prepare(folder, checkout, kind)
            _write_identity(workspace)
            box = Box(self._api, name, template, workspace, image)
            start(box, owner=owner, engine_cpus=self._cpus)
            return DockerSandbox(box, partial(self._remove, name, folder))
        except BaseException as error:  # also an interrupt must leave nothing behind
            self._remove(name, folder)
            if isinstance(error, ENGINE_ERRORS):
                raise _start_error(error) from error
            raise

    def _remove(self, name: str, folder: Path | None) -> bool:
        return leftovers.remove(self._api, name, folder, self._host)


class _OverlayRefused(Exception):
    """The engine could not mount the workspace."""


def _write_identity(workspace: Workspace) -> None:
    etc = workspace.folder / "etc"
    etc.mkdir()
    for file, data in identity(workspace, HOME).items():
        (etc / file).write_bytes(data)
        (etc / file).chmod(0o644)


def _unavailable(error: Exception) -> SandboxError:
    if isinstance(error, APIError):
        return SandboxError("docker_failed", f"the Docker engine refused: {error.explanation}", hint="see its log")
    return SandboxError("docker_unavailable", f"no Docker engine answers: {error}", hint=_START)


def _start_error(error: Exception) -> Exception:
    """Why a container did not start, as an error of ours."""
    text = str(error.explanation) if isinstance(error, APIError) else str(error)
    if "failed to mount local volume" in text:
        return _OverlayRefused(text)
    if "bind source path does not exist" in text:
        return SandboxError(
            "docker_elsewhere",
            f"the engine does not see this machine's files: {text}",
            hint="run on the machine of the engine, or mount the work folder at the same path",
        )
    return SandboxError(
        "sandbox_failed", f"the sandbox did not start: {text}", hint="see `docker info` and the engine's log"
    )

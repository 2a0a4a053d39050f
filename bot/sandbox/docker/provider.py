"""Templates -> sandboxes, each a hardened Docker container with a workspace of its own."""

from __future__ import annotations

import weakref
from pathlib import Path

from bot.errors import SandboxError
from bot.protocols import Sandbox
from bot.sandbox.capacity import capacity
from bot.sandbox.docker import leftovers
from bot.sandbox.docker.container import LABEL_RUN
from bot.sandbox.docker.engine import ENGINE_ERRORS
from bot.sandbox.docker.images import ImageRules
from bot.sandbox.docker.making import found, make, make_spare
from bot.sandbox.docker.recycling import image_of, recycle
from bot.sandbox.docker.spare import Spare
from bot.sandbox.docker.starting import unavailable
from bot.sandbox.docker.workshop import PROVIDER, Workshop
from bot.sandbox.egress.inside import OnEgress
from bot.sandbox.folder import info_of, notes
from bot.sandbox.living import LivingSandbox
from bot.types.sandbox import SandboxInfo, SandboxState, Template
from bot.types.task import Limits

_STATES: dict[str, SandboxState] = {"running": "running", "paused": "paused"}


class _Ahead:
    """What is made before it is asked for, and what is used again."""

    _workshop: Workshop

    def prepare(self, template: Template) -> Spare | None:
        """For a pool: one whose run is not known yet, None where that can't be. Raises as `create` does."""
        return make_spare(self._workshop, template)

    def fingerprint(self, template: Template) -> str | None:
        """For burst mode: the image's digest; None where it can't serve again. Raises SandboxError."""
        return image_of(self._workshop, template)

    def recycle(self, sandbox: Sandbox) -> Spare | None:
        """For burst mode: the same container, reset; `sandbox` is closed. None, and nothing is left, where it can't."""
        if isinstance(sandbox, LivingSandbox):
            return recycle(self._workshop, sandbox)
        sandbox.close()
        return None

    def warm(self, template: Template, count: int = 1) -> None:
        """See the Protocol: namespaces for sandboxes without a network."""
        if template.network.mode in ("none", "isolated") and template.runtime is None:
            self._workshop.donors.want(count)


class DockerProvider(_Ahead):
    """A SandboxProvider over the engine that DOCKER_HOST names, or the local one; asked when first needed.

    `cap` bounds how many sandboxes it says the machine bears, `images` is the operator's word on images. `on_egress` is
    told, in the proxy's thread, what restricted sandboxes asked for: (sandbox's id, run, record). `elsewhere` says that
    the engine does not see this machine's files; otherwise that is found out when it refuses one.
    """

    def __init__(
        self,
        *,
        work: Path,
        cap: int | None = None,
        images: ImageRules | None = None,
        on_egress: OnEgress | None = None,
        elsewhere: bool = False,
    ) -> None:
        self._workshop, self._cap = Workshop(work, images or ImageRules(), on_egress), cap
        if elsewhere:
            self._workshop.kind = "tar"
        weakref.finalize(self, self._workshop.close)  # also at the end of a process that forgot to close

    def create(self, template: Template) -> LivingSandbox:
        """See the Protocol. Codes: `docker_unavailable`, `image_not_found`, `image_unusable`, `workspace_failed`."""
        return make(self._workshop, template)

    def healthy(self) -> str | None:
        """See the Protocol."""
        try:
            info = self._workshop.api.info()
            self._workshop.work.mkdir(parents=True, exist_ok=True)
        except SandboxError as error:
            return str(error)
        except ENGINE_ERRORS as error:
            return str(unavailable(error))
        if info.get("OSType") != "linux":
            return f"Docker runs {info.get('OSType')} containers\n  hint: switch it to Linux containers"
        if not any("seccomp" in option for option in info.get("SecurityOptions") or ()):
            return "Docker runs without seccomp, its filter of system calls\n  hint: use an engine that has it"
        return None

    def sweep(self, run_id: str | None = None) -> int:
        """See the Protocol. Raises SandboxError when the engine does not answer."""
        try:
            left = leftovers.find(self._workshop.api, self._workshop.work, run_id)
        except ENGINE_ERRORS as error:
            raise unavailable(error) from error
        return sum(self._workshop.remove(name, folder) for name, folder in left.items())

    def list(self) -> tuple[SandboxInfo, ...]:
        """See the Protocol."""
        try:
            containers = self._workshop.api.containers(all=True, filters={"label": LABEL_RUN})
        except ENGINE_ERRORS as error:
            raise unavailable(error) from error
        states = {each["Names"][0].removeprefix("/"): _STATES.get(each["State"], "stopped") for each in containers}
        known = notes(self._workshop.work, PROVIDER)
        return tuple(info_of(folder.name, note, states.get(folder.name, "stopped")) for folder, note in known)

    def get(self, sandbox_id: str) -> LivingSandbox | None:
        """See the Protocol."""
        known = [each for each in notes(self._workshop.work, PROVIDER) if each[0].name.startswith(sandbox_id)]
        if len(known) != 1:
            return None
        try:
            return found(self._workshop, *known[0])
        except ENGINE_ERRORS:
            return None

    def capacity(self, limits: Limits) -> int:
        """See the Protocol."""
        try:
            info = self._workshop.api.info()
        except ENGINE_ERRORS as error:
            raise unavailable(error) from error
        return capacity(info["MemTotal"] >> 20, info["NCPU"], limits, self._cap)

    def close(self) -> None:
        """See the Protocol."""
        self._workshop.close()

"""One container -> what a LivingSandbox needs of it: whether it runs, freezing, reviving, ending, nothing left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import docker
from docker.errors import APIError, DockerException, NotFound

from bot.errors import SandboxError
from bot.sandbox.channel.command import Command
from bot.sandbox.channel.pipes import Pipes, driver_argv
from bot.sandbox.counters import INSIDE, Asked, Groups, Meter, Usage, groups_of
from bot.sandbox.docker.engine import ENGINE_ERRORS, EngineChannel, lost
from bot.sandbox.living import Facts
from bot.sandbox.processes import kill_group

_END_SECONDS = 30
_HERE_SECONDS = 0.5
_FREEZE_ATTEMPTS = 3
"""On a busy machine the kernel may take too long for the engine's patience."""
_QUIET_SECONDS = 3.0
_START_SECONDS = 30.0
"""In which a shell has to answer in a container that has just been started."""


@dataclass(frozen=True)
class DockerBody:
    """A Body. Made by DockerProvider."""

    api: docker.APIClient
    facts: Facts
    user: str
    """Whom the task runs as."""
    driven: bool
    """Whether the container's own process takes the commands."""
    remove: Callable[[], object]
    """Removes all that belongs to it."""

    def running(self) -> bool:
        """See the Protocol."""
        try:
            return bool(self.api.inspect_container(self.facts.name)["State"]["Running"])
        except ENGINE_ERRORS:
            return False

    def freeze(self, frozen: bool) -> None:
        """See the Protocol."""
        why: Exception = RuntimeError("it ended")
        try:
            for _ in range(_FREEZE_ATTEMPTS):
                try:
                    (self.api.pause if frozen else self.api.unpause)(self.facts.name)
                except APIError as error:
                    why = error
                state = self.api.inspect_container(self.facts.name)["State"]
                if not state["Running"]:
                    break
                if state["Paused"] == frozen:  # also where the engine says that it was so already
                    return
        except ENGINE_ERRORS as error:
            raise lost(error) from error
        raise lost(why)

    def revive(self) -> None:
        """See the Protocol."""
        channel, name = self.facts.channel, self.facts.name
        if not isinstance(channel, Pipes):
            raise SandboxError("sandbox_lost", f"{name} takes no commands", hint="make a new one")
        try:
            if self.driven:
                self.api.restart(name, timeout=0)
                channel.renew()
            else:
                self._another_driver(channel)
        except ENGINE_ERRORS as error:
            raise lost(error) from error
        if not channel.ping(_START_SECONDS):
            raise SandboxError("sandbox_lost", f"{name} takes no commands any more", hint="make a new one")

    def _another_driver(self, channel: Pipes) -> None:
        """Raises ENGINE_ERRORS, SandboxError.

        The task may be what took the place of the old one, or what reads and floods its pipes: all of it ends first.
        """
        name = self.facts.name
        try:
            EngineChannel(self.api, name, self.user).end_commands()
            self._await_quiet()
            channel.renew()
            start_driver(self.api, name, self.user)
        except (APIError, SandboxError):  # no memory or process is left for it, or it ended: a fresh start gives both
            self.api.restart(name, timeout=0)
            channel.renew()
            start_driver(self.api, name, self.user)
        self.facts.driver.look()

    def _await_quiet(self) -> None:
        """What was killed holds its pipes until it is buried, and the new ones would be taken for closed with it."""
        until = time.monotonic() + _QUIET_SECONDS
        while (self.facts.meter.usage().pids or 0) >= self.facts.idle_pids and time.monotonic() < until:
            time.sleep(0.002)

    def end(self) -> None:
        """See the Protocol. Where its control groups are ours to see, a signal is faster than the engine by far."""
        meter = self.facts.meter
        if isinstance(meter, Groups) and kill_group(meter.folders["pids"], _HERE_SECONDS):
            return
        try:
            kill(self.api, self.facts.name)
        except ENGINE_ERRORS as error:
            raise SandboxError(
                "sandbox_undead", f"the sandbox could not be killed: {error}", hint="restart Docker, then retry"
            ) from error

    def dispose(self) -> None:
        """See the Protocol."""
        self.remove()


def start_driver(api: docker.APIClient, name: str, user: str) -> None:
    """Start the shell that takes commands in a container whose own process is another. Raises ENGINE_ERRORS."""
    made = api.exec_create(name, list(driver_argv()), user=user, stdout=False, stderr=False)
    api.exec_start(made["Id"], detach=True)


def kill(api: docker.APIClient, name: str) -> None:
    """Return when nothing runs in it. Raises ENGINE_ERRORS."""
    try:
        api.kill(name)
    except NotFound:
        return
    except APIError as error:
        if error.status_code not in (409, 500):  # it is not running; older engines say 500
            raise
    api.wait(name, timeout=_END_SECONDS)
    if api.inspect_container(name)["State"]["Running"]:
        raise DockerException("it survived SIGKILL")


def meter_of(api: docker.APIClient, name: str, user: str) -> Meter:
    """Looks at the container's control groups, or asks inside and the engine where they can't be seen."""
    state = api.inspect_container(name)
    groups = groups_of(state["State"]["Pid"], state["Id"])
    if groups is not None:
        return groups
    channel = EngineChannel(api, name, user)

    def ask() -> str:
        return channel.run(Command(argv=("cat", *INSIDE))).stdout.decode("utf-8", "replace")

    return Asked(ask, lambda: usage_of(api, name))


def usage_of(api: docker.APIClient, name: str) -> Usage:
    """Figures from the engine. Source: "Get container stats based on resource usage". Raises SandboxError."""
    try:
        stats = api.stats(name, stream=False, one_shot=True)
    except ENGINE_ERRORS as error:
        raise lost(error) from error
    memory, cpu = stats.get("memory_stats", {}), stats.get("cpu_stats", {}).get("cpu_usage", {})
    used, details = memory.get("usage"), memory.get("stats", {})
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return Usage(
        memory=None if used is None else max(0, used - cache),
        memory_peak=memory.get("max_usage"),
        cpu_seconds=cpu["total_usage"] / 1e9 if "total_usage" in cpu else None,
        pids=stats.get("pids_stats", {}).get("current"),
    )

"""A template and a workspace -> the arguments of a hardened container. Pure.

Nothing of the host's environment comes along, there is no network, no capability and no way to become root; what may be
written lies in sized memory file systems and in the workspace.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from bot.sandbox.channel.pipes import INSIDE, driver_argv
from bot.sandbox.docker.hardware import device_requests
from bot.sandbox.workspace.gitclean import OBJECTS
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Template
from bot.types.task import Limits

HOME = "/home/bot"
LABEL_RUN = "sandpiper.run"
LABEL_OWNER = "sandpiper.owner"
NOBODYS = "0" * 16
"""Run of what was made ahead and that nobody has taken yet."""
VIEWS = "caches"
"""Folder below a sandbox's own, with a name for each cache that it only views: the end of a volume's name."""
KEEPER = "65533:65533"
"""Who the processes are that the task must not end: whoever keeps the wall clock."""
GRACE = 5
"""Seconds between the wall clock of the run and that of the container, which is the last resort."""
_MIB = 1 << 20
_FILE_MAX = 4 << 30
"""Bytes that one file may have."""
_OPEN_MAX = 4096
"""Open files of a process. The engine may not give more than it has itself, and in a container it may have little."""


@dataclass(frozen=True)
class Image:
    """What fills the root."""

    name: str
    """For the engine."""
    path: str = ""
    """PATH of every command; the image's own if empty."""
    mounts: tuple[str, ...] = ()
    """Of the host, read-only, at their own path."""
    hidden: tuple[str, ...] = ()
    """Files in them that are empty for the sandbox."""
    env: Mapping[str, str] | None = None
    """Variables that come with it, besides what the engine sets from the image itself."""


@dataclass(frozen=True)
class Namespaces:
    """Whose network and process numbers a container has: its own, or those that a donor keeps for it."""

    network: str = "none"
    """For the engine: `none`, `bridge`, or `container:NAME`."""
    pid: str = ""
    """`container:NAME`, or nothing for its own."""


@dataclass(frozen=True)
class Shape:
    """All that a container is made from."""

    name: str
    template: Template
    workspace: Workspace
    image: Image
    owner: str
    """Identity of the process that makes it."""
    engine_cpus: int
    namespaces: Namespaces = Namespaces()
    channel: str = ""
    """Folder of the named pipes on this machine, if there are any."""
    downloads: tuple[Mount, ...] = ()
    """Caches of package managers."""

    @property
    def user(self) -> str:
        """Whom the task runs as."""
        return f"{self.workspace.uid}:{self.workspace.gid}"

    @property
    def seconds(self) -> int:
        """How long the container may live."""
        return int(self.template.limits.minutes * 60) + GRACE

    @property
    def driven(self) -> bool:
        """Whether the container's own process takes the commands: somebody else keeps the wall clock then."""
        return bool(self.namespaces.pid and self.channel)


def container_arguments(shape: Shape) -> dict[str, Any]:
    """Keyword arguments of `APIClient.create_container`, host_config still as a dictionary of arguments."""
    image, template = shape.image, shape.template
    shares_network = shape.namespaces.network.startswith("container:")
    return {
        "image": image.name,
        "name": shape.name,
        # An argument list: an entry point of the image's would run in its place otherwise.
        "entrypoint": list(driver_argv()) if shape.driven else ["sleep", str(shape.seconds)],
        "command": [],
        **({} if shares_network else {"hostname": "sandbox"}),  # the donor's
        "user": shape.user if shape.driven else KEEPER,
        "working_dir": "/",
        "environment": {"HOME": HOME, **({"PATH": image.path} if image.path else {})},
        "labels": {LABEL_RUN: template.run_id, LABEL_OWNER: shape.owner},
        "stop_signal": "SIGKILL",
        "healthcheck": {"test": ["NONE"]},
        "host_config": {
            **hardening(template.limits, shape.engine_cpus),
            "network_mode": shape.namespaces.network,
            **({"pid_mode": shape.namespaces.pid} if shape.namespaces.pid else {"init": True}),
            **({"runtime": template.runtime} if template.runtime else {}),
            **({"device_requests": device_requests(template.gpu)} if template.gpu else {}),
            "tmpfs": _memory_file_systems(template, shape.workspace),
            "mounts": _mounts(shape),
        },
    }


def hardening(limits: Limits, engine_cpus: int) -> dict[str, Any]:
    """Keyword arguments of `APIClient.create_host_config`; the engine's default seccomp profile stays on."""
    memory = limits.memory_mb * _MIB
    return {
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "privileged": False,
        "ipc_mode": "private",
        "pids_limit": limits.pids,
        "mem_limit": memory,
        "memswap_limit": memory,  # equal means none: the default allows as much again in swap
        "nano_cpus": int(min(limits.cpus, engine_cpus) * 1e9),
        "shm_size": min(64 * _MIB, memory // 8),
        "ulimits": [
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="fsize", soft=_FILE_MAX, hard=_FILE_MAX),
            Ulimit(name="nofile", soft=_OPEN_MAX, hard=_OPEN_MAX),
        ],
        "log_config": LogConfig(type="none"),
        "restart_policy": {"Name": "no"},
    }


def _memory_file_systems(template: Template, workspace: Workspace) -> dict[str, str]:
    # Less than the memory in all: whoever fills every one still has room for the commands that empty them.
    memory = template.limits.memory_mb
    # With an owner, because runc gives it the mode of the image's own folder, which may be anything.
    owner = f"uid={workspace.uid},gid={workspace.gid}"
    modes = {"/tmp": (max(16, memory // 2), "1777"), HOME: (max(16, memory // 4), "0700")}  # noqa: S108 - not the host's
    modes |= {path: (size, modes.get(path, (0, "0700"))[1]) for path, size in template.tmpfs.items()}
    run = "noexec" if template.noexec else "exec"
    return {path: f"rw,{run},nosuid,nodev,size={size}m,mode={mode},{owner}" for path, (size, mode) in modes.items()}


def _mounts(shape: Shape) -> list[Mount]:
    workspace, image, template = shape.workspace, shape.image, shape.template
    volume = Mount(workspace.root, shape.name, type="volume", no_copy=True, read_only=template.read_only)
    if workspace.kind == "tar":
        return [volume]
    etc = sorted((workspace.folder / "etc").iterdir())
    read_only: dict[str, str] = {mount: mount for mount in image.mounts}
    read_only |= dict.fromkeys(image.hidden, os.devnull)
    read_only |= {f"/etc/{file.name}": str(file) for file in etc}
    read_only |= {f"{OBJECTS}/{number}": str(folder) for number, folder in enumerate(workspace.objects)}
    read_only |= {INSIDE: shape.channel} if shape.channel else {}
    mounts = [Mount(target, source, type="bind", read_only=True) for target, source in read_only.items()]
    mounts += shape.downloads
    if workspace.kind == "overlay":
        return [*mounts, volume]
    return [*mounts, Mount(workspace.root, str(workspace.changed), type="bind", read_only=template.read_only)]


def base_environment(image: Image) -> dict[str, str]:
    """The environment of every command, besides what the image itself sets."""
    base = {"HOME": HOME, "USER": "bot", "LOGNAME": "bot", "LANG": "C.UTF-8", "TERM": "dumb", "TMPDIR": "/tmp"}  # noqa: S108
    return {**base, **({"PATH": image.path} if image.path else {}), **(image.env or {})}

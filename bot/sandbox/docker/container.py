"""A template and a workspace -> the arguments of a hardened container. Pure.

Nothing of the host's environment comes along, there is no network, no capability and no way to become root; what may be
written lies in sized memory file systems and in the workspace.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from bot.sandbox.workspace.gitclean import OBJECTS
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import WORKSPACE, Template
from bot.types.task import Limits

HOME = "/home/bot"
LABEL_RUN = "sandpiper.run"
LABEL_OWNER = "sandpiper.owner"
_KEEPER = "65533:65533"
"""Who the container's own process is: not the task's user, who therefore can't end it, and with it the wall clock."""
_MIB = 1 << 20
_FILE_MAX = 4 << 30
"""Bytes that one file may have."""
_OPEN_MAX = 4096
"""Open files of a process. The engine may not give more than it has itself, and in a container it may have little."""
_GRACE = 5
"""Seconds between the wall clock of the run and that of the container, which is the last resort."""


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


def container_arguments(
    name: str, template: Template, workspace: Workspace, image: Image, *, owner: str, engine_cpus: int
) -> dict[str, Any]:
    """Keyword arguments of `APIClient.create_container`, host_config still as a dictionary of arguments."""
    return {
        "image": image.name,
        "name": name,
        # An argument list: an entry point of the image's would run in its place otherwise.
        "entrypoint": ["sleep", str(int(template.limits.minutes * 60) + _GRACE)],
        "command": [],
        "hostname": "sandbox",
        "user": _KEEPER,
        "working_dir": "/",
        "environment": {"HOME": HOME, **({"PATH": image.path} if image.path else {})},
        "labels": {LABEL_RUN: template.run_id, LABEL_OWNER: owner},
        "stop_signal": "SIGKILL",
        "healthcheck": {"test": ["NONE"]},
        "host_config": {
            **hardening(template.limits, workspace.uid, workspace.gid, engine_cpus),
            "mounts": _mounts(name, workspace, image),
        },
    }


def hardening(limits: Limits, uid: int, gid: int, engine_cpus: int) -> dict[str, Any]:
    """Keyword arguments of `APIClient.create_host_config`; the engine's default seccomp profile stays on."""
    memory = limits.memory_mb * _MIB
    scratch = max(16 * _MIB, memory // 2)
    return {
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "privileged": False,
        "init": True,
        "ipc_mode": "private",
        "pids_limit": limits.pids,
        "mem_limit": memory,
        "memswap_limit": memory,  # equal means none: the default allows as much again in swap
        "nano_cpus": int(min(limits.cpus, engine_cpus) * 1e9),
        "shm_size": min(64 * _MIB, memory // 4),
        "ulimits": [
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="fsize", soft=_FILE_MAX, hard=_FILE_MAX),
            Ulimit(name="nofile", soft=_OPEN_MAX, hard=_OPEN_MAX),
        ],
        "log_config": LogConfig(type="none"),
        "restart_policy": {"Name": "no"},
        "tmpfs": {
            # With an owner, because runc gives it the mode of the image's own folder, which may be anything.
            "/tmp": f"rw,exec,nosuid,nodev,size={scratch},mode=1777,uid={uid},gid={gid}",  # noqa: S108 - not the host's
            HOME: f"rw,exec,nosuid,nodev,size={scratch},mode=0700,uid={uid},gid={gid}",
        },
    }


def _mounts(name: str, workspace: Workspace, image: Image) -> list[Mount]:
    etc = sorted((workspace.folder / "etc").iterdir())
    read_only: dict[str, str] = {mount: mount for mount in image.mounts}
    read_only |= dict.fromkeys(image.hidden, os.devnull)
    read_only |= {f"/etc/{file.name}": str(file) for file in etc}
    read_only |= {f"{OBJECTS}/{number}": str(folder) for number, folder in enumerate(workspace.objects)}
    mounts = [Mount(target, source, type="bind", read_only=True) for target, source in read_only.items()]
    if workspace.kind == "overlay":
        return [*mounts, Mount(WORKSPACE, name, type="volume", no_copy=True)]
    return [*mounts, Mount(WORKSPACE, str(workspace.changed), type="bind")]


def command_environment(image: Image, template: Template, extra: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a command, besides what the image itself sets."""
    base = {"HOME": HOME, "USER": "bot", "LOGNAME": "bot", "LANG": "C.UTF-8", "TERM": "dumb", "TMPDIR": "/tmp"}  # noqa: S108
    return {**base, **({"PATH": image.path} if image.path else {}), **template.env, **extra}


def process_identity(pid: int) -> str | None:
    """Name of a living process that no later one has: boot, PID namespace, PID, start time in ticks; None if dead."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The command's name may hold spaces and parentheses; the 20th field after it is the start.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - one of the kernel's files, not a path of ours
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot}:{namespace}:{pid}:{fields[19]}"


def is_dead(owner: str) -> bool:
    """Whether the process that an owner label names is gone for sure; another PID namespace's is let live."""
    boot, namespace, pid, start = [*owner.split(":"), "", "", ""][:4]
    here = process_identity(os.getpid())
    if here is None or not (pid.isdigit() and start.isdigit()):
        return False
    my_boot, my_namespace = here.split(":")[:2]
    if boot != my_boot:
        return True
    return namespace == my_namespace and process_identity(int(pid)) != owner

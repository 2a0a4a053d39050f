"""A template's GPU and runtime -> arguments of the container, or an error that says what the engine lacks."""

from collections.abc import Mapping
from typing import Any

from docker.types import DeviceRequest

from bot.errors import SandboxError

_TOOLKIT = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"


def device_requests(gpu: bool) -> list[DeviceRequest]:
    """For `create_host_config`: all GPUs of the machine, or none."""
    return [DeviceRequest(count=-1, capabilities=[["gpu"]])] if gpu else []


def gpu_environment(gpu: bool) -> dict[str, str]:
    """What the NVIDIA runtime reads in the container's environment: everything that computing needs, no display."""
    return {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"} if gpu else {}


def check_runtime(runtime: str | None, info: Mapping[str, Any]) -> None:
    """Raises SandboxError `runtime_unknown`, which lists what the engine has. `info` is the engine's `GET /info`."""
    known = sorted(info.get("Runtimes") or {})
    if runtime is not None and runtime not in known:
        raise SandboxError(
            "runtime_unknown",
            f"the engine has no runtime {runtime!r}",
            hint=f"one of: {', '.join(known) or 'none'}; others are registered in the engine's daemon.json",
        )


def hardware_error(text: str, info: Mapping[str, Any]) -> SandboxError | None:
    """The engine's refusal to create or start a container as an error of ours; None when it is about something else.

    Whether there is a GPU is told by the start alone: the engine finds NVIDIA's hook also where no runtime is named.
    """
    lower = text.lower()
    if "could not select device driver" in lower or "nvidia-container" in lower or "cdi device" in lower:
        known = ", ".join(sorted(info.get("Runtimes") or {})) or "none"
        return SandboxError(
            "gpu_unavailable",
            f"the engine can't give the sandbox a GPU (its runtimes: {known}): {text[:500]}",
            hint=f"install NVIDIA's container toolkit ({_TOOLKIT}), or leave `gpu` out",
        )
    if "unknown runtime specified" in lower or "invalid runtime name" in lower:
        return SandboxError(
            "runtime_unknown",
            f"the engine does not have that runtime: {text[:500]}",
            hint=f"one of: {', '.join(sorted(info.get('Runtimes') or {}))}",
        )
    return None

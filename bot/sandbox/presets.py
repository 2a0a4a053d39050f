"""A word such as `heavy` -> what a sandbox may use, and a warning for whoever asks for far more than that.

`Limits` and `Template` are limited by default as well: a preset is another size, never the difference between a
sandbox with limits and one without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bot.errors import ConfigurationError
from bot.types.network import Network
from bot.types.sandbox import Template
from bot.types.task import Limits

DEFAULT = "standard"
_FAR = 4
"""How many times its preset somebody may ask for without being warned."""


@dataclass(frozen=True)
class Preset:
    """A size of sandboxes."""

    name: str
    """What people type."""
    description: str
    """What it is for, one line."""
    memory_mb: int
    """MiB."""
    cpus: float
    """Processors."""
    disk_mb: int
    """MiB."""
    command_seconds: float
    """Wall clock of a command, in seconds."""
    gpu: bool = False
    """All GPUs of the machine."""
    template: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the template."""

    def limits(self, limits: Limits | None = None) -> Limits:
        """Its size over other limits (steps, price, wall clock of the run), which stay as they are."""
        return (limits or Limits()).changed(
            memory_mb=self.memory_mb, cpus=self.cpus, disk_mb=self.disk_mb, command_seconds=self.command_seconds
        )

    def applied(self, template: Template) -> Template:
        """The template in this size."""
        return template.changed(
            limits=self.limits(template.limits), **({"gpu": True} if self.gpu else {}), **self.template
        )


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset("light", "scripts, linters and formatters", 128, 0.25, 1_024, 300),
            Preset("standard", "build and tests of a usual project", 512, 1, 1_024, 300),
            Preset("heavy", "large compilations and test suites", 2_048, 4, 4_096, 1_800),
            Preset("ml", "training and inference on the machine's GPUs", 8_192, 8, 16_384, 3_600, gpu=True),
            Preset(
                "production",
                "strangers' code on a server: no network, 10 Mbit/s where one is allowed, 100 MiB of /tmp",
                *(512, 1, 1_024, 300),
                # Nothing else to say: no user of ours is root, every capability is dropped, the root is read-only and
                # seccomp (AppArmor, where the engine has it) is on in every sandbox.
                template={"network": Network(mode="none", bytes_per_second=1_250_000), "tmpfs": {"/tmp": 100}},  # noqa: S108
            ),
        )
    }
)
"""Sizes by name."""


def preset(name: str) -> Preset:
    """A preset by name. Raises ConfigurationError `preset_unknown`, which lists the choices."""
    found = PRESETS.get(name)
    if found is None:
        choices = ", ".join(f"{each.name} ({each.description})" for each in PRESETS.values())
        raise ConfigurationError("preset_unknown", f"there is no preset {name[:60]!r}", hint=f"one of: {choices}")
    return found


def overallocation(
    limits: Limits, *, host_memory_mb: float, host_cpus: float, than: Preset = PRESETS[DEFAULT]
) -> str | None:
    """A warning when somebody asks for more than the machine has, or far more than such a task needs; else None."""
    asked = f"{limits.memory_mb:,} MB and {limits.cpus:g} cpus"
    if limits.memory_mb > host_memory_mb or limits.cpus > host_cpus:
        has = f"{host_memory_mb:,.0f} MB and {host_cpus:g} cpus"
        return f"the sandbox asks for {asked}, the machine has {has}, which is all it can get"
    if limits.memory_mb > _FAR * than.memory_mb or limits.cpus > _FAR * than.cpus:
        usual = f"{than.memory_mb:,} MB and {than.cpus:g} cpus"
        return f"the sandbox asks for {asked}, more than {_FAR} times the preset {than.name} ({usual})"
    return None

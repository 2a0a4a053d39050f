"""The name of an adapter -> the adapter: a built-in table, then installed entry points."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from bot.errors import PluginError

BUILTIN: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "sandboxes": MappingProxyType(
            {
                "auto": "bot.sandbox.select:auto",
                "docker": "bot.sandbox.docker.provider:DockerProvider",
                "bubblewrap": "bot.sandbox.bubblewrap.provider:BubblewrapProvider",
                "local": "bot.sandbox.local:LocalProvider",
            }
        ),
        "runtimes": MappingProxyType(
            {
                "builtin": "bot.agent.runtimes.builtin:BuiltinRuntime",
                "command": "bot.agent.runtimes.command:CommandRuntime",
            }
        ),
    }
)
"""Kind -> name -> `module:attribute`. Entry points of other packages are in the group `sandpiper.<kind>`."""


def names_of(kind: str) -> tuple[str, ...]:
    """Every name that can be chosen, sorted."""
    return tuple(sorted({*BUILTIN[kind], *(each.name for each in entry_points(group=f"sandpiper.{kind}"))}))


def load_adapter(kind: str, name: str) -> Any:
    """The class or function behind a name. Raises PluginError that lists the choices."""
    if name in BUILTIN[kind]:
        module, _, attribute = BUILTIN[kind][name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    for each in entry_points(group=f"sandpiper.{kind}", name=name):
        try:
            return each.load()
        except ImportError as error:
            raise PluginError(
                "plugin_not_importable",
                f"{kind} adapter {name!r} is installed but can't be imported: {error}",
                hint=f"install its dependencies: pip install '{each.dist.name if each.dist else name}[all]'",
            ) from error
    raise PluginError(
        "plugin_unknown",
        f"there is no {kind} adapter named {name!r}",
        hint=f"choose one of: {', '.join(names_of(kind))}",
    )

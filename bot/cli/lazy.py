"""A table of commands -> a click group that imports a command's module when it is called, not before."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True)
class Entry:
    """One command that is not imported yet."""

    module: str
    """Where it is defined."""
    summary: str
    """Its line in the list of commands."""
    hidden: bool = False
    """Whether the list leaves it out."""
    attribute: str = ""
    """What it is called there; the command's name if empty, which can be a word of Python's."""


class LazyGroup(click.Group):
    """A group whose help needs no command's module."""

    def __init__(self, *args: Any, table: Mapping[str, Entry], **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(entry.module), entry.attribute or cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module} has no click command for {cmd_name}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, entry.summary) for name, entry in self.table.items() if not entry.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

"""`sandpiper sandbox` -> the list of its commands; each is imported when it is called."""

from __future__ import annotations

import click

from bot.cli.lazy import Entry, LazyGroup

COMMANDS = {
    "run": Entry("bot.cli.sandbox_run", "Run one command in a new sandbox, show what it changed, remove it."),
    "create": Entry("bot.cli.sandbox_run", "Make a sandbox that stays until its time is over; print its id."),
    "exec": Entry("bot.cli.sandbox_use", "Run a command in a sandbox that is there.", attribute="exec_"),
    "cp": Entry("bot.cli.sandbox_use", "Copy files between this machine and a sandbox."),
    "list": Entry("bot.cli.sandbox_look", "List the sandboxes of this machine.", attribute="list_"),
    "inspect": Entry("bot.cli.sandbox_look", "Show all that is known of one: record, limits, health."),
    "stats": Entry("bot.cli.sandbox_look", "Show what sandboxes use."),
    "pause": Entry("bot.cli.sandbox_use", "Freeze everything in a sandbox."),
    "resume": Entry("bot.cli.sandbox_use", "Let a frozen sandbox go on."),
    "stop": Entry("bot.cli.sandbox_keep", "Remove sandboxes with all that they hold."),
    "gc": Entry("bot.cli.sandbox_keep", "Remove what dead processes left behind, nobody else's."),
    "pull": Entry("bot.cli.sandbox_keep", "Fetch images ahead."),
    "cache": Entry("bot.cli.sandbox_keep", "List and clear what package managers downloaded."),
    "doctor": Entry("bot.cli.sandbox_doctor", "Prove the isolation on this machine: try to break out."),
}
"""In the order in which a newcomer needs them."""


@click.group(cls=LazyGroup, table=COMMANDS)
def sandbox() -> None:
    """Run commands in sandboxes of this machine, and look after them."""

"""`sandpiper` -> the list of its commands. Imports click alone, so that help is there at once."""

from __future__ import annotations

import importlib

import click

from bot import __version__
from bot.cli.lazy import Entry, LazyGroup

COMMANDS = {
    "demo": Entry("bot.cli.demo", "Do the main job end to end on a sample: no account, no key."),
    "run": Entry("bot.cli.run", "Do a task in a checkout, or in a repository on GitHub."),
    "handle": Entry("bot.cli.handle", "Put a webhook's payload through the door."),
    "triage": Entry("bot.cli.triage", "Judge issues and pull requests, and measure how well that goes."),
    "init": Entry("bot.cli.init", "Install a workflow into a repository."),
    "config": Entry("bot.cli.config", "Check, show and describe a repository's policy."),
    "app": Entry("bot.cli.app", "Create the GitHub App that the bot acts as."),
    "serve": Entry("bot.cli.serve", "Receive an App's webhooks, and do what they ask for."),
    "doctor": Entry("bot.cli.doctor", "Say what is missing on this machine, and how to mend it."),
    "sandbox": Entry("bot.cli.sandbox", "Run commands in sandboxes of this machine, and look after them."),
    "runs": Entry("bot.cli.runs", "List and show runs of this machine."),
    "audit": Entry("bot.cli.audit", "Verify and show the log of what sandboxes did."),
    "action": Entry("bot.action", "What the GitHub Action calls.", hidden=True),
}
"""In the order in which a newcomer needs them."""


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sandpiper")
@click.option("--debug", is_flag=True, help="Log everything, and show where an error came from.")
def sandpiper(debug: bool) -> None:
    """A GitHub bot that judges events, runs tasks in a sandbox and publishes what came out.

    Settings come from variables SANDPIPER_<NAME>, for instance SANDPIPER_TOKEN.
    """
    # By name: it needs the settings and with them all values, which `--help` has no time for.
    importlib.import_module("bot.cli.logs").start(debug=debug)

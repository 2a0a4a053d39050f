"""`sandpiper config` -> what a repository's policy may say, whether it says it right, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import click

from bot.cli.output import json_option, plain, print_json, say, table
from bot.errors import ConfigurationError
from bot.settings import Settings
from bot.triage.policy import Policy, parse_policy, policy_schema
from bot.triage.tasks import tasks_of

DEFAULT = Settings.model_fields["policy"].default


@click.group()
def config() -> None:
    """Check, show and describe a repository's policy."""


@config.command()
@json_option
def schema(as_json: bool) -> None:
    """Print the JSON schema of the policy, for editors (it is JSON with and without --json)."""
    print_json(policy_schema())


@config.command()
@click.argument("path", type=click.Path(path_type=Path), default=DEFAULT)
@json_option
def check(path: Path, as_json: bool) -> None:
    """Name file, line and field of every mistake in PATH; exit code 2 when there is one."""
    policy = read_policy(path)
    if as_json:
        print_json({"ok": True, "file": str(path), "mistakes": [], "tasks": sorted(tasks_of(policy))})
    else:
        say(f"{path}: no mistakes")


@config.command()
@click.argument("path", type=click.Path(path_type=Path), default=DEFAULT)
@json_option
def show(path: Path, as_json: bool) -> None:
    """Show the tasks that a repository has: the built-in ones, with what PATH changes and adds."""
    tasks = tasks_of(read_policy(path, must_exist=path != Path(DEFAULT)))
    if as_json:
        print_json({"file": str(path), "tasks": plain(tasks)})
        return
    head = ("task", "runtime", "permission", "may publish", "what it does")
    rows = [(t.name, t.runtime, t.permission, ",".join(t.outputs), t.description) for t in tasks.values()]
    say(table([head, *rows]))


def read_policy(path: Path, *, must_exist: bool = True) -> Policy:
    """The policy in a file. Raises PolicyError, and ConfigurationError where it can't be read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if not must_exist:
            return parse_policy(None, str(path))
        hint = "an absent file is fine: the built-in tasks need none; `sandpiper init --policy` writes a first one"
        raise ConfigurationError("policy_missing", f"there is no file {path}", hint=hint) from None
    except OSError as error:
        hint = "name a file that you may read"
        raise ConfigurationError("policy_unreadable", f"{path}: {error.strerror or error}", hint=hint) from None
    return parse_policy(data, str(path))

"""`sandpiper runs` -> what the store on this machine knows about runs."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.console import Console

from bot.cli.output import json_option, plain, print_json, say, table
from bot.errors import ConfigurationError
from bot.forge.render.story import step_summary
from bot.settings import load_settings
from bot.store.folder import FolderStore
from bot.telemetry.view import show_run
from bot.types.decision import Go
from bot.types.run import Run

LOG = "commands.log"
"""The artifact with the output of every command."""


@click.group()
def runs() -> None:
    """List and show runs of this machine."""


@runs.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@json_option
def list_(limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    found = _store().list(limit=limit)
    if as_json:
        print_json({"runs": plain(found)})
    elif not found:
        say(f"no runs in {load_settings(os.environ).state}")
    else:
        say(table([("run", "started", "repository", "subject", "task", "state"), *map(_row, found)]))


@runs.command()
@click.argument("run_id", metavar="ID")
@json_option
def show(run_id: str, as_json: bool) -> None:
    """Show one run; ID may be the beginning of it. With --json it is the whole record."""
    run = _find(run_id)
    if as_json:
        print_json(run)
        return
    summary = step_summary(run) if run.result else ""
    show_run(Console(highlight=False), run, folder=_store().folder(run.run_id), comment=summary)


@runs.command()
@click.argument("run_id", metavar="ID")
@json_option
def logs(run_id: str, as_json: bool) -> None:
    """Print the output of the commands that a run executed."""
    run = _find(run_id)
    path = _store().folder(run.run_id) / LOG
    if not path.is_file():
        hint = f"see `sandpiper runs show {run.run_id}`; only a run that reached the sandbox has a log"
        raise ConfigurationError("no_log", f"run {run.run_id} has no log", hint=hint)
    text = path.read_text(encoding="utf-8", errors="replace")
    if as_json:
        print_json({"run_id": run.run_id, "file": str(path), "log": text})
    else:
        say(text)


def _store() -> FolderStore:
    return FolderStore(Path(load_settings(os.environ).state))


def _find(run_id: str) -> Run:
    run = _store().load(run_id.lower())
    if run is None:
        raise ConfigurationError("no_such_run", f"there is no run {run_id!r}", hint="see `sandpiper runs list`")
    return run


def _row(run: Run) -> tuple[str, ...]:
    subject = run.event.subject
    if subject is None and isinstance(run.decision, Go):
        subject = run.decision.spec.subject
    where = f"#{subject.number} {subject.title}" if subject else "-"
    task = run.decision.spec.task.name if isinstance(run.decision, Go) else run.decision.kind if run.decision else "-"
    started = run.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
    return run.run_id, started, run.event.repository.full_name, where[:50], task, run.conclusion or run.status

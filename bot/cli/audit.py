"""`sandpiper audit` -> whether the log of what sandboxes did is whole, and what it says."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bot.cli.output import json_option, print_json, say, table
from bot.settings import load_settings
from bot.telemetry.audit import audit_path, read_audit, verify

BROKEN = 1
"""Exit code when the log is not what was written."""
BESIDE = frozenset({"at", "event", "action", "sandbox_id", "run_id", "provider", "actor", "previous", "hash", "ok"})
"""Facts that have a column of their own, or none."""
PATH = click.Path(path_type=Path, dir_okay=False)


@click.group()
def audit() -> None:
    """Verify and show the log of what sandboxes did."""


@audit.command("verify")
@click.argument("path", type=PATH, required=False)
@click.option("--head", metavar="HASH", help="Hash of the last line as it was once remembered.")
@json_option
@click.pass_context
def verify_command(context: click.Context, path: Path | None, head: str | None, as_json: bool) -> None:
    """Follow the chain of hashes through PATH, this machine's log if it is left out.

    Exit code 1 when a line was changed, removed, moved or cut off. A missing end shows only against --head: keep the
    hash that this command prints where nobody who can write the log can change it.
    """
    place = _place(path)
    verdict = verify(place, head=head.strip().lower() if head else None)
    if as_json:
        print_json({"file": str(place), **verdict.model_dump()})
    else:
        say(f"{place}: {verdict.reason or 'whole'}")
        for each in verdict.bad[1:]:
            say(f"  line {each.line}: {each.reason}")
        say(f"lines  {verdict.lines}")
        say(f"head   {verdict.head}")
        if verdict.ok and head is None:
            say("lines missing at the end can't be noticed without --head")
    context.exit(0 if verdict.ok else BROKEN)


@audit.command()
@click.argument("path", type=PATH, required=False)
@click.option("--run", "run_id", default="", metavar="ID", help="Only this run; the beginning of its id is enough.")
@click.option("--failed", is_flag=True, help="Only what went wrong or was denied.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="The last ones.")
@json_option
def show(path: Path | None, run_id: str, failed: bool, limit: int, as_json: bool) -> None:
    """Show what happened, oldest first. It says nothing about whether the log is whole: `verify` does."""
    wanted = (
        each
        for each in read_audit(_place(path))
        if str(each.get("run_id", "")).startswith(run_id.lower()) and not (failed and each.get("ok", True) is True)
    )
    records = list(deque(wanted, maxlen=limit))
    if as_json:
        print_json({"records": records})
    elif records:
        say(table([("at", "run", "sandbox", "event", "result", "facts"), *map(_row, records)]))
    else:
        say("nothing was recorded")


def _place(path: Path | None) -> Path:
    return path or audit_path(load_settings(os.environ))


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    ok = record.get("ok")
    result = "" if ok is None else "ok" if ok is True else "failed"
    facts = " ".join(f"{name}={value}" for name, value in record.items() if name not in BESIDE and value != "")
    names = ("at", "run_id", "sandbox_id", "event")
    at, run, sandbox, event = (str(record.get(name, "")) or "-" for name in names)
    return at[:23], run[:8], sandbox[-12:], event, result or "-", facts[:200]

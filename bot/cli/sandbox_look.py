"""`sandpiper sandbox list`, `inspect`, `stats` -> what there is, how it was made, what it uses; nothing is changed."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import click

from bot.cli.output import json_option, plain, print_json, say, table
from bot.cli.sandbox_reach import Reached, find, inventory, reach, warn
from bot.cli.sandbox_view import LIST_COLUMNS, STATS_COLUMNS, duration, list_row, rich_table, stats_row
from bot.errors import SandpiperError
from bot.settings import load_settings
from bot.telemetry.display import is_log
from bot.types.sandbox import SandboxInfo, SandboxStats

SECONDS = 1.0
"""Between two looks."""
FIRST = 0.25
"""Seconds over which the share of a processor is taken when there is only one look."""
_LIMITS = ("minutes", "memory_mb", "cpus", "pids", "disk_mb", "command_seconds", "output_bytes")
"""Those that are the sandbox's own; the others are the agent's."""
LISTED = 10_000
"""Files that are counted."""


@click.command("list")
@click.option("--orphans", is_flag=True, help="Only those that nobody can want any more.")
@json_option
def list_(orphans: bool, as_json: bool) -> None:
    """List the sandboxes of this machine, whichever process and provider made them, oldest first."""
    found, wrong = inventory(load_settings(os.environ))
    shown = [each for each in found if each.orphan or not orphans]
    if as_json:
        print_json({"sandboxes": plain(tuple(shown)), "problems": list(wrong)})
        return
    for problem in wrong:
        warn(problem)
    if not shown:
        say("no sandboxes" if not orphans else "no orphans")
        return
    print_table(LIST_COLUMNS, [list_row(each, owner_of(each)) for each in shown])


def owner_of(info: SandboxInfo) -> str:
    """Who wants it, in a word."""
    if info.orphan:
        return "orphan"
    _, note = find(load_settings(os.environ), info.id)
    return f"process {note.owner.split(':')[2]}" if note.owner.count(":") == 3 else "detached"


@click.command()
@click.option("--files", is_flag=True, help="List the files of its workspace.")
@click.argument("sandbox_id", metavar="ID")
@json_option
def inspect(sandbox_id: str, files: bool, as_json: bool) -> None:
    """Show all that is known of one: how it was made, its limits, its health, what it uses. No value of a variable."""
    with reach(sandbox_id) as reached:
        facts = _facts(reached, files)
    if as_json:
        print_json(facts)
        return
    for name, value in _flat(facts):
        say(f"{name:<24}{value}")


@click.command()
@click.option("--watch", is_flag=True, help="Look every second until it is interrupted.")
@click.argument("sandbox_id", metavar="[ID]", required=False)
@json_option
def stats(sandbox_id: str | None, watch: bool, as_json: bool) -> None:
    """Show what sandboxes use: memory, processor, processes, disk, network.

    With --watch and --json, one JSON object a line for every look.
    """
    ended = (KeyboardInterrupt,) if watch else ()
    with ExitStack() as stack, contextlib.suppress(*ended):
        reached = [stack.enter_context(reach(each)) for each in _running(sandbox_id)]
        looks = _looks(reached, SECONDS if watch else FIRST)
        next(looks)  # the share of a processor is what happened since the look before
        if not watch:
            _print(reached, next(looks), as_json)
            return
        if as_json:
            for each in looks:
                click.echo(json.dumps(_as_objects(reached, each)))
        else:
            _live(reached, looks)


def _running(sandbox_id: str | None) -> list[str]:
    if sandbox_id is not None:
        return [sandbox_id]
    return [each.id for each in inventory(load_settings(os.environ))[0] if each.state != "stopped"]


Look = list[SandboxStats | str]
"""In the order of the sandboxes; a text where there is none."""


def _looks(reached: Sequence[Reached], seconds: float) -> Iterator[Look]:
    while True:
        look: Look = []
        for each in reached:
            try:
                look.append(each.sandbox.stats() if each.sandbox else "stopped")
            except SandpiperError as error:
                look.append(error.code)
        yield look
        time.sleep(seconds)


def _rows(reached: Sequence[Reached], look: Look) -> list[tuple[str, ...]]:
    return [
        (each.info.id, used) if isinstance(used, str) else stats_row(each.info.id, used, _limits(each))
        for each, used in zip(reached, look, strict=True)
    ]


def _limits(reached: Reached) -> Any:
    return reached.note.template.limits if reached.note.template else None


def _print(reached: Sequence[Reached], look: Look, as_json: bool) -> None:
    if as_json:
        print_json(_as_objects(reached, look))
    elif reached:
        print_table(STATS_COLUMNS, _rows(reached, look))
    else:
        say("no sandboxes")


def _as_objects(reached: Sequence[Reached], look: Look) -> dict[str, Any]:
    rows = [
        {"id": each.info.id, "provider": each.info.provider, **({"error": used} if isinstance(used, str) else {})}
        | ({} if isinstance(used, str) else {"stats": plain(used)})
        for each, used in zip(reached, look, strict=True)
    ]
    return {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "sandboxes": rows}


def _live(reached: Sequence[Reached], looks: Iterator[Look]) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    if is_log(console, os.environ):
        for look in looks:
            say(table(_filled(_rows(reached, look))))
        return
    with Live(console=console, auto_refresh=False) as live:
        for look in looks:
            live.update(rich_table(STATS_COLUMNS, _rows(reached, look)), refresh=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """On a terminal within its width, elsewhere in columns, a line each."""
    from rich.console import Console

    console = Console(highlight=False)
    if is_log(console, os.environ):
        say(table(_filled([columns, *rows])))
    else:
        console.print(rich_table(columns, rows))


def _filled(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Rows that are all as long as the longest."""
    most = max(map(len, rows), default=0)
    return [(*row, *("",) * (most - len(row))) for row in rows]


def _facts(reached: Reached, files: bool) -> dict[str, Any]:
    info, note, sandbox = reached.info, reached.note, reached.sandbox
    template = note.template
    facts: dict[str, Any] = {"sandbox": plain(info), "owner": owner_of(info), "record": plain(note.record)}
    if template is not None:
        facts["limits"] = {name: value for name, value in plain(template.limits).items() if name in _LIMITS}
        facts["network"] = plain(template.network)
        facts["checkout"] = template.checkout
        facts["env_names"] = sorted(template.env)
    facts["health"] = "nothing runs in it any more" if sandbox is None else sandbox.health()
    if info.state == "paused":
        facts["health"] = "it is paused"
    if sandbox is not None and info.state == "running":
        with contextlib.suppress(SandpiperError):
            facts["stats"] = plain(sandbox.stats().changed(cpu_percent=None))  # that takes two looks
            names = sandbox.list_files(limit=LISTED)
            facts["files"] = list(names) if files else f"{len(names)}{' or more' if len(names) == LISTED else ''}"
    return facts


def _flat(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    moments = ("created_at", "ends_at")
    for name, value in facts.items():
        if isinstance(value, dict):
            for key, each in value.items():
                if key in moments:
                    yield f"{name}.{key}", _moment(str(each))
                elif each not in (None, [], {}, ""):
                    yield f"{name}.{key}", ", ".join(map(str, each)) if isinstance(each, list) else str(each)
        elif isinstance(value, list):
            yield name, ", ".join(map(str, value)) or "none"
        else:
            yield name, ("well" if name == "health" else "none") if value is None else str(value)


def _moment(iso: str) -> str:
    moment = datetime.fromisoformat(iso.replace("Z", "+00:00"))
    seconds = (moment - datetime.now(UTC)).total_seconds()
    told = f"in {duration(seconds)}" if seconds > 0 else f"{duration(-seconds)} ago"
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S} ({told})"

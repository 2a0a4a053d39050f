"""What sandboxes are, use and did -> lines and tables for people, as wide as their terminal."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bot.protocols import Stream
from bot.sandbox.folder import PREFIX
from bot.telemetry.display import in_github_job
from bot.telemetry.lines import clean, inert
from bot.types.sandbox import Changes, ExecResult, FileChange, SandboxInfo, SandboxStats
from bot.types.task import Limits

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 60
"""Characters of a command in a sentence about it."""
LISTED = 40
"""Changed files that are listed."""
_MARKS = {"added": "A", "modified": "M", "deleted": "D"}
ID_WIDTH = 25
"""Of an id without its beginning."""
LIST_COLUMNS = ("id", "provider", "state", "age", "ends in", "image", "owner")
STATS_COLUMNS = ("id", "MiB memory", "peak", "cpu %", "pids", "MiB disk", "MiB net")


def print_raw(stream: Stream, data: bytes) -> None:
    """A command's output as it is; in a job of GitHub's, whose runner obeys lines of output, made inert."""
    target = sys.stdout if stream == "stdout" else sys.stderr
    if in_github_job(os.environ):
        for line in data.decode("utf-8", "replace").splitlines():
            click.echo(inert(line), file=target)
        return
    raw = getattr(target, "buffer", None)
    if raw is None:
        target.write(data.decode("utf-8", "replace"))
    else:
        raw.write(data)
    target.flush()


def as_text(result: ExecResult) -> dict[str, Any]:
    """A result for JSON, its output as text."""
    fields = result.model_dump(mode="json", exclude={"stdout", "stderr"})
    return {
        **fields,
        "stdout": result.stdout.decode("utf-8", "replace"),
        "stderr": result.stderr.decode("utf-8", "replace"),
    }


def one_line(argv: Sequence[str]) -> str:
    """A command as one short line."""
    text = " ".join(shlex.join(argv).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def ending_words(result: ExecResult, limits: Limits) -> str:
    """How a command ended, in a sentence."""
    took = f"after {result.seconds:.1f} s"
    match result.ending:
        case "exited":
            return f"exit code {result.exit_code} {took}"
        case "timed_out":
            return f"timed out {took}; everything that it had started was killed"
        case "oom":
            return f"out of memory {took}: the limit is {limits.memory_mb} MiB"
        case "pids":
            return f"out of processes {took}: the limit is {limits.pids}"
        case "disk":
            return f"out of disk {took}: the limit is {limits.disk_mb} MiB"
        case "cancelled":
            return f"cancelled {took}"
        case "lost":
            return f"lost {took}: the sandbox ended under it"
        case _:
            return f"killed {took}"


def hint_for(result: ExecResult, limits: Limits) -> str:
    """What to try next; empty where the command ended by itself."""
    match result.ending:
        case "oom":
            return f"give it more, such as --memory {max(1024, 2 * limits.memory_mb)}m"
        case "pids":
            return f"give it more, such as --pids {2 * limits.pids}, or start fewer at once (make -j2)"
        case "disk":
            return f"give it more, such as --disk {2 * limits.disk_mb}m"
        case "timed_out":
            return f"give it more time, such as --seconds {max(60, 2 * result.seconds):.0f}"
        case _:
            return ""


def changed_lines(changes: Changes) -> Iterator[str]:
    """What changed, a line for each file."""
    files = changes.files
    if not files and not changes.skipped:
        yield "-- changed: nothing"
        return
    added, deleted = (sum(getattr(each, name) or 0 for each in files) for name in ("added", "deleted"))
    yield f"-- changed: {len(files)} file{'s' if len(files) != 1 else ''}, +{added} -{deleted} lines"
    for change in files[:LISTED]:
        yield f"   {_MARKS[change.kind]} {clean(change.path)}{_counts(change)}"
    if len(files) > LISTED:
        yield f"   ... {len(files) - LISTED} more"
    for line in changes.skipped[:LISTED]:
        yield f"   left out: {clean(line)}"
    if not changes.complete:
        yield "   incomplete: a limit cut the collection short"


def _counts(change: FileChange) -> str:
    if change.added is None or change.deleted is None:
        return f"  {change.new.size:,} bytes" if change.new else ""
    return f"  +{change.added} -{change.deleted}"


def list_row(info: SandboxInfo, owner: str) -> tuple[str, ...]:
    """One sandbox in a list."""
    now = datetime.now(UTC)
    age, left = (now - info.created_at).total_seconds(), (info.ends_at - now).total_seconds()
    return (
        info.id,
        info.provider,
        info.state,
        duration(age),
        duration(left) if left > 0 else "over",
        info.image,
        owner,
    )


def stats_row(name: str, used: SandboxStats, limits: Limits | None) -> tuple[str, ...]:
    """What one uses."""
    allowed = limits or Limits()
    network = [each for each in (used.received_mb, used.sent_mb) if each is not None]
    return (
        name,
        f"{_figure(used.memory_mb)}/{allowed.memory_mb}",
        _figure(used.memory_peak_mb),
        _figure(used.cpu_percent),
        f"{'?' if used.pids is None else used.pids}/{allowed.pids}",
        f"{_figure(used.disk_mb)}/{allowed.disk_mb}",
        f"{sum(network):.1f}" if network else "?",
    )


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"


def duration(seconds: float) -> str:
    """`42s`, `7m`, `3h05m`, `2d04h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d{hours % 24:02}h"


def rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """For a terminal: ids without what all have in common, which may be left out when one is named."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for number, name in enumerate(columns):
        made.add_column(name, no_wrap=name != "image", overflow="fold", min_width=ID_WIDTH if number == 0 else None)
    for row in rows:
        made.add_row(*(Text(clean(each.removeprefix(PREFIX))) for each in row))
    return made

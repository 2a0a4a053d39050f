"""How fast the sandbox is -> tables against the raw docker SDK, plain subprocesses and other sandboxes, with goals.

Usage: python bench/sandbox.py [--rounds 10] [--only ROW]... [--peers PYTHON] [--markdown FILE] [--sessions N]

Peers: `python -m venv peers && peers/bin/pip install -r bench/peers.txt`, then `--peers peers/bin/python`.
Every row measures all its subjects in one run, round by round, in an order that turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import commands
import network
import overhead
import sessions
import starts
import workspaces
from rows import Row, limit, measure, table, verdict
from stand import Stand, stand

ROWS: dict[str, Callable[[Stand], Row]] = {
    "1": starts.cold,
    "2": starts.pool,
    "3": commands.one,
    "4": commands.flood,
    "5.both": partial(commands.files, what="both"),
    "5.write": partial(commands.files, what="write"),
    "5.read": partial(commands.files, what="read"),
    **{f"6.{size}": partial(workspaces.prepare, size=size) for size in workspaces.SIZES},
    "6.docker": partial(workspaces.start, kind="docker"),
    "6.bubblewrap": partial(workspaces.start, kind="bubblewrap"),
    "6.patch": workspaces.patch,
    "7": starts.close,
    "8": starts.bubblewrap,
    "9": starts.many,
    "11.request": network.latency,
    "11.body": network.throughput,
    "12.work": overhead.work,
}


def main() -> int:
    """Measure and print; 1 when a goal that was measured is not reached."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with stand(options.peers) as ready:
        parts: list[str] = []
        if options.sessions:
            parts += [_about(ready), sessions.held(ready, options.sessions)]
            missed = False
        else:
            rows = [_row(ready, make, options.rounds) for key, make in ROWS.items() if _wanted(key, options.only)]
            parts += [table(row) for row in rows]
            parts.append(overhead.overhead(rows))
            if _wanted("12.scale", options.only):
                parts.append(sessions.scaling(ready))
            parts.append(_goals(rows))
            parts.insert(0, _about(ready))
            missed = any(verdict(row, goal).startswith("NO") for row in rows for goal in row.goals)
    text = "\n".join(part for part in parts if part)
    print(text)
    if options.markdown:
        options.markdown.write_text(text)
    return int(missed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds of each row, after one that warms")
    parser.add_argument("--only", action="append", metavar="ROW", help="such as 3 or 6.patch; may be given again")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="has bench/peers.txt installed")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there too")
    parser.add_argument("--sessions", type=int, metavar="N", help="only hold N sandboxes open, and tell what they cost")
    return parser.parse_args()


def _row(ready: Stand, make: Callable[[Stand], Row], rounds: int) -> Row:
    row = make(ready)
    print(f"row {row.key}: {row.title}", file=sys.stderr)
    with row.stack:
        measure(row, rounds)
    return row


def _wanted(key: str, only: list[str] | None) -> bool:
    return only is None or any(key == each or key.startswith(f"{each}.") for each in only)


def _about(ready: Stand) -> str:
    info = ready.client.info()
    words = [f"Linux {platform.release()}, {os.cpu_count()} processors, Python {platform.python_version()}"]
    words.append(f"Docker {info['ServerVersion']}, {info['Driver']}, cgroup v{info.get('CgroupVersion', '1')}")
    words.append(ready.peers_note)
    remarks = [f"- {each}" for each in ready.ours.remarks]
    return "\n".join(["; ".join(words) + ".", "", *remarks, ""])


def _goals(rows: list[Row]) -> str:
    lines = ["| goal | subject | limit | reached |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {row.key}: {row.title} | {goal.subject} | {limit(row, goal)} | {verdict(row, goal)} |"
        for row in rows
        for goal in row.goals
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

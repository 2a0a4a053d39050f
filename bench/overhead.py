"""The other rows' figures -> what a sandbox costs over none, operation by operation, and a real piece of work."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from floors import succeeded
from network import HOST as DIRECT
from network import PYTHON
from ours import LIMITS, Kind
from rows import Goal, Once, Row, Sample, timer
from stand import Stand

from bot.types.sandbox import ExecRequest

HOST, DOCKER, BUBBLEWRAP = "host subprocess, no sandbox", "Sandpiper docker", "Sandpiper bubblewrap"
PARTS = (
    ("5.write", "write a file of 1 KB", HOST, "", 4.0, 8.0),
    ("5.read", "read a file of 1 KB", HOST, "", 5.0, 5.0),
    ("3", "run a command", HOST, "", 3.0, 30.0),
    ("11.request", "a request over the network", DIRECT, ", restricted", 1.2, 20.0),
    ("12.work", "a piece of work", HOST, "", 1.3, 0.0),
)
"""Row, operation, floor, what the subjects' names end with, and what is allowed: a ratio, or so many milliseconds."""
WORK = """
import hashlib, pathlib, subprocess
room = pathlib.Path("work")
room.mkdir(exist_ok=True)
for number in range(400):
    (room / str(number)).write_bytes(b"%d" % number * 2000)
total = hashlib.sha256()
for _ in range(5):
    for file in sorted(room.iterdir()):
        total.update(file.read_bytes())
for _ in range(40):
    subprocess.run(["sh", "-c", "true"], check=True)
print(sum(number * number % 7 for number in range(3_000_000)))
"""


def work(stand: Stand) -> Row:
    """Row 12: files, processes and arithmetic, as a test suite has them."""
    goals = (Goal(DOCKER, 1.3, HOST), Goal(BUBBLEWRAP, 1.3, HOST))
    row = Row("12.work", "a piece of work: 400 files, 40 processes, arithmetic", HOST, goals, digits=0)
    row.add(HOST, lambda stack: _on_host(stack, stand.folder))
    row.add(DOCKER, lambda stack: _inside(stand, stack, "docker"))
    row.add(BUBBLEWRAP, lambda stack: _inside(stand, stack, "bubblewrap"))
    return row


def overhead(rows: list[Row]) -> str:
    """A table of all that was measured."""
    found = {row.key: row for row in rows}
    lines = [
        "| operation | no sandbox, ms | Sandpiper docker, ms | ratio | bubblewrap, ms | ratio | goal | reached |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for key, name, host, ending, limit, enough in PARTS:
        floor = found[key].median(host) if key in found else None
        if floor:
            each = [found[key].median(f"{subject}{ending}") for subject in (DOCKER, BUBBLEWRAP)]
            cells = [cell for value in each for cell in _cells(value, floor)]
            measured = [value for value in each if value is not None]
            reached = all(value <= max(limit * floor, enough) for value in measured)
            goal = f"<= {limit:g} x" + (f" or {enough:g} ms" if enough else "")
            verdict = "not measured" if not measured else "yes" if reached else "NO"
            lines.append(f"| {name} | {floor:.2f} | {' | '.join(cells)} | {goal} | {verdict} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""


def _cells(value: float | None, floor: float) -> tuple[str, str]:
    return ("", "") if value is None else (f"{value:.2f}", f"{value / floor:.2f}")


def _on_host(stack: ExitStack, folder: Path) -> Once:
    room = stack.enter_context(tempfile.TemporaryDirectory(dir=folder))

    def once() -> Sample:
        with timer() as elapsed:
            code = subprocess.run([PYTHON, "-c", WORK], cwd=room, stdout=subprocess.DEVNULL).returncode
            return succeeded(code, elapsed())

    return once


def _inside(stand: Stand, stack: ExitStack, kind: Kind) -> Once:
    limits = LIMITS.model_copy(update={"cpus": 2.0, "memory_mb": 1024})
    box = stand.ours.opened(stack, kind, image="host", limits=limits)
    request = ExecRequest(argv=(PYTHON, "-c", WORK))

    def once() -> Sample:
        with timer() as elapsed:
            code = box.exec(request).exit_code
            return succeeded(code, elapsed())

    return once

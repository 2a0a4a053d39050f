"""Rows about work in a sandbox that is open: a command, much output, a small file."""

from __future__ import annotations

import ours
from floors import MEGABYTES_50, TRUE, command, file_both, file_read, file_write, host_file, output, program
from floors import program_output as host_output
from rows import Goal, Row
from stand import Stand

HOST = "host subprocess, no sandbox"
DOCKER, BUBBLEWRAP = "Sandpiper docker", "Sandpiper bubblewrap"
FILES = {"write": "file of 1 KB: write", "read": "file of 1 KB: read", "both": "file of 1 KB: write, then read"}


def one(stand: Stand) -> Row:
    """Row 3."""
    sdk = "docker SDK: exec_run"
    goals = (Goal(DOCKER, 0.05, sdk), Goal(DOCKER, 2.0, HOST), Goal(BUBBLEWRAP, 0.05, sdk), Goal(BUBBLEWRAP, 2.0, HOST))
    row = Row("3", "a command, `sh -c true`", sdk, goals, repeat=5, digits=2)
    row.add(sdk, lambda stack: command(stand.floor.opened(stack)))
    row.add(HOST, lambda _: program(TRUE))
    row.add("docker CLI: exec", lambda stack: program(["docker", "exec", stand.floor.opened(stack).id or "", *TRUE]))
    row.add(DOCKER, lambda stack: ours.command(stand.ours.opened(stack)))
    row.add(BUBBLEWRAP, lambda stack: ours.command(stand.ours.opened(stack, "bubblewrap")))
    stand.add_peers(row, "shell")
    if stand.peers:
        row.add("SWE-ReX run_in_session", stand.peer("SWE-ReX", "shell", "in_session"))
    return row


def flood(stand: Stand) -> Row:
    """Row 4."""
    sdk, kept = "docker SDK: exec_run", f"{DOCKER}, keeps 1 MB"
    goals = (Goal(kept, 0.6, sdk), Goal(f"{BUBBLEWRAP}, keeps 1 MB", 0.6, sdk))
    row = Row("4", "50 MB of output", sdk, goals)
    row.add(sdk, lambda stack: output(stand.floor.opened(stack)))
    row.add(HOST, lambda _: host_output(MEGABYTES_50))
    row.add(kept, lambda stack: ours.output(stand.ours.opened(stack), 1_000_000))
    row.add(f"{DOCKER}, keeps all", lambda stack: ours.output(stand.ours.opened(stack), 60_000_000))
    row.add(f"{BUBBLEWRAP}, keeps 1 MB", lambda stack: ours.output(stand.ours.opened(stack, "bubblewrap"), 1_000_000))
    stand.add_peers(row, "output")
    return row


def files(stand: Stand, what: str) -> Row:
    """Row 5, of three parts: the two halves are for the table of overheads."""
    sdk = "docker SDK: put_archive, get_archive"
    goals = (Goal(DOCKER, 0.05, sdk), Goal(BUBBLEWRAP, 0.05, sdk)) if what == "both" else ()
    row = Row(f"5.{what}", FILES[what], sdk, goals, repeat=5, digits=2)
    timed = {"write": file_write, "read": file_read, "both": file_both}[what]
    row.add(sdk, lambda stack: timed(stand.floor.opened(stack)))
    row.add(HOST, lambda _: host_file(stand.folder, what))
    row.add(DOCKER, lambda stack: ours.file(stand.ours.opened(stack), what))
    row.add(BUBBLEWRAP, lambda stack: ours.file(stand.ours.opened(stack, "bubblewrap"), what))
    stand.add_peers(row, "file", what)
    return row

"""A living sandbox over bait -> whether its limits hold, whether it ends what it has to end, and what is left of it.

These attempts change the sandbox, so they come after the others, in this order; the last ones end it.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from bot.errors import SandboxError
from bot.sandbox import scripts
from bot.sandbox.escapes import LIMITS, Inside, Seen, Way
from bot.types.sandbox import ExecRequest, ExecResult

_TIMEOUT = 1.0
_FLOOD = 20_000_000
_KEPT = 10_000
_SLACK_MB = 24
"""What a sandbox may write beyond its limit where nobody but a look at the disk stops it."""


def _said(result: ExecResult) -> str:
    return f"{result.ending}, exit code {result.exit_code}"


def _note(inside: Inside, word: str) -> str:
    """What the record says could not be enforced."""
    return next((each for each in inside.sandbox.record.notes if word in each), "")


def _memory(inside: Inside) -> Seen:
    result = inside.bomb(scripts.MEMORY, str(4 * LIMITS.memory_mb << 20))
    if result.ending == "oom":
        return "ok", f"oom at {LIMITS.memory_mb} MiB"
    if note := _note(inside, "memory is not capped"):
        return "not enforced", note
    return ("FAILED" if result.ok else "ok"), _said(result)


def _pids(inside: Inside) -> Seen:
    asked = LIMITS.pids + 40
    result = inside.bomb(scripts.PIDS, str(asked))
    ended = inside.bomb("while :; do :; done", seconds=0.2)  # what the bomb left behind has to go with this one
    if ended.ending != "timed_out":
        return "FAILED", f"with no process left, a time-out is {_said(ended)}"
    if f"all {asked}" in result.stdout.decode("utf-8", "replace"):
        note = _note(inside, "processes are counted per user")
        return ("not enforced", note) if note else ("FAILED", f"{asked} processes")
    return "ok", f"{_said(result)}, limit {LIMITS.pids}"


def _disk(inside: Inside) -> Seen:
    asked = 3 * LIMITS.disk_mb
    result = inside.bomb(scripts.DISK, str(asked))
    inside.sh("rm -f fill")
    if f"all {asked}" in result.stdout.decode("utf-8", "replace"):
        if inside.sandbox.record.disk == "none":
            return "not enforced", _note(inside, "written") or "nobody caps the disk here"
        return "FAILED", f"{asked} MiB written, limit {LIMITS.disk_mb}"
    return "ok", f"{_said(result)}, limit {LIMITS.disk_mb} MiB ({inside.sandbox.record.disk})"


def _flood(inside: Inside) -> Seen:
    argv = ("sh", "-c", scripts.FLOOD, "sh", str(_FLOOD))
    result = inside.sandbox.exec(ExecRequest(argv=argv, seconds=inside.each, output_bytes=_KEPT))
    kept = len(result.stdout) + len(result.stderr)
    well = kept <= 2 * _KEPT and result.dropped_bytes + kept == 2 * _FLOOD
    return ("ok" if well else "FAILED"), f"{kept:,} bytes kept, {result.dropped_bytes:,} counted"


def _daemons(inside: Inside) -> Seen:
    """Also as seen from this machine: a process inside is one of ours, wherever its namespaces are."""
    mark, began = f"proof-{os.urandom(8).hex()}", time.monotonic()
    result = inside.bomb(scripts.DAEMON, mark, seconds=_TIMEOUT)
    took = time.monotonic() - began
    if result.ending != "timed_out" or b"started" not in result.stdout:
        return "FAILED", _said(result)
    left = _marked(mark) or mark in inside.sh(scripts.COMMANDS).stdout.decode("utf-8", "replace")
    return (
        ("FAILED", "a daemon lives on") if left else ("ok", f"all gone {took - _TIMEOUT:.1f} s after {_TIMEOUT:.0f} s")
    )


def _marked(mark: str) -> bool:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark.encode() in file.read_bytes():
                return True
    return False


def _usable(inside: Inside) -> Seen:
    result = inside.sh("echo fine; exit 3")
    well = (result.ending, result.exit_code, result.stdout) == ("exited", 3, b"fine\n")
    sick = inside.sandbox.health()
    return ("FAILED", sick or _said(result)) if sick or not well else ("ok", "it answers")


def _collect(inside: Inside) -> Seen:
    """What it leaves behind is read on this machine: no link is followed, no pipe opened."""
    inside.sh(scripts.PLANT, str(inside.bait.private))
    blobs = inside.bait.folder / "blobs"
    changes = inside.sandbox.collect(blobs)
    taken = {each.path: each.new for each in changes.files}
    wrong = [path for path in ("pipe", "root/etc") if taken.get(path)]
    stolen = [each for each in blobs.iterdir() if inside.bait.token.encode() in each.read_bytes()]
    wrong += ["a canary's bytes"] if stolen else []
    wrong += [] if "fine" in taken else ["a plain file is missing"]
    return (
        ("FAILED", ", ".join(wrong)) if wrong else ("ok", f"{len(taken)} paths taken, {len(changes.skipped)} left out")
    )


def _dead(inside: Inside) -> Seen:
    try:
        result = inside.sandbox.exec(ExecRequest(argv=("true",), seconds=2))
    except SandboxError as error:
        return "ok", f"refused: {error.code}"
    return "FAILED", _said(result)


BOUNDS: tuple[Way, ...] = (
    Way("limits", f"memory: {4 * LIMITS.memory_mb} MiB with {LIMITS.memory_mb} allowed", "oom", _memory),
    Way("limits", f"processes: {LIMITS.pids + 40} with {LIMITS.pids} allowed", "refused", _pids),
    Way("limits", f"disk: {3 * LIMITS.disk_mb} MiB with {LIMITS.disk_mb} allowed", "refused", _disk),
    Way("limits", f"output: {2 * _FLOOD // 1_000_000} MB with {2 * _KEPT // 1000} kB kept", "bounded", _flood),
    Way("endings", "time-out with daemons that ignore SIGTERM", "all killed", _daemons),
    Way("endings", "commands after all that", "still run", _usable),
    Way("endings", "links and pipes among its changes", "never followed", _collect),
    Way("endings", "commands after the kill", "refused", _dead),
)
"""In this order."""

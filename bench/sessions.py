"""Many sandboxes held open at once -> how many came, what each costs this machine."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ours import LIMITS, Kind, close_all, hello
from rows import LeftOut, load, reason
from stand import Stand

from bot.protocols import Sandbox, SandboxProvider
from bot.types.sandbox import ExecRequest, Template

STEP = 50
KEEP_MB = 3_000
"""Of memory that stays available; opening ends there."""
SCALES = (1, 5, 10, 20)
AT_ONCE = 4
_KINDS: tuple[Kind, ...] = ("docker", "bubblewrap")
_HEAD = "| provider | {} |\n| --- | {} |"


def available_mb() -> float:
    """What this machine could still give (proc(5): MemAvailable), in MiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 1024


def held(stand: Stand, count: int, kinds: tuple[Kind, ...] = _KINDS) -> str:
    """Row 10 as Markdown."""
    columns = ("asked for", "opened", "failed", "answer at the end", "MiB each", "seconds to open", "load")
    lines = [_HEAD.format(" | ".join(columns), " | ".join("---" for _ in columns))]
    for kind in kinds:
        try:
            lines.append(f"| {kind} | {_hold(stand, kind, count)} |")
        except LeftOut as error:
            lines.append(f"\n- left out: {kind}: {error}")
    return "\n".join(lines) + "\n"


def _hold(stand: Stand, kind: Kind, count: int) -> str:
    provider, template = stand.ours.provider(kind), _idle(stand, kind)
    provider.create(template).close()  # what is made once is not counted
    boxes: list[Sandbox] = []
    failures: list[str] = []
    begin, started = _settled_mb(), time.monotonic()
    try:
        while len(boxes) + len(failures) < count and len(failures) < STEP:
            _open(provider, template, min(STEP, count - len(boxes) - len(failures)), boxes, failures)
            left = available_mb()
            each = (begin - left) / max(len(boxes), 1)
            print(f"  {kind}: {len(boxes)} open, {len(failures)} failed, {each:.1f} MiB each", file=sys.stderr)
            if left < KEEP_MB:
                failures.append(f"ended with {left:.0f} MiB available")
                break
        seconds, each = time.monotonic() - started, (begin - _settled_mb()) / max(len(boxes), 1)
        alive = _answering(boxes)
    finally:
        close_all(boxes)
    cells = [str(count), str(len(boxes)), _failed(failures), str(alive), f"{each:.1f}", f"{seconds:.0f}", load()]
    return " | ".join(cells)


def scaling(stand: Stand, rounds: int = 3) -> str:
    """So many started at once, as Markdown: memory of all, wall clock for each."""
    head = [f"{count} at once: MiB, ms each" for count in SCALES]
    lines = [_HEAD.format(" | ".join(head), " | ".join("---" for _ in head))]
    for kind in _KINDS:
        try:
            cells = [_scale(stand, kind, count, rounds) for count in SCALES]
            lines.append(f"| {kind} | {' | '.join(cells)} |")
        except Exception as error:  # noqa: BLE001 - one provider that fails does not hide the other
            lines.append(f"\n- left out: {kind}: {reason(error)}")
    return "\n".join(lines) + "\n"


def _scale(stand: Stand, kind: Kind, count: int, rounds: int) -> str:
    provider, template = stand.ours.provider(kind), _idle(stand, kind)
    figures: list[tuple[float, float]] = []
    for _ in range(rounds):
        boxes: list[Sandbox] = []
        failures: list[str] = []
        begin, started = available_mb(), time.perf_counter()
        _open(provider, template, count, boxes, failures)
        milliseconds = (time.perf_counter() - started) * 1000 / count
        figures.append((begin - _settled_mb(), milliseconds))
        close_all(boxes)
        if failures:
            raise LeftOut(failures[0])
    memory, each = (statistics.median(column) for column in zip(*figures, strict=True))
    return f"{max(memory, 0):.0f}, {each:.0f}"


def _idle(stand: Stand, kind: Kind) -> Template:
    limits = LIMITS.model_copy(update={"memory_mb": 128, "cpus": 0.25, "minutes": 120.0})
    return stand.ours.template(kind, limits=limits)


def _open(provider: SandboxProvider, template: Template, count: int, boxes: list[Sandbox], failures: list[str]) -> None:
    """Each to its first output, a few at once."""

    def one(_: int) -> Sandbox | str:
        try:
            box = provider.create(template)
        except Exception as error:  # noqa: BLE001 - counted
            return reason(error)
        if hello(box) != b"hello\n":
            box.close()
            return "it said nothing"
        return box

    with ThreadPoolExecutor(AT_ONCE) as threads:
        for made in threads.map(one, range(count)):
            if isinstance(made, str):
                failures.append(made)
            else:
                boxes.append(made)


def _answering(boxes: list[Sandbox]) -> int:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return sum(threads.map(lambda box: box.exec(ExecRequest(argv=("sh", "-c", "true"))).ok, boxes))


def _settled_mb() -> float:
    gc.collect()
    time.sleep(1)
    return available_mb()


def _failed(failures: list[str]) -> str:
    return "0" if not failures else f"{len(failures)}: {failures[0]}"

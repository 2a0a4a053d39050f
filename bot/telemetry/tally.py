"""Facts of sandboxes -> figures: what was counted, how long it took, and what each living sandbox uses."""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

Facts = Mapping[str, str | int | float | bool]

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sandbox_created_total": ("Sandboxes that were made.", ("provider",)),
        "sandbox_closed_total": ("Sandboxes that were removed.", ("provider",)),
        "sandbox_lost_total": ("Sandboxes that were of no use any more before they were closed.", ("code",)),
        "sandbox_exec_total": ("Commands that ended, by how.", ("ending",)),
        "sandbox_failures_total": ("Steps that failed, by the error's code.", ("action", "code")),
        "sandbox_file_bytes_total": ("Bytes of files that were read and written.", ("direction",)),
        "sandbox_egress_requests_total": ("Requests that the proxy judged.", ("verdict",)),
        "sandbox_egress_bytes_total": ("Bytes that went through the proxy.", ("direction",)),
        "sandbox_alerts_total": ("Alerts, and warnings of high memory.", ("severity",)),
    }
)
"""Name -> what it counts, and its labels."""
HISTOGRAMS: Mapping[str, str] = MappingProxyType(
    {
        "sandbox_create_seconds": "Time until a sandbox was there.",
        "sandbox_exec_seconds": "Time of a command.",
        "sandbox_close_seconds": "Time until a sandbox was removed.",
    }
)
GAUGES: Mapping[str, str] = MappingProxyType(
    {
        "sandbox_memory_usage_mb": "Memory in MiB, page cache left out.",
        "sandbox_memory_peak_mb": "The most memory in MiB that it ever had, page cache included.",
        "sandbox_cpu_percent": "Share of one processor.",
        "sandbox_pids": "Processes and threads.",
        "sandbox_disk_usage_mb": "What was written into the workspace, in MiB.",
        "sandbox_last_activity_timestamp": "When something was last done in it, in seconds since 1970.",
    }
)
"""Name -> what it is of one sandbox, whose id is the label."""
ACTIVE = "sandbox_active"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0)
"""Upper ends, in seconds: from a sandbox out of the warm pool to a long test suite."""
SANDBOXES = 10_000
"""Sandboxes whose figures are kept; the one that was quiet for the longest is forgotten."""
SERIES = 200
"""Label values of one counter that are kept apart; further ones count as `other`."""
_SAMPLED = MappingProxyType(
    {
        "memory_mb": "sandbox_memory_usage_mb",
        "memory_peak_mb": "sandbox_memory_peak_mb",
        "cpu_percent": "sandbox_cpu_percent",
        "pids": "sandbox_pids",
        "disk_mb": "sandbox_disk_usage_mb",
    }
)
_LABEL = re.compile(r"[a-z0-9_.-]{1,60}")
_TIMED = MappingProxyType(
    {
        "sandbox_create": "sandbox_create_seconds",
        "command_complete": "sandbox_exec_seconds",
        "sandbox_close": "sandbox_close_seconds",
    }
)


_COUNTED: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sandbox_create": ("sandbox_created_total", ("provider",)),
        "sandbox_close": ("sandbox_closed_total", ("provider",)),
        "sandbox_lost": ("sandbox_lost_total", ("code",)),
        "command_complete": ("sandbox_exec_total", ("ending",)),
        "alert": ("sandbox_alerts_total", ("severity",)),
        "memory_high": ("sandbox_alerts_total", ("severity",)),
    }
)
_MOVED = MappingProxyType({"file_read": "read", "file_write": "written"})


class Histogram:
    """How often something took how long."""

    def __init__(self) -> None:
        self.total = 0.0
        self._counts = [0] * (len(BUCKETS) + 1)

    def observe(self, seconds: float) -> None:
        """Note one."""
        self.total += seconds
        self._counts[bisect_left(BUCKETS, seconds)] += 1

    def cumulative(self) -> list[tuple[str, float]]:
        """Upper end of each bucket -> how many took no longer."""
        sums, count = [], 0
        for end, each in zip([*map(str, BUCKETS), "+Inf"], self._counts, strict=True):
            count += each
            sums.append((end, float(count)))
        return sums


class Tally:
    """The figures. Not safe for threads: whoever owns it locks."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in COUNTERS}
        self.times = {name: Histogram() for name in HISTOGRAMS}
        self.sandboxes: OrderedDict[str, dict[str, float]] = OrderedDict()
        self.active: set[str] = set()

    def note(self, facts: Facts) -> None:
        """Count one event."""
        event, ok = str(facts["event"]), bool(facts.get("ok", True))
        if event == "egress":
            self._egress(facts)
        elif not ok and event != "command_complete":
            self._add("sandbox_failures_total", facts, "action", "code")
        if event in _TIMED and (ok or event == "command_complete"):
            self.times[_TIMED[event]].observe(float(facts.get("seconds", 0.0)))
        if counted := _COUNTED.get(event):
            name, labels = counted
            if ok or event in ("command_complete", "sandbox_lost"):
                self._add(name, facts, *labels)
        if event in _MOVED and ok:
            self._count("sandbox_file_bytes_total", (_MOVED[event],), float(facts.get("bytes", 0)))
        self._living(event, ok, facts)

    def _living(self, event: str, ok: bool, facts: Facts) -> None:
        """What belongs to one sandbox, as long as it is there."""
        sandbox = str(facts.get("sandbox_id", ""))
        if not sandbox:
            return
        if event in ("sandbox_close", "sandbox_lost"):
            self.sandboxes.pop(sandbox, None)
            self.active.discard(sandbox)
            return
        if event == "sandbox_create" and ok:
            self.active.add(sandbox)
        if sandbox not in self.sandboxes and facts.get("ok") is not True:
            return  # whatever is tried in a closed one fails, and must not bring its series back
        figures = self.sandboxes.setdefault(sandbox, {})
        self.sandboxes.move_to_end(sandbox)
        if event == "sandbox_stats":
            figures.update({name: float(facts[fact]) for fact, name in _SAMPLED.items() if fact in facts})
        else:
            figures["sandbox_last_activity_timestamp"] = _seconds(str(facts.get("at", "")))
        if len(self.sandboxes) > SANDBOXES:
            self.active.discard(self.sandboxes.popitem(last=False)[0])

    def _egress(self, facts: Facts) -> None:
        self._add("sandbox_egress_requests_total", facts, "verdict")
        for direction in ("sent", "received"):
            self._count("sandbox_egress_bytes_total", (direction,), float(facts.get(f"{direction}_bytes", 0)))

    def _add(self, name: str, facts: Facts, *labels: str) -> None:
        values = (str(facts.get(each, "")) for each in labels)
        self._count(name, tuple(each if _LABEL.fullmatch(each) else "other" for each in values), 1.0)

    def _count(self, name: str, values: tuple[str, ...], amount: float) -> None:
        counts = self.counts[name]
        if values not in counts and len(counts) >= SERIES:
            values = ("other",) * len(values)
        counts[values] = counts.get(values, 0.0) + amount


def _seconds(at: str) -> float:
    """An ISO time in seconds since 1970; now, where there is none."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return time.time()

"""News of sandboxes -> one alert for each run in which too many things were tried that are not allowed."""

from __future__ import annotations

import threading
from collections import OrderedDict

from bot.protocols import Observer
from bot.types.run import Progress

FAILURES = 5
"""Attempts of one run that pass without an alert."""
RUNS = 1_000
"""Runs that are counted at the same time; the one that was quiet for the longest is forgotten."""
SUSPICIOUS = frozenset({"path_outside", "command_blocked", "escape_tried", "pids"})
"""Codes that ordinary work hardly ever has. A process limit that was hit looks like a fork bomb."""
HARMLESS = frozenset({"unresolved", "unreachable"})
"""Denials by the proxy that say more about a network than about who asked."""


class Alarm:
    """An Observer that counts, and sends its alerts to another one."""

    def __init__(self, watch: Observer, *, failures: int = FAILURES) -> None:
        self._watch, self._failures = watch, failures
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def notify(self, progress: Progress) -> None:
        """Count it; the attempt after the last allowed one is told, further ones are not."""
        if not is_suspicious(progress):
            return
        facts = progress.facts
        run = str(facts.get("run_id") or facts.get("sandbox_id", ""))
        with self._lock:
            count = self._counts[run] = self._counts.get(run, 0) + 1
            self._counts.move_to_end(run)
            if len(self._counts) > RUNS:
                self._counts.popitem(last=False)
        if count == self._failures + 1:
            self._watch.notify(_alert(progress, count))


def is_suspicious(progress: Progress) -> bool:
    """Whether something was tried that is not allowed."""
    facts = progress.facts
    if facts.get("ok", True):
        return False
    if facts.get("event") == "egress":
        return facts.get("verdict") == "denied" and facts.get("code") not in HARMLESS
    return facts.get("code") in SUSPICIOUS


def _alert(progress: Progress, count: int) -> Progress:
    """For people, and by its facts for machines."""
    names = ("at", "run_id", "sandbox_id", "provider", "actor")
    shared = {name: progress.facts[name] for name in names if name in progress.facts}
    last = progress.facts.get("code", "")
    facts = {
        "event": "alert",
        "action": "alert",
        "severity": "high",
        "count": count,
        "code": "suspicious",
        "last": last,
    }
    text = f"suspicious: {count} attempts at what is not allowed in one run, the last one is {last}"
    return Progress(stage="sandbox", text=text, detail=progress.text, facts={**shared, **facts})

"""A sandbox's control groups -> what it uses, and how often memory or processes ran out in it.

Nobody else tells: after the kernel killed a command for memory, the sandbox is up and the exit code is 137, as after
any kill. Sources: the kernel's Documentation/admin-guide/cgroup-v1/{memory,pids,cpuacct}.rst and cgroup-v2.rst.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_FILES = {
    "oom": ("memory/memory.oom_control", "memory.events"),
    "pids": ("pids/pids.events", "pids.events"),
}
_LINE = {"oom": re.compile(r"^oom_kill (\d+)$", re.M), "pids": re.compile(r"^max (\d+)$", re.M)}
_TOTAL_CACHE = re.compile(r"^total_inactive_file (\d+)$", re.M)
_CACHE = re.compile(r"^inactive_file (\d+)$", re.M)
INSIDE = tuple(f"/sys/fs/cgroup/{name}" for names in _FILES.values() for name in names)
"""The files of the counts, as a container sees them."""
CONTROLLERS: Mapping[str, tuple[str, ...]] = {
    "memory": ("memory.oom_control", "memory.events"),
    "pids": ("pids.events", "pids.current"),
    "cpuacct": ("cpuacct.usage",),
    "cpu": ("cpu.stat",),
    "freezer": ("freezer.state",),
}
"""Controller -> files of which one shows that its folder is the right one."""


@dataclass(frozen=True)
class Counts:
    """Events since the sandbox started."""

    oom: int = 0
    """Processes that the kernel killed for memory."""
    pids: int = 0
    """Processes that could not be started."""


@dataclass(frozen=True)
class Usage:
    """What it uses now; None where nobody can tell."""

    memory: int | None = None
    """Bytes, page cache that could go left out."""
    memory_peak: int | None = None
    """Bytes, the most ever."""
    cpu_seconds: float | None = None
    pids: int | None = None


class Meter(Protocol):
    """Looks at one sandbox from outside."""

    def before(self) -> Counts:
        """The counts now, or those of the last look where looking is dear."""

    def after(self) -> Counts:
        """The counts now."""

    def usage(self) -> Usage:
        """The figures now."""


@dataclass
class Groups:
    """A Meter over control groups that this machine shows."""

    folders: Mapping[str, Path]
    """Control group by controller; the same one for all in version 2."""

    def before(self) -> Counts:
        return self.after()

    def after(self) -> Counts:
        texts = [self._read({"oom": "memory"}.get(kind, kind), Path(n).name) for kind, ns in _FILES.items() for n in ns]
        return parse_counts("\n".join(texts))

    def usage(self) -> Usage:
        memory = self._number("memory", "memory.usage_in_bytes", "memory.current")
        stat = self._read("memory", "memory.stat")
        cache = _TOTAL_CACHE.search(stat) or _CACHE.search(stat)
        nanoseconds = self._number("cpuacct", "cpuacct.usage")
        microseconds = re.search(r"^usage_usec (\d+)$", self._read("cpu", "cpu.stat"), re.M)
        seconds = int(microseconds[1]) / 1e6 if microseconds else None
        return Usage(
            memory=None if memory is None else max(0, memory - (int(cache[1]) if cache else 0)),
            memory_peak=self._number("memory", "memory.max_usage_in_bytes", "memory.peak"),
            cpu_seconds=seconds if nanoseconds is None else nanoseconds / 1e9,
            pids=self._number("pids", "pids.current"),
        )

    def _number(self, controller: str, *names: str) -> int | None:
        for name in names:
            text = self._read(controller, name).strip()
            if text.isdigit():
                return int(text)
        return None

    def _read(self, controller: str, name: str) -> str:
        folder = self.folders.get(controller)
        try:
            return (folder / name).read_text() if folder else ""
        except OSError:
            return ""


@dataclass
class Asked:
    """A Meter that has to ask inside, and so looks only when something went wrong."""

    ask: Callable[[], str]
    """Contents of INSIDE, as far as they exist, as text."""
    figures: Callable[[], Usage] = Usage
    last: Counts = field(default_factory=Counts)

    def before(self) -> Counts:
        return self.last

    def after(self) -> Counts:
        self.last = parse_counts(self.ask())
        return self.last

    def usage(self) -> Usage:
        return self.figures()


def parse_counts(text: str) -> Counts:
    """Counts from the contents of their files, in any order."""
    found = {kind: sum(int(number) for number in line.findall(text)) for kind, line in _LINE.items()}
    # `max` also stands in memory.events, where it counts something harmless; there it comes with `oom`.
    if re.search(r"^oom \d+$", text, re.M):
        harmless = re.search(r"^max (\d+)$", text, re.M)
        found["pids"] -= int(harmless[1]) if harmless else 0
    return Counts(**found)


def groups_of(pid: int, marker: str) -> Groups | None:
    """Control groups of a process whose path carries the marker; None when they can't be read on this machine."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    found: dict[str, Path] = {}
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if marker not in path:  # another PID namespace's process, or a namespace that hides the path
            continue
        root = Path("/sys/fs/cgroup") if number == "0" else Path("/sys/fs/cgroup") / controllers
        folder = root / path.lstrip("/")
        for name in CONTROLLERS if number == "0" else controllers.split(","):
            if any((folder / each).is_file() for each in CONTROLLERS.get(name, ())):
                found[name] = folder
    return Groups(found) if {"memory", "pids"} <= found.keys() else None

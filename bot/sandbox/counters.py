"""A container's control group -> how often memory or processes ran out in it.

The engine doesn't tell: after the kernel killed a command for memory, the container is up and the exit code is 137,
as after any kill. Sources: the kernel's Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v1/pids.rst and
cgroup-v2.rst.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_FILES = {
    "oom": ("memory/memory.oom_control", "memory.events"),
    "pids": ("pids/pids.events", "pids.events"),
}
_LINE = {"oom": re.compile(r"^oom_kill (\d+)$", re.M), "pids": re.compile(r"^max (\d+)$", re.M)}
INSIDE = tuple(f"/sys/fs/cgroup/{name}" for names in _FILES.values() for name in names)
"""The same files as the container sees them."""


@dataclass(frozen=True)
class Counts:
    """Events since the container started."""

    oom: int = 0
    """Processes that the kernel killed for memory."""
    pids: int = 0
    """Processes that could not be started."""


@dataclass
class Counters:
    """Reads the counts: on the host where its control groups can be seen, else by asking inside."""

    ask: Callable[[], str]
    """Contents of INSIDE, as far as they exist, as text."""
    folders: dict[str, Path] = field(default_factory=dict)
    """Control group by controller, on the host; empty where it can't be seen."""
    last: Counts = field(default_factory=Counts)

    def before(self) -> Counts:
        """The counts now, or those of the last look where looking costs a command."""
        if self.folders:
            self.last = self._look()
        return self.last

    def after(self) -> Counts:
        """The counts now."""
        self.last = self._look() if self.folders else _parse(self.ask())
        return self.last

    def _look(self) -> Counts:
        texts = []
        for kind, names in _FILES.items():
            for name in names:
                folder = self.folders.get({"oom": "memory"}.get(kind, kind))
                try:
                    texts.append((folder / Path(name).name).read_text() if folder else "")
                except OSError:
                    continue
        return _parse("\n".join(texts))


def _parse(text: str) -> Counts:
    found = {kind: sum(int(number) for number in line.findall(text)) for kind, line in _LINE.items()}
    # `max` also stands in memory.events, where it counts something harmless; there it comes with `oom`.
    if re.search(r"^oom \d+$", text, re.M):
        harmless = re.search(r"^max (\d+)$", text, re.M)
        found["pids"] -= int(harmless[1]) if harmless else 0
    return Counts(**found)


def host_folders(pid: int, container: str) -> dict[str, Path]:
    """Control groups of a process by controller, if they are the container's and can be read on this machine."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return {}
    found: dict[str, Path] = {}
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if container not in path:  # another PID namespace's process, or a namespace that hides the path
            continue
        root = Path("/sys/fs/cgroup") if number == "0" else Path("/sys/fs/cgroup") / controllers
        folder = root / path.lstrip("/")
        for name in ("memory", "pids") if number == "0" else controllers.split(","):
            file = {"memory": ("memory.oom_control", "memory.events"), "pids": ("pids.events",)}.get(name, ())
            if any((folder / each).is_file() for each in file):
                found[name] = folder
    return found if {"memory", "pids"} <= found.keys() else {}

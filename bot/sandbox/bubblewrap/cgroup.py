"""Limits of a sandbox -> control groups of its own, where this process may make any.

Version 1 has a tree per controller and gives them to root; version 2 has one tree, in which a part may be handed to a
user. Sources: the kernel's Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst.
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from bot.types.task import Limits

_MIB = 1 << 20
_PERIOD = 100_000
"""Microseconds over which processor time is counted; the kernel's own default."""
_SECONDS = 5.0
"""In which the kernel lets go of a group whose processes are dead."""
_WANTED = ("memory", "pids", "cpu")
_V1 = (*_WANTED, "cpuacct", "freezer")
_MISSING: Mapping[str, str] = MappingProxyType(
    {
        "memory": "memory is not capped: no writable control group",
        "pids": "processes are counted per user, not per sandbox: no writable control group",
        "cpu": "processor time is not capped: no writable control group",
    }
)


@dataclass(frozen=True)
class Groups:
    """Control groups of one sandbox: made, or to be made."""

    folders: Mapping[str, Path] = field(default_factory=dict)
    """By controller; `freezer` stands for whoever can freeze."""
    version: Mapping[str, int] = field(default_factory=dict)
    """Of the tree that a controller is in: 1 or 2."""

    @property
    def each(self) -> tuple[Path, ...]:
        """The folders, each once."""
        return tuple(dict.fromkeys(self.folders.values()))

    @property
    def joining(self) -> tuple[str, ...]:
        """The files that a process writes its number into to become a member, with all that it starts."""
        return tuple(f"{folder}/cgroup.procs" for folder in self.each)

    @property
    def first(self) -> tuple[Path, ...]:
        """Those in version 1, where a single thread can be a member: what it starts then is one from the beginning."""
        return self._of(1)

    @property
    def second(self) -> tuple[Path, ...]:
        """Those in version 2, which only whole processes join."""
        return self._of(2)

    def _of(self, version: int) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(self.folders[each] for each in self.folders if self.version[each] == version))

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for every limit that can't be had."""
        return tuple(text for controller, text in _MISSING.items() if controller not in self.folders)

    def written(self) -> str:
        """As text, for a note."""
        folders = {controller: str(folder) for controller, folder in self.folders.items()}
        return json.dumps({"folders": folders, "version": dict(self.version)})


def read_groups(text: str) -> Groups:
    """From the text of `written`."""
    values = json.loads(text)
    folders = {controller: Path(folder) for controller, folder in values.get("folders", {}).items()}
    return Groups(folders, values.get("version", {}))


def own_parents() -> Groups:
    """As find_parents, for this process."""
    own = Path("/proc/self")
    try:
        return find_parents((own / "cgroup").read_text(), (own / "mountinfo").read_text())
    except OSError:
        return Groups()


def plan(name: str, parents: Groups) -> Groups:
    """Where a sandbox's groups would be. The name is in each path, so that leftovers can be told."""
    return Groups({each: folder / name for each, folder in parents.folders.items()}, parents.version)


def find_parents(membership: str, mountinfo: str) -> Groups:
    """Groups below which this process may make others; its own, so that what holds for it holds for them.

    The arguments are the texts of /proc/self/cgroup and /proc/self/mountinfo, see cgroups(7) and proc(5).
    """
    folders: dict[str, Path] = {}
    version: dict[str, int] = {}
    mounts = list(_mounts(mountinfo))
    for line in membership.splitlines():
        number, names, own = [*line.split(":", 2), "", ""][:3]
        for kind, options, root, point in mounts:
            folder = _below(own, root, point)
            if number == "0" and kind == "cgroup2" and folder is not None:
                found, two = _delegated(folder, point), 2
            elif number != "0" and kind == "cgroup" and folder is not None and set(names.split(",")) <= options:
                found, two = {each: folder for each in names.split(",") if each in _V1 and _ours(folder)}, 1
            else:
                continue
            # Where both versions are mounted, a controller is in one of them; only freezing is in both.
            folders |= {each: where for each, where in found.items() if each not in folders}
            version |= {each: two for each in found if each not in version}
    return Groups(folders, version)


def _mounts(mountinfo: str) -> Iterator[tuple[str, set[str], str, Path]]:
    """(type, options of the file system, what of it is mounted, where)."""
    for line in mountinfo.splitlines():
        mount, _, filesystem = line.partition(" - ")
        fields, kind = mount.split(), filesystem.split()
        if len(fields) > 5 and len(kind) > 2 and kind[0] in ("cgroup", "cgroup2"):
            yield kind[0], set(kind[2].split(",")), _plain(fields[3]), Path(_plain(fields[4]))


def _plain(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _below(own: str, root: str, point: Path) -> Path | None:
    """Folder of a group, where the mount shows it."""
    if ".." in own.split("/") or not Path(own).is_relative_to(root):
        return None
    return point / Path(own).relative_to(root)


def _ours(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK) and os.access(folder / "cgroup.procs", os.W_OK)


def _delegated(own: Path, point: Path) -> dict[str, Path]:
    """The nearest group, upwards, that may have groups with all controllers below it; else one for freezing.

    A group that has processes may not hand controllers on, so it is rarely our own one.
    """
    best: dict[str, Path] = {}
    for folder in (own, *own.parents):
        if not folder.is_relative_to(point) or not _ours(folder):
            break
        found = dict.fromkeys(_handed_on(folder), folder) | {"freezer": folder}
        if len(found) > len(best):
            best = found
    return best


def _handed_on(folder: Path) -> set[str]:
    """Controllers that groups below have, after asking for those that they lack."""
    control = folder / "cgroup.subtree_control"
    try:
        for missing in set(_WANTED) & set((folder / "cgroup.controllers").read_text().split()):
            if missing not in control.read_text().split():
                with contextlib.suppress(OSError):
                    control.write_text(f"+{missing}")
        return set(_WANTED) & set(control.read_text().split())
    except OSError:
        return set()


def make(groups: Groups, limits: Limits) -> None:
    """Make them, with their limits. Raises OSError; what was made by then is the caller's to remove."""
    for folder in groups.each:
        folder.mkdir()
    for controller, values in _values(limits, groups.version).items():
        for name, value in values.items():
            file = groups.folders[controller] / name
            # Swap may be compiled out, and then nothing has to be forbidden.
            if "sw" not in name or file.exists():
                file.write_text(value)


def _values(limits: Limits, version: Mapping[str, int]) -> dict[str, dict[str, str]]:
    memory, quota = str(limits.memory_mb * _MIB), str(max(1000, int(limits.cpus * _PERIOD)))
    first = {
        # Memory with swap can't be less than without, so it comes second.
        "memory": {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory},
        "pids": {"pids.max": str(limits.pids)},
        "cpu": {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": quota},
    }
    second = {
        "memory": {"memory.max": memory, "memory.swap.max": "0"},
        "pids": {"pids.max": str(limits.pids)},
        "cpu": {"cpu.max": f"{quota} {_PERIOD}"},
    }
    return {each: (second if version[each] == 2 else first)[each] for each in _WANTED if each in version}


@contextmanager
def joined(groups: Groups) -> Iterator[None]:
    """The calling thread is a member of those in version 1, and what it starts stays one. Raises OSError.

    That takes microseconds. To move a process that runs the kernel needs a lock, for which it waits until every
    processor has been idle or switched tasks: ten milliseconds and more. A thread that moves itself needs none
    (cgroup_procs_write_start, kernel/cgroup/cgroup.c).
    """
    with ExitStack() as undo:
        for folder in groups.first:
            undo.callback((folder.parent / "tasks").write_text, "0")
            (folder / "tasks").write_text("0")
        yield


def join(groups: Groups, pid: int) -> None:
    """Make a process a member of those in version 2. Raises OSError."""
    for folder in groups.second:
        (folder / "cgroup.procs").write_text(str(pid))


def freeze(groups: Groups, frozen: bool) -> bool:
    """Stop or go on, and return when it is so; False where no group can do it. Raises OSError."""
    folder = groups.folders.get("freezer")
    if folder is None:
        return False
    if groups.version["freezer"] == 2:
        (folder / "cgroup.freeze").write_text("1" if frozen else "0")
        _await(lambda: f"frozen {int(frozen)}" in (folder / "cgroup.events").read_text())
        return True
    state = folder / "freezer.state"
    state.write_text("FROZEN" if frozen else "THAWED")
    _await(lambda: state.read_text().strip() == ("FROZEN" if frozen else "THAWED"))
    return True


def frozen(groups: Groups) -> bool:
    """Whether they are stopped by `freeze`."""
    folder = groups.folders.get("freezer")
    if folder is None:
        return False
    try:
        if groups.version["freezer"] == 2:
            return "frozen 1" in (folder / "cgroup.events").read_text()
        return (folder / "freezer.state").read_text().strip() != "THAWED"
    except OSError:
        return False


def kill(groups: Groups) -> None:
    """Kill all members, where the kernel can do that at a stroke (version 2, Linux 5.14)."""
    for controller, folder in groups.folders.items():
        if groups.version[controller] == 2:
            with contextlib.suppress(OSError):
                (folder / "cgroup.kill").write_text("1")


def members(groups: Groups) -> set[int]:
    """Numbers of the processes in them."""
    found: set[int] = set()
    for folder in groups.each:
        with contextlib.suppress(OSError):
            found |= {int(line) for line in (folder / "cgroup.procs").read_text().split()}
    return found


def remove(groups: Groups) -> bool:
    """Remove them; True when they are gone. Their processes are dead already."""
    for folder in groups.each:
        with contextlib.suppress(OSError):
            _await(lambda folder=folder: _removed(folder))  # type: ignore[misc]
    return not any(folder.exists() for folder in groups.each)


def _removed(folder: Path) -> bool:
    """The kernel keeps a group for as long as a dead process of it has not been waited for."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _await(done: Callable[[], bool]) -> None:
    """Return when it is so, or after a while all the same."""
    until, pause = time.monotonic() + _SECONDS, 0.0005
    while not done() and time.monotonic() < until:
        time.sleep(pause)
        pause = min(0.05, pause * 2)

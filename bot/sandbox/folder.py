"""A sandbox's folder on this machine <-> what was noted in it: who made it, from what, and until when it may live.

Every provider keeps one folder a sandbox, so that any process finds the sandboxes of all, also after a crash.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import SandboxInfo, SandboxRecord, SandboxState, Template
from bot.types.value import RunId, Value

FILE = "owner.json"
PREFIX = "sandpiper-"
_UNTOUCHED = 3600
"""Seconds. A note is there a moment after its folder is."""


class Note(Value):
    """What is written down before anything else of a sandbox exists, and again when it runs."""

    run_id: RunId
    """Run that it belongs to."""
    owner: str
    """Identity of the process that made it, from `process_identity`; empty for one that outlives its maker."""
    provider: str
    """Whose it is."""
    created: float
    """Seconds since the machine started, so that nobody's clock matters."""
    ends: float
    """When its wall clock ends it, likewise."""
    boot: str
    """Which start of the machine those count from."""
    created_at: AwareDatetime | None = None
    """When, for people: after the machine was started anew nothing else tells."""
    template: Template | None = None
    """What it was made from."""
    record: SandboxRecord | None = None
    """How it was made; None until it runs."""
    workspace: str | None = None
    """Its workspace, for processes that did not make it."""
    extra: Mapping[str, str] = Field(default_factory=dict)
    """What the provider needs to find its parts again."""

    @property
    def orphan(self) -> bool:
        """Whether nobody can want it any more: its maker is dead, or its time is over for good."""
        return self.boot != boot_id() or (is_dead(self.owner) if self.owner else now() > self.ends)


def note_for(template: Template, provider: str, owner: str, grace: float = 0.0) -> Note:
    """The note of a sandbox that is about to be made."""
    seconds = template.limits.minutes * 60
    return Note(
        run_id=template.run_id,
        owner="" if template.detached else owner,
        provider=provider,
        created=now(),
        ends=now() + seconds + grace,
        boot=boot_id(),
        created_at=datetime.now(UTC),
        template=template,
    )


def write_note(folder: Path, note: Note) -> None:
    """It is there whole or not at all."""
    temporary = folder / f".{FILE}.{os.getpid()}"
    temporary.write_text(note.model_dump_json())
    temporary.replace(folder / FILE)


def read_note(folder: Path) -> Note | None:
    """The note of a folder; None where there is none that we can read."""
    try:
        return Note.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError, ValueError):
        return None


def unfinished(work: Path) -> Iterator[Path]:
    """Folders that were never more than made, and that nobody touched for an hour: their maker died in between.

    The note is the first thing in a folder of ours: one that holds anything else is somebody else's.
    """
    for folder in work.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            empty = all(each.name.startswith(f".{FILE}.") for each in folder.iterdir())
            if empty and folder.stat().st_mtime < time.time() - _UNTOUCHED:
                yield folder


def notes(work: Path, provider: str) -> Iterator[tuple[Path, Note]]:
    """Folders of a provider with their notes, oldest first."""
    found = [(folder, note) for folder in work.glob(f"{PREFIX}*") if (note := read_note(folder)) is not None]
    yield from sorted((each for each in found if each[1].provider == provider), key=lambda each: each[1].created)


def info_of(name: str, note: Note, state: SandboxState) -> SandboxInfo:
    """What `list` shows of it."""
    moment, clock = datetime.now(UTC), now()
    created_at = moment - timedelta(seconds=clock - note.created)
    if note.boot != boot_id() and note.created_at is not None:
        created_at = note.created_at
    return SandboxInfo(
        id=name,
        provider=note.provider,
        state=state,
        run_id=note.run_id,
        image=note.template.image if note.template else "",
        created_at=created_at,
        ends_at=created_at + timedelta(seconds=note.ends - note.created),
        orphan=note.orphan,
    )


def describe(workspace: Workspace) -> str:
    """A workspace as JSON, without what was only needed to make it."""
    return _workspaces().dump_json(workspace, exclude={"cleaning": {"files"}}).decode()


def restore(description: str) -> Workspace:
    """The workspace that was described."""
    return _workspaces().validate_json(description)


@cache
def _workspaces() -> TypeAdapter[Workspace]:
    return TypeAdapter(Workspace)


def now() -> float:
    """Seconds since the machine started, sleep included: the same for every process, whatever the clocks show."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Which start of the machine this is."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def process_identity(pid: int) -> str | None:
    """Name of a living process that no later one has: boot, PID namespace, PID, start time in ticks; None if dead."""
    try:
        # The command's name may hold spaces and parentheses; the 20th field after it is the start.
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - one of the kernel's files, not a path of ours
    except OSError:
        return None
    return None if values[0] in "ZX" else f"{boot_id()}:{namespace}:{pid}:{values[19]}"


def of_this_boot(owner: str) -> bool:
    """Whether an owner's process was started since this machine was: another one may live on another machine."""
    return owner.partition(":")[0] == boot_id()


def is_dead(owner: str) -> bool:
    """Whether the process that an owner names is gone for sure; another PID namespace's is let live."""
    boot, namespace, pid, start = [*owner.split(":"), "", "", ""][:4]
    here = process_identity(os.getpid())
    if here is None or not (pid.isdigit() and start.isdigit()):
        return False
    my_boot, my_namespace = here.split(":")[:2]
    if boot != my_boot:
        return True
    return namespace == my_namespace and process_identity(int(pid)) != owner

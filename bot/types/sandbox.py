"""What goes into a sandbox and what comes out: templates, commands, changed files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from bot.types.network import Network, NetworkMode
from bot.types.task import Limits
from bot.types.value import Argv, Digest, Ending, RunId, Value

WORKSPACE = "/workspace"
"""Where a sandbox has the checkout: commands start there, and may be given or print absolute paths below it."""


class Cache(Value):
    """A folder that outlives sandboxes: what package managers downloaded."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
    """Language and digest of its lock file; sandboxes with the same name share it."""
    path: Annotated[str, StringConstraints(pattern=r"^/[^\x00:,]+$")]
    """Where the sandbox has it, absolute."""
    writable: bool = False
    """Only for runs that a writer of the repository started: what lies in it is trusted by later runs."""


class Template(Value):
    """What a sandbox is made from."""

    image: str = "host"
    """`host` (this machine's toolchain, read-only, no image needed), an image's name, `dockerfile:PATH` or
    `devcontainer:PATH`, both relative to the checkout."""
    run_id: RunId
    """Label by which leftovers of this run are found."""
    checkout: str | None = None
    """Pristine checkout on this machine, which is never written; None for an empty workspace."""
    env: Mapping[str, str] = Field(default_factory=dict)
    """Environment of every command; nothing of the host's comes along."""
    limits: Limits = Limits()
    """Memory, processors, processes, disk, wall clock."""
    network: Network = Network()
    """Whom it may talk to."""
    caches: tuple[Cache, ...] = ()
    """Folders shared with other sandboxes."""
    cache_scope: str = ""
    """The repository's id, where sandboxes of it share what package managers downloaded; none do if empty."""
    tmpfs: Mapping[
        Annotated[str, StringConstraints(pattern=r"^/[^\x00:,]+$")], Annotated[int, Field(ge=1, le=65_536)]
    ] = Field(default_factory=dict)
    """Further folders in memory: path -> MiB. They count as the sandbox's memory."""
    noexec: bool = False
    """Nothing that lies in /tmp, the home or another folder in memory can be executed."""
    gpu: bool = False
    """All GPUs of the machine."""
    runtime: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,60}$")] | None = None
    """OCI runtime of the engine, such as `runsc` (gVisor); the engine's default if None."""
    read_only: bool = False
    """The workspace can't be written either."""
    trusted: bool = False
    """A writer of the repository wrote the checkout: what it says of images may be built, and may run as root there."""
    pristine: bool = False
    """The checkout was made by us and holds what git tracks, nothing else: no credentials have to be looked for."""
    symlinks: bool = False
    """Symbolic links are collected as well, those that lead out of the workspace or nowhere excepted."""
    detached: bool = False
    """It outlives the process that makes it, until its wall clock ends it."""


class SandboxRecord(Value):
    """How a sandbox was made, for the record: what was asked for and could not be had is said in `notes`."""

    provider: str
    """`docker`, `bubblewrap`, `local` or a plugin's name."""
    image: str = ""
    """As asked for."""
    workspace: Literal["overlay", "copy", "tar"]
    """How the checkout is protected: a layer above it, a copy, or an archive sent to an engine that is elsewhere."""
    disk: Literal["volume", "watched", "none"]
    """Who caps the disk: a volume of that size, a look at what was written while commands run, or nobody."""
    network: NetworkMode = "none"
    """As asked for."""
    warm: bool = False
    """It, or its namespaces, had been made before they were asked for."""
    notes: tuple[str, ...] = ()
    """A sentence for everything that could not be enforced here."""


SandboxState = Literal["running", "paused", "stopped"]


class SandboxInfo(Value):
    """One sandbox of ours on this machine, whoever made it."""

    id: str
    """Its name."""
    provider: str
    """Which provider has it."""
    state: SandboxState
    """`stopped` when its wall clock or a fault ended it, and nobody removed it yet."""
    run_id: RunId
    """Run that it belongs to."""
    image: str = ""
    """What it was made from."""
    created_at: AwareDatetime
    """When."""
    ends_at: AwareDatetime
    """When its wall clock ends it."""
    orphan: bool = False
    """The process that made it is dead, so that the next sweep removes it."""


class SandboxStats(Value):
    """What a sandbox uses now. Figures that nobody here can tell are None."""

    memory_mb: float | None = None
    """Memory, page cache left out, in MiB."""
    memory_peak_mb: float | None = None
    """The most it ever was, page cache included, in MiB."""
    cpu_seconds: float | None = None
    """Processor time since the start."""
    cpu_percent: float | None = None
    """Share of one processor since the last look, or since the start."""
    pids: int | None = None
    """Processes and threads."""
    disk_mb: float | None = None
    """What was written into the workspace, in MiB."""
    received_mb: float | None = None
    """Bytes from its network, in MiB; 0 where it has none."""
    sent_mb: float | None = None
    """Bytes to its network, likewise."""


class ExecRequest(Value):
    """One command for a sandbox."""

    argv: Argv
    """Program and arguments; no shell reads them."""
    cwd: str = "."
    """Folder, relative to the workspace."""
    env: Mapping[str, str] = Field(default_factory=dict)
    """Added to the template's environment."""
    stdin: bytes = b""
    """Standard input."""
    seconds: float = Field(default=600, gt=0)
    """Time-out; whatever the command started is killed with it."""
    output_bytes: int = Field(default=1_000_000, ge=0)
    """Kept bytes of each stream: head and tail."""


class ExecResult(Value):
    """How a command ended. A time-out is a result, not an error."""

    ending: Ending
    """What ended it; only `exited` comes with an exit code that the command chose."""
    exit_code: int
    """Its exit code; 124 after a time-out, 137 after a kill; never 0 unless it exited with 0."""
    stdout: bytes = b""
    """Standard output, cut in the middle when it was too long."""
    stderr: bytes = b""
    """Standard error, cut in the middle when it was too long."""
    dropped_bytes: int = 0
    """How much was cut from both."""
    seconds: float = 0.0
    """How long it ran."""

    @property
    def ok(self) -> bool:
        return self.ending == "exited" and self.exit_code == 0


class Blob(Value):
    """Contents of a file, kept in a folder under its digest."""

    digest: Digest
    """SHA-256 of the bytes, and the file's name in the blob folder."""
    size: int = Field(ge=0)
    """Bytes."""
    mode: Literal["100644", "100755", "120000"] = "100644"
    """Git's mode: file, executable, symlink."""


class FileChange(Value):
    """One path that differs from the checkout."""

    path: str
    """Relative, `/` between parts, never absolute, no `.` or `..` part."""
    old: Blob | None = None
    """Before; None when it was added."""
    new: Blob | None = None
    """After; None when it was deleted."""
    added: int | None = None
    """Lines added, None where nobody counted or it is not text."""
    deleted: int | None = None
    """Lines deleted, likewise."""

    @property
    def kind(self) -> Literal["added", "modified", "deleted"]:
        return "added" if self.old is None else "deleted" if self.new is None else "modified"


class Changes(Value):
    """What the sandbox left behind in the workspace."""

    files: tuple[FileChange, ...] = ()
    """Sorted by path, without what the repository ignores."""
    skipped: tuple[str, ...] = ()
    """A line for every path that was not taken (symlink, FIFO, too large, ...)."""
    complete: bool = True
    """False when a limit cut the collection short: such a proposal is never published."""

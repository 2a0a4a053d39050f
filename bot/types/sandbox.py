"""What goes into a sandbox and what comes out: templates, commands, changed files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from bot.types.task import Limits
from bot.types.value import Argv, Digest, Ending, RunId, Value

WORKSPACE = "/workspace"
"""Where a sandbox has the checkout: commands start there, and may be given or print absolute paths below it."""


class Template(Value):
    """What a sandbox is made from."""

    image: str = "host"
    """`host` (this machine's toolchain, read-only, no image needed) or an image's name."""
    run_id: RunId
    """Label by which leftovers of this run are found."""
    checkout: str
    """Pristine checkout on this machine; it is never written."""
    env: Mapping[str, str] = Field(default_factory=dict)
    """Environment of every command; nothing of the host's comes along."""
    limits: Limits = Limits()
    """Memory, processors, processes, wall clock."""


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

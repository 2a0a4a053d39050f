"""What to do: a task with its limits, pinned into the specification of one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from bot.types.event import Actor, Comment, Repository, Revision, Subject
from bot.types.network import HostPattern
from bot.types.value import Argv, OutputKind, Permission, RunId, SubjectKind, Trust, Value


class Limits(Value):
    """What a run may use at the most."""

    minutes: float = Field(default=20, gt=0, le=360)
    """Wall clock of the whole run, in minutes."""
    steps: int = Field(default=40, ge=1, le=1000)
    """Calls of the model."""
    usd: float = Field(default=2.0, ge=0, le=1000)
    """US dollars paid to the model's provider."""
    memory_mb: int = Field(default=4096, ge=64, le=1_048_576)
    """Memory of the sandbox, swap included, in MiB."""
    cpus: float = Field(default=2.0, gt=0, le=256)
    """Processors of the sandbox."""
    pids: int = Field(default=512, ge=16, le=65_536)
    """Processes and threads in the sandbox."""
    disk_mb: int = Field(default=8192, ge=16, le=1_048_576)
    """What the sandbox may write into its workspace, in MiB."""
    command_seconds: float = Field(default=600, gt=0, le=21_600)
    """Wall clock of one command, in seconds."""
    output_bytes: int = Field(default=1_000_000, ge=1_000, le=100_000_000)
    """Kept bytes of each stream of one command; head and tail stay, the middle goes."""
    changed_files: int = Field(default=1_000, ge=1, le=10_000)
    """Files that a proposal may touch."""
    changed_bytes: int = Field(default=20_000_000, ge=1_000, le=100_000_000)
    """Bytes that a proposal may hold."""


OPTIONS = ("model", "image", "minutes", "steps", "usd")
"""What a requester may override, in a command or a dispatch; limits only downwards."""


class Task(Value):
    """One thing that the bot can be asked to do, built in or from the repository's policy."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    """What people type: `/bot <name>`, label `bot:<name>`."""
    description: str = ""
    """One line for `/bot help`."""
    runtime: str = "builtin"
    """Who does it: `builtin` (the agent), `command` (no model), `triage` (no sandbox), or an allowed plugin."""
    prompt: str = ""
    """What the agent is told, before the issue's text."""
    setup: tuple[Argv, ...] = ()
    """Commands that prepare the checkout; one that fails ends the run."""
    commands: tuple[Argv, ...] = ()
    """What the `command` runtime runs, in order; one that fails ends the run."""
    verify: tuple[Argv, ...] = ()
    """Commands run before and after the task, whose results are compared."""
    permission: Permission = "write"
    """The least permission of whoever starts it, asked from the forge."""
    subjects: tuple[SubjectKind, ...] = ("issue", "pull_request")
    """What it may be started on."""
    outputs: tuple[OutputKind, ...] = ("comment", "patch")
    """What it may publish."""
    protected: tuple[str, ...] = ()
    """Paths (gitignore patterns) that it may not touch, on top of those that no task may."""
    symlinks: bool = False
    """Whether a proposal may hold symbolic links; those that lead out of the repository never."""
    reports: tuple[str, ...] = ()
    """Test reports (JUnit XML) that its commands write, as gitignore patterns; failures become remarks on lines."""
    labels: tuple[str, ...] = ()
    """Labels that it puts on when it succeeds."""
    limits: Limits = Limits()
    """What it may use."""
    image: str | None = None
    """`host`, or a container image by name; the operator's default if None."""
    model: str | None = None
    """A model among those that the operator allows; the operator's default if None."""
    env: Mapping[str, str] = Field(default_factory=dict)
    """Plain variables for the sandbox. Never a secret: the file is public."""
    hosts: tuple[HostPattern, ...] = ()
    """Hosts that the sandbox may reach, through a proxy that judges every request; never for a fork's code."""


class RunSpec(Value):
    """All that a run needs, pinned when the gate let it through."""

    run_id: RunId
    """Derived from the event's identity."""
    task: Task
    """What to do, overrides applied and cut to the operator's limits."""
    repository: Repository
    """Where."""
    subject: Subject | None
    """On what; None for a dispatch without a number."""
    revision: Revision
    """The commit that the sandbox sees."""
    base: Revision
    """The branch that a pull request of ours would go to, and its commit at the gate."""
    requester: Actor
    """Who asked."""
    trust: Trust
    """What may become of the result: `fork` means a patch as artifact, never a write to code."""
    instructions: str = ""
    """The requester's free text."""
    conventions: str = ""
    """AGENTS.md or CLAUDE.md of the default branch."""
    policy_digest: str = ""
    """SHA-256 of the policy file at the gate, empty where there was none: one that changed stops the publication."""
    discussion: tuple[Comment, ...] = ()
    """Comments made before the event, for the agent to read; strangers' text."""

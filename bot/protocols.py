"""The seams, all on one page: what the story needs of the world. Adapters stand behind them, fakes in bot.testing.

A newcomer may skip this page: every Protocol has one obvious implementation, named in bot.wiring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

from bot.types.event import Actor, Comment, Event, Revision, Subject
from bot.types.model import Completion, Message, ToolSpec
from bot.types.output import Output, Receipt
from bot.types.pull import PullState
from bot.types.result import CheckFailure, Outcome
from bot.types.run import Progress, Run
from bot.types.sandbox import Changes, ExecRequest, ExecResult, SandboxInfo, SandboxRecord, SandboxStats, Template
from bot.types.task import Limits, RunSpec
from bot.types.triage import IssueType, LabelInfo, Measured, Neighbour, PastIssue, Posterior, RelevantFile
from bot.types.value import CommentKind, Permission, SubjectKind

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, bytes], None]
Cancelled = Callable[[], bool]
"""True once a person asked to stop; cheap enough to be asked about every second."""


class SandboxFiles(Protocol):
    """Files of a workspace. Every path is relative to it and resolved inside, as the task's user."""

    def read_file(self, path: str, *, max_bytes: int = 10_000_000) -> bytes:
        """Contents of a regular file. Raises TaskError `no_such_file`, `not_a_file`, `file_too_large`."""

    def write_file(self, path: str, data: bytes, *, executable: bool | None = None) -> None:
        """Create or replace a file, with its folders; None keeps the mode. Raises TaskError `not_writable`."""

    def list_files(self, path: str = ".", *, limit: int = 10_000) -> tuple[str, ...]:
        """Files below a folder, sorted, `.git` left out. Raises TaskError `no_such_file`."""

    def delete_file(self, path: str) -> None:
        """Remove a file, a link, or a folder with all it holds. Raises TaskError `no_such_file`, `not_writable`."""


class SandboxVitals(Protocol):
    """How a sandbox is."""

    @property
    def record(self) -> SandboxRecord:
        """How it was made."""

    def stats(self) -> SandboxStats:
        """What it uses now. Raises SandboxError when it is lost."""

    def health(self) -> str | None:
        """None when it answers within five seconds, else what is wrong."""

    def pause(self) -> None:
        """Freeze everything in it. Its wall clock goes on. Raises SandboxError; paused twice is paused."""

    def resume(self) -> None:
        """Go on. Raises SandboxError; one that runs goes on running."""


class Sandbox(SandboxFiles, SandboxVitals, Protocol):
    """A place where untrusted code runs."""

    @property
    def id(self) -> str: ...

    def exec(
        self, request: ExecRequest, *, on_output: OnOutput | None = None, cancelled: Cancelled | None = None
    ) -> ExecResult:
        """Run a command to its end, also beside others. A time-out ends everything that runs in the sandbox.

        Raises SandboxError only when the sandbox itself is lost, `sandbox_expired` when its time is over.
        """

    def collect(self, blobs: Path) -> Changes:
        """Kill everything inside, then read what differs from the checkout, bytes into `blobs` under their digest."""

    def close(self) -> None:
        """Remove the sandbox with all it holds; a second call does nothing."""


class SandboxInventory(Protocol):
    """The sandboxes of ours that this machine has, whichever process made them."""

    def list(self) -> tuple[SandboxInfo, ...]:
        """All of them, oldest first. Raises SandboxError when nobody answers."""

    def get(self, sandbox_id: str) -> Sandbox | None:
        """A living one by its id, whole or by a beginning that only it has; None when there is none."""

    def capacity(self, limits: Limits) -> int:
        """How many such sandboxes the machine bears at once; at least 1."""


class SandboxProvider(SandboxInventory, Protocol):
    """Where sandboxes come from."""

    def create(self, template: Template) -> Sandbox:
        """A new, healthy, unused sandbox. Raises SandboxError, and then leaves nothing behind."""

    def warm(self, template: Template, count: int = 1) -> None:
        """Get ready, in the background, for sandboxes like this one. A favour: it never raises."""

    def healthy(self) -> str | None:
        """None when sandboxes can be made, else what is wrong and how to mend it."""

    def sweep(self, run_id: str | None = None) -> int:
        """Remove leftovers of ours (of one run, or of dead processes); other people's stay. Returns how many."""

    def close(self) -> None:
        """Give back what was made ahead and wait for what is being removed. Sandboxes stay; a second call is none."""


class AgentRuntime(Protocol):
    """Who does a task inside a sandbox."""

    def run(self, spec: RunSpec, sandbox: Sandbox, *, watch: Observer, cancelled: Cancelled) -> Outcome:
        """Do it. A task that fails is an Outcome; an error means that a provider failed or a person cancelled."""


class LLM(Protocol):
    """A model that completes conversations."""

    @property
    def model(self) -> str: ...

    @property
    def window(self) -> int:
        """Tokens that a conversation may have."""

    def complete(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        schema: dict[str, Any] | None = None,
        seconds: float = 120,
        max_tokens: int = 4096,
    ) -> Completion:
        """One call, retried when that helps. Raises ModelError."""

    def estimate(self, messages: Sequence[Message], *, max_tokens: int = 4096) -> float:
        """US dollars that the call would cost at the most, 0.0 where the price is unknown."""

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of a conversation, a little too high rather than too low."""


class ForgeReviews(Protocol):
    """What was said about commits of one repository on the forge."""

    def diff(self, number: int) -> str:
        """A pull request's unified diff."""

    def failures(self, sha: str) -> tuple[CheckFailure, ...]:
        """The check runs that failed on a commit, our own left out."""


class ForgePast(Protocol):
    """What one repository remembers and holds, for triage to learn from."""

    def past(self, *, since: str = "", most: int = 1_000, after: str = "") -> Iterator[tuple[PastIssue, ...]]:
        """Issues (no pull requests) page by page, changed last first; only those changed since an ISO time if given.

        `after` is the cursor of the last issue that was read, to go on behind it.
        """

    def labels(self) -> tuple[LabelInfo, ...]:
        """The labels that the repository has, at most 1,000."""

    def paths(self, ref: str) -> tuple[str, ...]:
        """Paths of the files at a commit or branch, at most 100,000; none if there is no such commit."""

    def pull_state(self, number: int) -> PullState | None:
        """A pull request with its reviews, threads and checks; None if there is none."""

    def changed_paths(self, number: int) -> tuple[str, ...]:
        """Paths that a pull request changes, at most 3,000; of a renamed file both."""

    def backlog(self, *, since: str = "") -> Iterator[tuple[Subject, ...]]:
        """Open issues page by page, oldest first; only those opened since an ISO time if given."""


class ForgeReader(ForgeReviews, ForgePast, Protocol):
    """One repository on the forge, read-only: with this in its hands code can't write."""

    def viewer(self) -> Actor:
        """The account that our token acts as."""

    def permission(self, actor: Actor) -> Permission:
        """What that account may do here, `none` for a stranger, and for a login that now belongs to another id."""

    def subject(self, where: int | str, *, kind: SubjectKind | None = None) -> Subject | None:
        """An issue or pull request by number, or the open pull request from `owner:branch`; None if there is none.

        `kind` is what the number stands for, where that is known: it saves a question.
        """

    def comments(self, number: int, *, kind: CommentKind = "issue", since: str | None = None) -> tuple[Comment, ...]:
        """Comments, oldest first; those changed since an ISO time if given."""

    def file(self, path: str, ref: str) -> bytes | None:
        """A file at a commit or branch, None if there is none."""

    def revision(self, ref: str) -> Revision | None:
        """The commit that a branch (or a SHA) stands for, None if there is none."""


class ForgeWriter(Protocol):
    """The same repository, for writing. `apply` is the only way in, so Output is the list of all that may happen."""

    def apply(self, output: Output, *, blobs: Path, doubt: bool = False) -> Receipt:
        """Publish once. With `doubt` (begun before, end unknown) the forge is read first and a finished write kept."""


class Knowledge(Protocol):
    """What was learned from one repository's own past. Asks nobody, costs nothing, and never raises for a text."""

    def posterior(self, title: str, body: str) -> Posterior:
        """What an issue with that text is, and which labels it deserves."""

    def neighbours(self, title: str, body: str, *, number: int | None = None, most: int = 5) -> tuple[Neighbour, ...]:
        """Earlier issues that are like it, most alike first; with its number, never itself and only earlier ones."""

    def files(self, title: str, body: str, *, most: int = 5) -> tuple[RelevantFile, ...]:
        """Files that the text points to, most relevant first; none where no checkout and no list of paths is known."""

    def measured(self) -> Measured:
        """How well it knows the repository."""


class OpensKnowledge(Protocol):
    """Opens what was learned from one repository's past, and brings it up to date first."""

    def __call__(self, *, error: float = 0.05, types: Mapping[str, IssueType] = MappingProxyType({})) -> Knowledge:
        """`error` is the share of wrong labels that its thresholds bear, `types` label -> type, else found by names."""


class Checkouts(Protocol):
    """Where the pristine checkout of a run comes from."""

    def prepare(self, spec: RunSpec, into: Path) -> Path:
        """A folder at `spec.revision`: one that is there already, or a new one below `into`."""


class Store(Protocol):
    """What happened, kept so that a crash loses nothing."""

    def open(self, event: Event) -> Run:
        """The run of this event: the one that is there, or a new one."""

    def save(self, run: Run) -> Run:
        """Keep it, atomically, with a new `updated_at`."""

    def claim(self, run_id: str) -> AbstractContextManager[bool]:
        """True for the one process that may work on the run until it leaves the block or dies; False for others."""

    def load(self, run_id: str) -> Run | None:
        """A run by its id or a unique beginning of it."""

    def list(self, *, limit: int = 100) -> tuple[Run, ...]:
        """Newest first."""

    def folder(self, run_id: str) -> Path:
        """The folder for a run's artifacts; it exists."""


class Observer(Protocol):
    """Who watches. Its errors are logged and dropped."""

    def notify(self, progress: Progress) -> None: ...

"""The whole story with fakes at every seam: a forge in memory, a folder as sandbox, a real store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bot.agent.runtimes.builtin import BuiltinRuntime
from bot.agent.runtimes.command import CommandRuntime
from bot.deps import Deps
from bot.protocols import AgentRuntime
from bot.settings import Settings
from bot.store.folder import FolderStore
from bot.testing.forge import FakeForge, FakeReader, FakeWriter
from bot.testing.llm import ScriptedLLM, call
from bot.testing.sandbox import FakeProvider, exited
from bot.types.event import Event
from bot.types.output import Output
from bot.types.run import Progress
from bot.types.sandbox import ExecRequest, ExecResult
from bot.types.task import RunSpec
from tests.triage_fixtures import forge_for, labeled

POLICY = """\
version: 1
tasks:
  regenerate:
    runtime: command
    commands: [make generate]
    verify: [make test]
    outputs: [comment, labels, branch, pull_request, check]
    labels: [regenerated]
"""


class News:
    """An Observer that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[Progress] = []

    def notify(self, progress: Progress) -> None:
        self.told.append(progress)


class FolderCheckouts:
    """Checkouts that are a folder with one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        (self.folder / "table.txt").write_text("old\n")

    def prepare(self, spec: RunSpec, into: Path) -> Path:
        return self.folder


def make(request: ExecRequest, workspace: Path) -> ExecResult:
    """What `make` does in the sandbox: generate the table; the test passes once it is new."""
    table = workspace / "table.txt"
    if request.argv == ("make", "generate"):
        table.write_text("new\n")
        return exited(0, b"generated\n")
    return exited(0 if table.read_text() == "new\n" else 2, b"tested\n")


FIX = [
    call("write", {"path": "table.txt", "content": "new\n"}),
    call("finish", {"title": "Renew the table", "summary": "It was **old**.", "success": True}),
]


class Kit:
    """Everything that one event needs, remade for each process that a test pretends to start."""

    def __init__(self, folder: Path, event: Event | None = None, *, policy: str = POLICY) -> None:
        self.folder = folder
        self.event = event or labeled("bot:regenerate")
        self.forge: FakeForge = forge_for(self.event, policy=policy)
        self.settings = Settings(state=folder / "state")
        self.news = News()
        self.sandboxes: FakeProvider = FakeProvider(folder / "boxes", make)
        self.script = list(FIX)

    def deps(
        self,
        *,
        before: Callable[[Output], None] = lambda output: None,
        after: Callable[[Output], None] = lambda output: None,
        store: FolderStore | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Deps:
        """A process: new adapters over the same forge, and over the same disk unless a store is given."""

        def runtime(spec: RunSpec) -> AgentRuntime:
            return CommandRuntime() if spec.task.runtime == "command" else BuiltinRuntime(ScriptedLLM(self.script))

        return Deps(
            settings=self.settings,
            reader=FakeReader(self.forge),
            writer=FakeWriter(self.forge, before=before, after=after),
            store=store or FolderStore(self.settings.state),
            sandboxes=self.sandboxes,
            runtime=runtime,
            model=None,
            checkouts=FolderCheckouts(self.folder / "checkout"),
            watch=self.news,
            cancelled=cancelled,
            secrets=("hunter2-hunter2",),
        )

    def state(self) -> dict[str, object]:
        """What people can see on the forge, without the parts that differ from one run of the test to the next."""
        return {
            "comments": [each.body.split("\n")[0] for each in self.forge.comments.get(7, [])],
            "labels": self.forge.subjects[7].labels,
            "branches": sorted(self.forge.branches),
            "commits": [(each.branch, each.parent, each.message) for each in self.forge.commits],
            "pulls": [(each.head, each.base, each.title) for each in self.forge.pulls],
            "checks": [(each.key, each.name, each.conclusion) for each in self.forge.checks],
            "reactions": [each.content for each in self.forge.reactions],
        }

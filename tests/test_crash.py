"""kill -9 at every write of a run on GitHub, then the same event again: the end is that of a run without the fault."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.agent.runtimes.command import CommandRuntime
from bot.deps import Deps
from bot.forge.events.parsing import parse_event
from bot.forge.forge import open_forge
from bot.pipeline import handle
from bot.settings import Settings
from bot.store.folder import FolderStore
from bot.testing.sandbox import FakeProvider
from bot.types.event import Event
from bot.types.run import Run
from tests.github_server.exchange import Request
from tests.github_server.faults import Kind
from tests.github_server.server import GitHubServer
from tests.github_server.trees import files_of
from tests.github_server.webhooks import issues_labeled
from tests.pipeline_fixtures import POLICY, FolderCheckouts, News, make

NAME, TOKEN = "octo/hello", "t0ken-of-the-job"
FILES = {".github/bot.yml": POLICY, "table.txt": "old\n"}


@dataclass(frozen=True)
class Order:
    """What a process needs to serve the event; small enough to be sent to it."""

    event: Event
    api: str
    pages: str
    folder: Path


def serve(order: Order) -> Run:
    """One process's try: new adapters, the same disk."""
    settings = Settings(token=SecretStr(TOKEN), api_url=order.api, server_url=order.pages, state=order.folder / "state")
    reader, writer = open_forge(settings, NAME)
    return handle(
        order.event,
        Deps(
            settings=settings,
            reader=reader,
            writer=writer,
            store=FolderStore(settings.state),
            sandboxes=FakeProvider(order.folder / f"boxes-{os.getpid()}", make),
            runtime=lambda spec: CommandRuntime(),
            model=None,
            checkouts=FolderCheckouts(order.folder / "checkout"),
            watch=News(),
            cancelled=lambda: False,
        ),
    )


@dataclass
class Story:
    """A server with the labelled issue, and how many writes it has seen."""

    server: GitHubServer
    order: Order
    writes: list[str] = field(default_factory=list)
    kill_at: int = 0
    victim: int = 0

    def count(self, request: Request) -> None:
        """Called after a request was carried out and before it is answered: the write is done, nobody knows."""
        if request.reads:
            return
        self.writes.append(f"{request.method} {request.path}")
        if len(self.writes) == self.kill_at:
            os.kill(self.victim, signal.SIGKILL)

    def seen(self) -> dict[str, object]:
        """What people see."""
        repo = self.server.repo(NAME)
        refs = repo.git.refs()
        steady = [re.sub(r"\d+(\.\d+)? s\b|\b[0-9a-f]{7,40}\b|:\d+/", "-", body) for body in repo.comments(1)]
        return {
            "files": {ref: files_of(repo.git, sha) for ref, sha in refs.items() if not ref.startswith("refs/pull/")},
            "comments": [body.split("\n", 2)[2] for body in steady],
            "labels": sorted(repo.issues[1].label_names),
            "pulls": [(each.title, each.pull.head_ref if each.pull else "") for each in list(repo.issues.values())[1:]],
            "reactions": [each.content for each in repo.issues[1].reactions],
            "checks": [(each.fields["name"], each.fields["conclusion"]) for each in repo.check_runs],
        }


def story(server: GitHubServer, folder: Path) -> Story:
    folder.mkdir()
    server.add_repo(NAME, FILES)
    server.add_token(TOKEN)
    server.add_user("maria")
    server.set_permission(NAME, "maria", "write")
    server.open_issue(NAME, title="The table is old", labels=["bot:regenerate"])
    settings = Settings()
    event = parse_event("issues", issues_labeled(server, NAME, 1, "bot:regenerate", "maria"), settings=settings)
    event = event.changed(id="the same", repository=event.repository.changed(id=1))
    told = Story(server, Order(event, server.url, server.html_url, folder))
    server.on_request(told.count, "after")
    return told


def test_kill_minus_nine_at_every_write(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.test_crash"])
    with GitHubServer() as server:
        calm = story(server, tmp_path / "calm")
        assert serve(calm.order).conclusion == "success"
        expected, writes = calm.seen(), list(calm.writes)
        assert server.violations == []
    assert len(writes) >= 8, writes
    for number, name in enumerate(writes, 1):
        with GitHubServer() as server:
            told = story(server, tmp_path / f"kill-{number}")
            process = processes.Process(target=serve, args=(told.order,))
            process.start()
            assert process.pid is not None
            told.victim, told.kill_at = process.pid, number
            process.join(60)
            assert process.exitcode == -signal.SIGKILL, f"{name}: the process ended by itself"
            run = serve(told.order)
            assert (run.conclusion, told.seen()) == ("success", expected), f"killed at write {number}: {name}"


def test_three_deliveries_at_the_same_moment_make_one_run(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.test_crash"])
    with GitHubServer() as server:
        calm = story(server, tmp_path / "calm")
        serve(calm.order)
        expected, writes = calm.seen(), len(calm.writes)
    with GitHubServer() as server:
        told = story(server, tmp_path / "thrice")
        same = [processes.Process(target=serve, args=(told.order,)) for _ in range(3)]
        for each in same:
            each.start()
        for each in same:
            each.join(60)
        assert [each.exitcode for each in same] == [0, 0, 0]
        assert (told.seen(), len(told.writes)) == (expected, writes)


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_connection_that_breaks_at_any_write_changes_nothing(tmp_path: Path, kind: Kind) -> None:
    with GitHubServer() as server:
        calm = story(server, tmp_path / "calm")
        serve(calm.order)
        expected, methods = calm.seen(), [each.split()[0] for each in calm.writes]
    for number, method in enumerate(methods):
        with GitHubServer() as server:
            told = story(server, tmp_path / f"{kind}-{number}")
            server.faults.add(method, ".*", kind, skip=methods[:number].count(method))
            run = serve(told.order)
            assert (run.conclusion, told.seen()) == ("success", expected), f"{kind} at write {number + 1}"

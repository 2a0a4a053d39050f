"""The threads of `sandpiper serve`: every delivery ends somewhere, and what waits does so for one reason only."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.api.errands import PAUSES, TRIES
from bot.api.work import Crew
from bot.errors import ConfigurationError, ProviderError, SandpiperError
from bot.settings import Settings
from bot.store.inbox import Delivery, Inbox
from bot.types.event import Event
from bot.types.result import Failure
from bot.types.run import Run, run_id_of
from tests.github_server.server import GitHubServer
from tests.serve_fixtures import NAME, asks, github_with_ann, until


@pytest.fixture(scope="module")
def github() -> Iterator[GitHubServer]:
    with github_with_ann() as found:
        yield found


class Bench:
    """A crew over a real inbox, whose work is a function of the test."""

    def __init__(self, folder: Path, perform: Any) -> None:
        self.inbox = Inbox(folder)
        self.abandoned: list[tuple[Event, str]] = []
        self.crew = Crew(self.inbox, Settings(workers=2, state=folder), perform, self._abandon)
        self.crew.start()

    def _abandon(self, event: Event, reason: str) -> None:
        self.abandoned.append((event, reason))

    def send(self, payload: dict[str, Any], name: str, event: str = "issue_comment") -> Delivery:
        sent = Delivery(id=name, event=event)
        self.inbox.put(sent, json.dumps(payload).encode())
        self.crew.schedule.add(sent)
        return sent

    def where(self, delivery: Delivery, folder: Path) -> list[str]:
        return sorted(each.parent.name for each in (folder / "inbox").glob(f"*/{delivery.name}"))


def finished(event: Event) -> Run:
    return Run(run_id=run_id_of(event), event=event, status="completed", conclusion="success")


def test_a_stop_is_heard_while_a_run_on_the_same_issue_is_under_way(tmp_path: Path, github: GitHubServer) -> None:
    _, fix = asks(github, "/bot fix")
    stop = fix | {"comment": fix["comment"] | {"id": 991, "body": "/bot stop"}}
    again = fix | {"comment": fix["comment"] | {"id": 992, "body": "/bot fix"}}
    stopped, seen = threading.Event(), []

    def perform(event: Event) -> Run:
        seen.append(event.trigger.comment.body if event.trigger.kind == "comment" else "")
        if seen[-1] == "/bot stop":
            stopped.set()
        elif len(seen) == 1:
            assert stopped.wait(30)
            assert seen == ["/bot fix", "/bot stop"]  # the second run waits for the first
        return finished(event)

    bench = Bench(tmp_path, perform)
    first = bench.send(fix, "a")
    until(lambda: seen == ["/bot fix"])
    third = bench.send(again, "c")
    bench.send(stop, "b")
    until(lambda: bench.crew.schedule.counts() == (0, 0))
    assert seen == ["/bot fix", "/bot stop", "/bot fix"]
    assert bench.where(first, tmp_path) == bench.where(third, tmp_path) == ["done"]
    assert bench.crew.stop(10)


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (ConfigurationError("token_missing", "no token"), ["aside"]),
        (ProviderError("down", "GitHub is down"), ["waiting"]),
        (ZeroDivisionError("a defect"), ["done"]),
        (SandpiperError("store_unusable", "the disk is full"), ["waiting"]),
        (None, ["waiting"]),
    ],
)
def test_every_delivery_ends_somewhere(
    tmp_path: Path, github: GitHubServer, error: Exception | None, place: list[str]
) -> None:
    calls = []

    def perform(event: Event) -> Run:
        calls.append(event)
        if error is not None:
            raise error
        return Run(run_id=run_id_of(event), event=event, status="in_progress")  # another process is at it

    bench = Bench(tmp_path, perform)
    sent = bench.send(asks(github, "/bot fix")[1], "a")
    until(lambda: len(calls) == 1 and bench.crew.schedule.counts()[1] == 0)
    assert bench.where(sent, tmp_path) == place
    assert bench.crew.healthy()
    assert bench.crew.stop(10)


def test_a_delivery_that_ends_the_process_each_time_is_given_up(tmp_path: Path, github: GitHubServer) -> None:
    inbox = Inbox(tmp_path)
    sent = Delivery(id="a", event="issue_comment")
    inbox.put(sent, json.dumps(asks(github, "/bot fix")[1]).encode())
    for _ in range(TRIES):
        inbox.begin(sent)
    inbox.close()
    bench = Bench(tmp_path, finished)
    until(lambda: bench.where(sent, tmp_path) == ["aside"])
    ((event, reason),) = bench.abandoned
    assert event.name == "issue_comment"
    assert "never came to an end" in reason
    assert len(PAUSES) < TRIES


def test_a_run_that_github_did_not_hear_of_is_tried_again(tmp_path: Path, github: GitHubServer) -> None:
    calls = []

    def perform(event: Event) -> Run:  # GitHub is away before anything was decided
        calls.append(event)
        lost = Failure(code="unreachable", message="GitHub did not answer", blame="provider")
        return finished(event).changed(conclusion="failure", failure=lost)

    bench = Bench(tmp_path, perform)
    sent = bench.send(asks(github, "/bot fix")[1], "a")
    until(lambda: len(calls) == 1 and bench.crew.schedule.counts() == (1, 0))
    assert bench.where(sent, tmp_path) == ["waiting"]
    assert bench.crew.stop(10)


@pytest.mark.parametrize("name", ["star", "issue_comment"])
def test_events_that_nobody_acts_on_make_no_run(tmp_path: Path, github: GitHubServer, name: str) -> None:
    def perform(event: Event) -> Run:
        raise AssertionError("it was worked on")

    bench = Bench(tmp_path, perform)
    star = {"action": "created", "repository": {"full_name": NAME}}
    sent = bench.send(star if name == "star" else asks(github, "Just words.")[1], "a", name)
    until(lambda: bench.where(sent, tmp_path) == ["done"])

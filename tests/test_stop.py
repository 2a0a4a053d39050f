"""A stop is heard within its time, from us alone, and a silent forge stops nothing."""

from __future__ import annotations

import pytest

from bot.errors import ForgeError
from bot.marks import stop_marker
from bot.stop import POLL_SECONDS, watch_for_stop
from bot.testing.forge import FakeForge, FakeReader
from bot.triage.decide import decide
from bot.types.decision import Go
from bot.types.event import Actor, Comment
from bot.types.task import RunSpec
from bot.types.value import CommentKind
from tests.triage_fixtures import SETTINGS, forge_for, labeled

START = "2030-01-01T00:00:00Z"
LATER = "2030-01-01T00:10:00Z"


@pytest.fixture
def spec() -> RunSpec:
    event = labeled("bot:fix")
    decision = decide(event, reader=FakeReader(forge_for(event)), settings=SETTINGS, model=None)
    assert isinstance(decision, Go)
    return decision.spec


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def stop_comment(spec: RunSpec, author: Actor, at: str = LATER) -> Comment:
    return Comment(id=5, author=author, body=f"{stop_marker(spec.run_id)}\nstop", created_at=at, updated_at=at)


def test_our_marker_stops_and_a_strangers_does_not(spec: RunSpec) -> None:
    forge, clock = FakeForge(), Clock()
    cancelled = watch_for_stop(spec, FakeReader(forge), lambda: False, since=START, clock=clock)
    forge.comments[7] = [stop_comment(spec, Actor(login="mallory", id=66))]
    clock.now += POLL_SECONDS
    assert not cancelled()
    forge.comments[7].append(stop_comment(spec, forge.viewer))
    assert not cancelled(), "the forge is asked only every so often"
    clock.now += POLL_SECONDS
    assert cancelled()
    forge.comments[7].clear()
    assert cancelled(), "once stopped, always stopped"


def test_an_older_stop_does_not_count(spec: RunSpec) -> None:
    forge, clock = FakeForge(), Clock()
    forge.comments[7] = [stop_comment(spec, forge.viewer, "2029-12-31T23:00:00Z")]
    cancelled = watch_for_stop(spec, FakeReader(forge), lambda: False, since=START, clock=clock)
    clock.now += POLL_SECONDS
    assert not cancelled()


def test_a_forge_that_does_not_answer_stops_nothing(spec: RunSpec) -> None:
    class Silent(FakeReader):
        def comments(
            self, number: int, *, kind: CommentKind = "issue", since: str | None = None
        ) -> tuple[Comment, ...]:
            raise ForgeError("unreachable", "GitHub does not answer")

    clock = Clock()
    cancelled = watch_for_stop(spec, Silent(FakeForge()), lambda: False, since=START, clock=clock)
    clock.now += POLL_SECONDS
    assert not cancelled()


def test_a_signal_counts_at_once(spec: RunSpec) -> None:
    assert watch_for_stop(spec, FakeReader(FakeForge()), lambda: True, since=START, clock=Clock())()

"""Questions of the gate on their way at once: the same decisions with the same requests, sooner."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from pydantic import SecretStr

from bot.errors import ForgeError
from bot.forge.events.parsing import parse_event
from bot.forge.forge import open_forge
from bot.forge.reading.ahead import reading_ahead, together
from bot.settings import Settings
from bot.triage.decide import decide
from bot.triage.policy_shape import RESERVED, Policy
from bot.types.decision import Decision, Go
from bot.types.event import Event
from tests.github_server.exchange import Request
from tests.github_server.server import GitHubServer
from tests.github_server.webhooks import issue_comment_created, issues_labeled, issues_opened, workflow_dispatch

NAME, TOKEN = "octo/hello", "t0ken-of-the-job"
FILES = {"README.md": "# Sample\n", "AGENTS.md": "Be brief.\n", ".github/bot.yml": "version: 1\n"}


class World:
    """A server with people, an issue, a pull request and what was asked of it."""

    def __init__(self, server: GitHubServer) -> None:
        self.server = server
        self.naps: list[float] = []
        server.add_repo(NAME, FILES)
        server.add_token(TOKEN)
        for login, role in (("maria", "write"), ("reader", "read")):
            server.add_user(login)
            server.set_permission(NAME, login, role)  # type: ignore[arg-type]
        self.issue = server.open_issue(NAME, title="It is old", labels=["bot:fix"]).number
        self.pull = server.open_pull(NAME, {"b.txt": "2\n"}, title="Two", user="maria", head="feature").number
        for text in ("first", "second"):
            server.comment(NAME, self.issue, text)

    @property
    def settings(self) -> Settings:
        return Settings(token=SecretStr(TOKEN), api_url=self.server.url, server_url=self.server.html_url)

    def event(self, name: str, payload: Any) -> Event:
        return parse_event(name, payload, settings=self.settings)

    def says(self, number: int, text: str, login: str = "maria") -> Event:
        comment = self.server.comment(NAME, number, text, login)
        return self.event("issue_comment", issue_comment_created(self.server, NAME, comment.id))

    def labels(self) -> Event:
        return self.event("issues", issues_labeled(self.server, NAME, self.issue, "bot:fix", "maria"))

    def decided(self, event: Event, *, ahead: bool, delay: float = 0.0) -> tuple[Decision, list[str], float]:
        """The decision of a new process, what it asked, and for how long it waited."""
        reader, _ = open_forge(self.settings, NAME, sleep=self.naps.append)
        before, start = len(self.server.requests), time.monotonic()
        plan = {"conventions": Policy().conventions, "answered": RESERVED}
        with reading_ahead(reader, event, self.settings, **plan) if ahead else nullcontext(reader) as seen:
            decision = decide(event, reader=seen, settings=self.settings, model=None)
            if isinstance(decision, Go) and decision.spec.subject:
                seen.comments(decision.spec.subject.number)  # who looks whether the run was served already
        asked = [f"{each.method} {each.path} {sorted(each.query.items())}" for each in self.server.requests[before:]]
        return decision, asked, time.monotonic() - start


@contextmanager
def world() -> Iterator[World]:
    with GitHubServer() as server:
        yield World(server)
        assert server.violations == []
        assert server.unknown == []


def stories(it: World) -> dict[str, Event]:
    inputs = {"task": "fix", "prompt": "Do it"}
    return {
        "label": it.labels(),
        "command": it.says(it.issue, "/bot fix"),
        "command on a pull request": it.says(it.pull, "/bot fix"),
        "dispatch": it.event("workflow_dispatch", workflow_dispatch(it.server, NAME, "maria", inputs)),
        "help": it.says(it.issue, "/bot help"),
        "status": it.says(it.issue, "/bot status"),
        "unknown": it.says(it.issue, "/bot fxi"),
        "no command": it.says(it.issue, "hello"),
        "stranger": it.says(it.issue, "/bot fix", "reader"),
        "opened": it.event("issues", issues_opened(it.server, NAME, it.issue)),
    }


def test_the_same_decision_with_the_same_requests() -> None:
    with world() as it:
        for name, event in stories(it).items():
            plain, asked, _ = it.decided(event, ahead=False)
            early, asked_early, _ = it.decided(event, ahead=True)
            assert early == plain, name
            wanted = set(asked)
            if name.startswith("command") or name == "unknown":
                # All comments are read for a run, so the one that asked is looked at among them.
                (since,) = (each for each in asked if "'since'" in each)
                wanted = wanted - {since} | {re.sub(r", \('since', '[^']*'\)", "", since)}
            if name == "unknown":  # a trusted person's misspelt command is the one thing that costs a read more
                wanted |= {f"GET /repos/{NAME}/issues/{it.issue} []"}
            assert set(asked_early) == wanted, name
            assert len(asked_early) == len(set(asked_early)), name


def test_the_payload_alone_rules_out_without_a_request() -> None:
    with world() as it:
        _, asked, _ = it.decided(it.says(it.issue, "hello"), ahead=True)
        assert asked == []


def test_questions_of_one_wave_are_on_their_way_at_once() -> None:
    with world() as it:
        wave = re.compile(r"/\.github/bot\.yml$|/permission$")
        it.server.faults.add("GET", wave.pattern, "delay", times=2, seconds=1.5)
        under_way: list[int] = []

        def look(request: Request) -> None:
            if wave.search(request.path):
                under_way.append(sum(bool(wave.search(each.path)) and not each.status for each in it.server.requests))

        it.server.on_request(look)
        it.decided(it.labels(), ahead=True)
        assert max(under_way) == 2, "the second was asked before the first was answered"


def test_an_error_comes_up_where_its_question_is_asked_and_nothing_is_left_running() -> None:
    with world() as it:
        event, before = it.labels(), threading.active_count()
        it.server.faults.add("GET", "/contents/", "status", times=-1, status=403)
        reader, _ = open_forge(it.settings, NAME, sleep=it.naps.append)
        with reading_ahead(reader, event, it.settings) as seen:
            assert seen.permission(event.actor) == "write"
            with pytest.raises(ForgeError) as caught:
                seen.file(it.settings.policy, "main")
            assert caught.value.code == "forbidden"
        assert [each.name for each in threading.enumerate() if each.name.startswith("ahead")] == []
        assert before  # the server's own threads come and go


def test_a_gate_that_stops_early_waits_for_what_is_under_way() -> None:
    with world() as it:
        it.server.faults.add("GET", "/contents/", "delay", times=-1, seconds=0.2)
        event = it.labels()
        reader, _ = open_forge(it.settings, NAME)
        with reading_ahead(reader, event, it.settings) as seen:
            seen.permission(event.actor)
        asked = len(it.server.requests)
        assert all(each.status for each in it.server.requests)
        time.sleep(0.1)
        assert len(it.server.requests) == asked


def test_little_left_means_no_guesses_and_the_same_answers() -> None:
    with world() as it:
        event = it.labels()
        plain, asked, _ = it.decided(event, ahead=False)
        token = it.server.world.tokens[TOKEN]
        token.used = 4800
        early, asked_early, _ = it.decided(event, ahead=True)
        assert early == plain
        assert sorted(asked_early) == sorted(set(asked))


def test_together_waits_for_all_and_raises_the_first_in_order() -> None:
    done: list[str] = []

    def slow() -> str:
        time.sleep(0.1)
        done.append("slow")
        return "slow"

    def bad() -> int:
        raise ValueError("bad")

    def worse() -> int:
        raise KeyError("worse")

    start = time.monotonic()
    assert together(slow, slow, lambda: 3) == ("slow", "slow", 3)
    assert time.monotonic() - start < 0.19
    with pytest.raises(ValueError, match="bad"):
        together(bad, worse, slow)
    assert done == ["slow"] * 3

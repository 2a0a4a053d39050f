"""Every kind of fault, at calls all over the whole story: the oracles hold, and the end is that of a run without it.

A cell of the table is a story, a kind of fault and a call. Faults that hide what a write did are tried at every write,
the others at calls that are spread evenly, with another beginning for each kind, so that every call meets several.
"""

from __future__ import annotations

import functools
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

from tests.github_server.exchange import Request
from tests.github_server.faults import Fault, Kind
from tests.stage import Stage, Tell, app_on_pull, labelled_issue, staged

STORIES: dict[str, Tell] = {"issue": labelled_issue, "app": app_on_pull}
SAMPLE = 3
"""Calls of a story that meet one kind of fault, where not all do."""


class Call(NamedTuple):
    """One request of the story without a fault: the nth of its kind."""

    method: str
    path: str
    """A regular expression: names that differ from one server to the next are left open."""
    nth: int
    writes: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path} no. {self.nth + 1}"


@dataclass(frozen=True)
class Trouble:
    """One kind of fault."""

    kind: Kind
    where: Literal["reads", "writes", "all"] = "all"
    heals: bool = True
    """Whether the run must get over it by itself."""
    more: dict[str, Any] = field(default_factory=dict)
    lasting: bool = False
    """From this call on nothing answers any more."""
    sample: int = SAMPLE
    """How many calls are tried at the least; 100 for all."""


UNHEALED: dict[str, Any] = {"heals": False}
TROUBLES: dict[str, Trouble] = {
    "dropped before": Trouble("drop_before"),
    "500 json": Trouble("status", more={"status": 500, "body": "json"}),
    "502 html": Trouble("status", more={"status": 502}),
    "503 empty": Trouble("status", more={"status": 503, "body": "empty"}),
    "504 truncated": Trouble("status", more={"status": 504, "body": "truncated"}),
    "twice 502": Trouble("status", more={"times": 2}),
    "slow": Trouble("delay", more={"seconds": 0.03}),
    "done, dropped": Trouble("drop_after", "writes", sample=100),
    "done, cut": Trouble("cut_after", "writes"),
    "done, half the JSON": Trouble("mangle_after", "writes"),
    "done, 502": Trouble("status_after", "writes"),
    "done, silence": Trouble("hang_after", "writes", more={"seconds": 0.03}),
    "answer cut": Trouble("cut_after", "reads"),
    "answer half": Trouble("mangle_after", "reads"),
    "stale": Trouble("stale", "reads", sample=6),
    "stale thrice": Trouble("stale", "reads", more={"times": 3}),
    "secondary, 7 s": Trouble("secondary_limit", more={"retry_after": 7}),
    "secondary, no time": Trouble("secondary_limit"),
    "429, 7 s": Trouble("secondary_limit", more={"retry_after": 7, "status": 429}),
    "429, no time": Trouble("secondary_limit", more={"status": 429}),
    "primary": Trouble("primary_limit", more={"seconds": 30}),
    "301": Trouble("redirect", "reads", more={"status": 301}),
    "302": Trouble("redirect", "reads", more={"status": 302}),
    "307": Trouble("redirect", "reads", more={"status": 307}),
    "308": Trouble("redirect", "reads", more={"status": 308}),
    "done, 404": Trouble("status_after", "writes", more={"status": 404}, sample=100, **UNHEALED),
    "refused, 401": Trouble("expired", **UNHEALED),
    "refused, 403": Trouble("status", more={"status": 403}, **UNHEALED),
    "refused, 404": Trouble("status", more={"status": 404}, **UNHEALED),
    "refused, 410": Trouble("status", more={"status": 410}, **UNHEALED),
    "refused, 409": Trouble("status", more={"status": 409}, **UNHEALED),
    "refused, 422": Trouble("status", more={"status": 422}, **UNHEALED),
    "refused, 451": Trouble("status", more={"status": 451}, **UNHEALED),
    "moved, 301": Trouble("redirect", "writes", more={"status": 301}, **UNHEALED),
    "moved, 307": Trouble("redirect", "writes", more={"status": 307}, **UNHEALED),
    "elsewhere, 302": Trouble("redirect", more={"status": 302, "location": "trap"}, **UNHEALED),
    "elsewhere, 308": Trouble("redirect", more={"status": 308, "location": "trap"}, **UNHEALED),
    "dead from here": Trouble("drop_before", lasting=True, sample=6, **UNHEALED),
    "limited from here": Trouble("secondary_limit", lasting=True, more={"retry_after": 60}, **UNHEALED),
}


@functools.cache
def calm(story: str) -> tuple[tuple[Call, ...], dict[str, Any]]:
    """The calls of a story without a fault, and what people see at its end."""
    with tempfile.TemporaryDirectory() as folder, staged(STORIES[story], Path(folder, "calm")) as stage:
        run = stage.judge(stage.play())
        assert run.conclusion == "success", run.failure
        assert len(stage.server.ledger) >= 8
        return tuple(calls_of(stage)), stage.state()


def calls_of(stage: Stage) -> Iterator[Call]:
    """The requests so far, in order."""
    seen: Counter[tuple[str, str]] = Counter()
    for request in stage.server.requests:
        path = re.sub(r"\b[0-9a-f]{40}\b", "[0-9a-f]{40}", re.escape(request.path))
        path = f"^{re.sub(r'[0-9]{8,}', '[0-9]+', path)}$"
        yield Call(request.method, path, seen[request.method, path], not request.reads)
        seen[request.method, path] += 1


def struck(story: str, name: str) -> list[tuple[int, Call]]:
    """The calls at which a kind of fault is tried, with their places."""
    trouble = TROUBLES[name]
    wanted = {"reads": (False,), "writes": (True,), "all": (False, True)}[trouble.where]
    fitting = [(at, call) for at, call in enumerate(calm(story)[0]) if call.writes in wanted]
    if trouble.more.get("status") in (404, 410):  # a deletion is told that it is done already
        fitting = [(at, call) for at, call in fitting if call.method != "DELETE"]
    step = max(1, len(fitting) // trouble.sample)
    return fitting[list(TROUBLES).index(name) % step :: step]


def plant(stage: Stage, trouble: Trouble, call: Call) -> Fault:
    """Put the fault into the server."""
    more = dict(trouble.more)
    if more.get("location") == "trap":
        more["location"] = f"{stage.trap.listener.url}/elsewhere"
    if not trouble.lasting:
        return stage.server.faults.add(call.method, call.path, trouble.kind, skip=call.nth, **more)
    lasting = stage.server.faults.add("*", ".*", trouble.kind, times=0, **more)
    passed = Counter[bool]()

    def begin(request: Request) -> None:
        if request.method == call.method and re.search(call.path, request.path):
            passed[True] += 1
            if passed[True] == call.nth + 1:
                lasting.times = -1

    stage.server.on_request(begin)
    return lasting


def tell(stage: Stage, story: str, trouble: Trouble, call: Call, *, lost: bool) -> None:
    """One cell: the story under the fault, and where it could not end well a second try without it."""
    fault = plant(stage, trouble, call)
    run = stage.judge(stage.play(), reachable=not trouble.lasting)
    assert fault.met, "the fault was never met"
    if run.conclusion == "success":
        assert stage.state() == calm(story)[1]
        return
    assert not trouble.heals, f"{run.conclusion}: {run.failure}"
    fault.times = 0
    if lost:
        stage.machine_lost()
    again = stage.judge(stage.play(attempt=2))
    assert again.conclusion == "success", f"first {run.failure}, again {again.failure}"
    assert without_words(stage.state()) == without_words(calm(story)[1])


def without_words(state: dict[str, Any]) -> dict[str, Any]:
    """What people see but for the text of our comment: a second try may find the work done and say so."""
    talk = {
        number: {**said, "comments": [each.split("\n")[:2] for each in said["comments"]]}
        for number, said in state["talk"].items()
    }
    return {**state, "talk": talk}


@pytest.mark.parametrize("name", TROUBLES)
@pytest.mark.parametrize("story", STORIES)
def test_the_end_is_that_of_a_run_without_the_fault(story: str, name: str, tmp_path: Path) -> None:
    wrong = []
    for at, call in struck(story, name):
        with staged(STORIES[story], tmp_path / f"at-{at}") as stage:
            try:
                tell(stage, story, TROUBLES[name], call, lost=at % 2 == 1)
            except AssertionError as error:
                wrong.append(f"call {at}, {call}: {str(error)[:1500]}")
    assert wrong == [], "\n\n".join(wrong)

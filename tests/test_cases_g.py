"""Group G, faults of machines, of GitHub and of models: whole stories, held against every oracle.

The table of GitHub's faults is tests/test_faults.py, people's moves are test_moves.py, kill -9 at every write is
test_crash.py, tokens that end (G6, C19) are test_forge_auth.py, decoys (G24) test_sandbox_stress.py.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bot.errors import ModelError
from bot.testing.llm import Line, call
from bot.types.run import Progress
from tests.github_server.server import GitHubServer
from tests.pipeline_fixtures import FIX
from tests.seen import state_of
from tests.stage import NAME, Stage, app_on_pull, labelled_issue, staged
from tests.test_faults import STORIES, calm, without_words

# --- G1 ---------------------------------------------------------------------------------------------------------


def news_of(folder: Path, story: str) -> int:
    """How often a story without a fault tells something."""
    told: list[Progress] = []
    with staged(STORIES[story], folder) as stage:
        stage.hear = told.append
        stage.judge(stage.play())
    return len(told)


@pytest.mark.parametrize("story", STORIES)
def test_g1_a_process_that_ends_at_any_news_is_gone_on_with(story: str, tmp_path: Path) -> None:
    for at in range(0, news_of(tmp_path / "calm", story), 3):
        with staged(STORIES[story], tmp_path / f"at-{at}") as stage:
            left = [at]

            def die(news: Progress, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise SystemExit(137)

            stage.hear = die
            with pytest.raises(SystemExit):
                stage.play()
            stage.hear = lambda news: None
            # What the dead process was lent can't be given back by another one.
            stage.lost.update(stage.server.world.tokens)
            assert stage.judge(stage.play()).conclusion == "success"
            assert stage.state() == calm(story)[1], f"ended at news {at}"


def test_g1_a_second_delivery_of_a_finished_run_does_nothing(tmp_path: Path) -> None:
    with staged(labelled_issue, tmp_path / "s") as stage:
        stage.judge(stage.play())
        before = len(stage.server.ledger)
        assert stage.judge(stage.play()).conclusion == "success"
        assert len(stage.server.ledger) == before


def test_g1_on_another_machine_a_second_delivery_finds_the_work_done(tmp_path: Path) -> None:
    with staged(labelled_issue, tmp_path / "s") as stage:
        stage.judge(stage.play())
        stage.machine_lost()
        before = stage.state()
        assert stage.play().run.conclusion in ("success", "skipped")  # the label is off: nothing is asked for any more
        assert stage.state() == before
        assert [each.heard for each in stage.models[1:] if each.heard] == []


@pytest.mark.parametrize("lost", [False, True])
def test_g1_a_second_try_that_proposes_something_else_ends_well_too(lost: bool, tmp_path: Path) -> None:
    with staged(labelled_issue, tmp_path / "s") as stage:
        refused = stage.server.faults.add("POST", "/pulls$", "status", status=422, times=-1)
        first = stage.judge(stage.play())
        assert (first.conclusion, len(stage.server.repo(NAME).pulls)) == ("failure", 0)
        refused.times = 0
        if lost:
            stage.machine_lost()
        stage.script = (call("write", {"path": "other.txt", "content": "two\n"}), *FIX)
        again = stage.judge(stage.play(attempt=2))
        assert again.conclusion == "success", again.failure
        assert len(stage.server.repo(NAME).pulls) == 1


# --- G4 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("where", [("POST", "/git/trees$"), ("GET", "/bot.yml$")])
def test_g4_nothing_is_asked_until_the_time_is_over(status: int, where: tuple[str, str], tmp_path: Path) -> None:
    with staged(labelled_issue, tmp_path / "s") as stage:
        stage.naps.rest = time.sleep  # this once time passes
        stage.server.faults.add(*where, "secondary_limit", status=status, retry_after=1)
        assert stage.judge(stage.play()).conclusion == "success"
        requests = stage.server.requests
        at = next(number for number, request in enumerate(requests) if request.fault)
        # Requests that were on their way beside it may still come in.
        later = [each.at - requests[at].at for each in requests[at + 1 :] if each.at - requests[at].at > 0.2]
        assert min(later) >= 0.99
        assert stage.state() == calm("issue")[1]


@pytest.mark.parametrize("story", STORIES)
def test_g4_seven_seconds_are_seven_seconds(story: str, tmp_path: Path) -> None:
    with staged(STORIES[story], tmp_path / "s") as stage:
        stage.server.faults.add("POST", "/check-runs$", "secondary_limit", retry_after=7)
        stage.server.faults.add("PATCH", "/comments/", "secondary_limit", status=429, retry_after=7)
        assert stage.judge(stage.play()).conclusion == "success"
        assert sum(stage.naps.taken) >= 13.9
        assert max(stage.naps.taken) <= 60


# --- G14, G15 ---------------------------------------------------------------------------------------------------

DOWN = ModelError("model_unavailable", "The model does not answer.", hint="try again later")
LIMITED = ModelError("model_rate_limited", "Too many requests.", hint="wait")


@pytest.mark.parametrize(
    "script",
    [[DOWN], [FIX[0], DOWN], [LIMITED], [FIX[0], FIX[0], LIMITED]],
    ids=["at once", "half done", "limited", "limited later"],
)
@pytest.mark.parametrize("tell", [labelled_issue, app_on_pull])
def test_g14_a_model_that_fails_is_said_and_a_second_try_ends_well(
    tell: object, script: list[Line], tmp_path: Path
) -> None:
    story = next(name for name, each in STORIES.items() if each is tell)
    with staged(STORIES[story], tmp_path / "s") as stage:
        stage.script = script
        run = stage.judge(stage.play())
        assert (run.conclusion, run.failure and run.failure.blame) == ("failure", "provider")
        assert untouched(stage)
        assert "The model does not answer" in said(stage) or "Too many requests" in said(stage)
        stage.script = FIX
        assert stage.judge(stage.play(attempt=2)).conclusion == "success"
        assert without_words(stage.state()) == without_words(calm(story)[1])


NONSENSE: dict[str, Line] = {
    "malformed": call("write", '{"path": "table.txt", "content": '),
    "unknown tool": call("launch", {"where": "moon"}),
    "missing": call("write", {"path": "table.txt"}),
    "extra": call("write", {"path": "table.txt", "content": "new\n", "mode": "0777"}),
    "wrong kind": call("write", {"path": 7, "content": ["x"]}),
    "no object": call("write", "[]"),
    "deep": call("write", "[" * 5_000),
    "no number": call("shell", '{"command": "make test", "seconds": NaN}'),
    "words": "I have done it, believe me.",
}


@pytest.mark.parametrize("name", NONSENSE)
def test_g15_nonsense_is_repaired_a_few_times_and_no_longer(name: str, tmp_path: Path) -> None:
    with staged(labelled_issue, tmp_path / "s") as stage:
        stage.script = [NONSENSE[name]] * 30
        run = stage.judge(stage.play())
        assert run.conclusion == "failure"
        assert len(stage.models[0].heard) <= 12
        assert untouched(stage)
        stage.script = [NONSENSE[name], *FIX]
        assert stage.judge(stage.play(attempt=2)).conclusion == "success"


def test_g15_a_budget_ends_it_before_it_is_overdrawn(tmp_path: Path) -> None:
    with staged(labelled_issue, tmp_path / "s") as stage:
        policy = stage.server.repo(NAME).git
        assert policy.ref("refs/heads/main")
        text = "version: 1\ntasks: {fix: {outputs: [comment, branch, pull_request], limits: {usd: 0.025}}}\n"
        stage.server.commit(NAME, "main", {".github/bot.yml": text})
        stage.script = [FIX[0]] * 30
        run = stage.judge(stage.play())  # U12 among others
        assert run.conclusion in ("failure", "timed_out")
        assert len(stage.models[0].heard) == 2
        assert untouched(stage)


def untouched(stage: Stage) -> bool:
    """Whether no code was written."""
    return not any(thing.kind == "ref" for write in stage.server.ledger for thing in write.changes)


def said(stage: Stage) -> str:
    """The last comment."""
    return stage.server.repo(NAME).comments(stage.allowed.number)[-1]


def test_state_tells_two_worlds_apart(tmp_path: Path) -> None:
    with GitHubServer() as server:
        server.add_repo(NAME)
        before = state_of(server, NAME)
        server.open_issue(NAME)
        assert state_of(server, NAME) != before

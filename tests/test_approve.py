"""A fork's pull request on a stateful GitHub: one comment that it waits; once approved, that very commit or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.forge.events.parsing import parse_event
from bot.settings import Settings
from bot.types.decision import Go
from bot.types.event import Event
from bot.types.run import Run
from tests.github_server.server import GitHubServer
from tests.github_server.webhooks import pull_request_opened, pull_request_review_comment_created
from tests.pipeline_fixtures import POLICY
from tests.verb_fixtures import NAME, TOKEN, Story, begin

AUTOMATIC = POLICY + "on: {opened: regenerate, synchronize: regenerate}\n"
FORK = "stranger/hello"


@contextmanager
def from_a_fork(folder: Path) -> Iterator[Story]:
    """A stranger's pull request from a fork, in a repository whose policy starts a task on each."""
    with GitHubServer() as server:
        story = begin(server, folder, policy=AUTOMATIC)
        server.open_pull(NAME, {"new.txt": "new\n"}, user="stranger", from_fork=True)
        yield story
        assert (server.violations, server.unknown) == ([], [])


def event_of(story: Story, action: str = "opened") -> Event:
    payload = pull_request_opened(story.server, NAME, 1)
    return parse_event("pull_request", {**payload, "action": action}, settings=Settings())


def push(story: Story) -> str:
    """The stranger's next commit."""
    return story.server.commit(FORK, "feature", {"new.txt": "evil\n"})


def writes(story: Story) -> list[str]:
    return [f"{each.method} {each.path}" for each in story.server.requests if not each.reads]


def spec_sha(run: Run) -> str:
    assert isinstance(run.decision, Go)
    return run.decision.spec.revision.sha


def test_it_waits_in_one_comment_and_nothing_else_is_spent(tmp_path: Path) -> None:
    with from_a_fork(tmp_path) as story:
        run = story.serve(event_of(story))
        assert (run.conclusion, run.result) == ("action_required", None)
        assert len(writes(story)) == 1
        assert not (tmp_path / "boxes").exists() or not list((tmp_path / "boxes").iterdir())
        head = push(story)
        again = story.serve(event_of(story, "synchronize"))
        assert again.conclusion == "action_required"
        (body,) = story.bodies
        assert f"/bot approve {head}\n" in body
        assert len(writes(story)) == 2


def test_a_token_that_may_only_read_leaves_the_comment_out(tmp_path: Path) -> None:
    with from_a_fork(tmp_path) as story:
        rights = dict.fromkeys(("contents", "issues", "pull_requests", "checks", "metadata"), "read")
        story.server.add_token(TOKEN, permissions=rights)
        run = story.serve(event_of(story))
        assert run.conclusion == "action_required"
        assert story.bodies == []


def test_an_approval_runs_that_commit_with_a_forks_trust(tmp_path: Path) -> None:
    with from_a_fork(tmp_path) as story:
        story.serve(event_of(story))
        head = story.subject.pull.head_sha if story.subject.pull else ""
        before = story.repo.git.refs("refs/heads/")
        run = story.say(f"/bot approve {head}")
        assert (run.conclusion, spec_sha(run)) == ("success", head)
        assert run.receipt("commit") is None
        assert story.repo.git.refs("refs/heads/") == before
        assert {each.path for each in story.server.requests if each.method == "POST" and not each.reads} <= {
            f"/repos/{NAME}/issues/1/comments",
            f"/repos/{NAME}/issues/comments/{story.subject.comments[1].id}/reactions",
        }
        assert story.mark.trust == "fork"
        assert story.say("/bot undo").conclusion == "success"
        assert story.mark.made.undone


def test_what_was_pushed_after_the_approval_is_never_fetched(tmp_path: Path) -> None:
    with from_a_fork(tmp_path) as story:
        approved = story.subject.pull.head_sha if story.subject.pull else ""
        event = story.says(f"/bot approve {approved}")
        moved = push(story)
        run = story.serve(event)
        assert (run.conclusion, run.failure and run.failure.code) == ("skipped", "head_moved")
        assert run.result is None
        asked = [f"{each.path}?{each.query}" for each in story.server.requests]
        assert not [each for each in asked if moved in each]
        assert moved[:12] in story.bodies[-1]


def test_a_stranger_approves_nothing(tmp_path: Path) -> None:
    with from_a_fork(tmp_path) as story:
        head = story.subject.pull.head_sha if story.subject.pull else ""
        for user in ("stranger", "paul"):
            run = story.say(f"/bot approve {head}", user=user)
            assert (run.conclusion, run.failure and run.failure.code) == ("skipped", "permission")
            assert run.result is None


def test_a_comment_on_the_diff_approves_the_commit_that_it_stands_on(tmp_path: Path) -> None:
    with from_a_fork(tmp_path) as story:
        head = story.subject.pull.head_sha if story.subject.pull else ""
        events = []
        for _ in range(2):
            made = story.server.review_comment(NAME, 1, "/bot approve", "new.txt", user="maria")
            payload = pull_request_review_comment_created(story.server, NAME, made.id)
            events.append(parse_event("pull_request_review_comment", payload, settings=Settings()))
        run = story.serve(events[0])
        assert (run.conclusion, spec_sha(run)) == ("success", head)
        push(story)
        late = story.serve(events[1])
        assert (late.conclusion, late.failure and late.failure.code) == ("skipped", "head_moved")

"""`/bot review` twice on one pull request, through the whole pipeline, a model's findings and a stateful GitHub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.marks import Mark, read_mark
from bot.testing.llm import Line, call
from tests.github_server.records import Issue
from tests.github_server.server import GitHubServer
from tests.github_server.threads import threads_of
from tests.github_server.webhooks import issue_comment_created
from tests.oracles import Allowed
from tests.stage import HOST_SECRET, NAME, Stage, Trap, event_of, seed, staged

BEFORE = "".join(f"{number}\n" for number in range(1, 31))
AFTER = BEFORE.replace("3\n4\n", "three\nfour\n", 1)
COUNTS = {"comment": 2, "reaction": 2, "review": 2, "review_comment": 4, "thread": 1}


def finding(text: str, line: int, **more: Any) -> dict[str, Any]:
    return {"path": "scale.txt", "line": line, "text": text, **more}


def finish(*findings: dict[str, Any], **more: Any) -> Line:
    said = {"title": "Review the scale", "summary": "Looked at all of it.", "findings": list(findings), **more}
    return call("finish", said)


FIRST = (
    call("read", {"path": "scale.txt"}),
    finish(
        finding("Words are no numbers.", 4, first=3, severity="high", suggestion="3\n4\n"),
        finding("The unit is missing.", 5),
        finding("Never tested.", 25),
    ),
)
SECOND = (finish(finding("Words are no numbers!", 4, first=3), finding("Five is enough.", 6)),)


def opened(*, from_fork: bool = False) -> Any:
    def tell(server: GitHubServer, folder: Path, trap: Trap) -> Stage:
        seed(server)
        server.commit(NAME, "main", {"scale.txt": BEFORE})
        pull = server.open_pull(NAME, {"scale.txt": AFTER}, user="carl", head="feature", from_fork=from_fork)
        return asked(server, folder, trap, pull.number, FIRST)

    return tell


def asked(server: GitHubServer, folder: Path, trap: Trap, number: int, script: tuple[Line, ...]) -> Stage:
    """maria comments `/bot review`."""
    comment = server.comment(NAME, number, "/bot review", "maria")
    event = event_of("issue_comment", issue_comment_created(server, NAME, comment.id))
    allowed = Allowed(NAME, number, counts=COUNTS)
    return Stage(server, folder, event.changed(id=f"comment {len(server.ledger)}"), allowed, trap, script)


def again(stage: Stage) -> Stage:
    """The same a second time."""
    return asked(stage.server, stage.folder, stage.trap, stage.allowed.number, SECOND)


def texts(issue: Issue) -> list[tuple[str, int | None, int | None]]:
    assert issue.pull is not None
    return [(each.body.split("\n\n")[1], each.start_line, each.line) for each in issue.pull.comments]


def mark_of(stage: Stage) -> tuple[str, Mark]:
    """The newest status comment."""
    body = next(each for each in reversed(stage.server.repo(NAME).comments(stage.allowed.number)) if read_mark(each))
    mark = read_mark(body)
    assert mark is not None
    return body, mark


@contextmanager
def reviewed(folder: Path, *, from_fork: bool = False) -> Iterator[Stage]:
    with staged(opened(from_fork=from_fork), folder) as stage:
        stage.judge(stage.play())
        yield stage


@pytest.mark.parametrize("from_fork", [False, True])
def test_a_review_is_written_once_at_its_lines_and_told_of(tmp_path: Path, from_fork: bool) -> None:
    with reviewed(tmp_path / "x", from_fork=from_fork) as stage:
        pull = stage.subject.pull
        assert pull is not None
        (review,) = pull.reviews
        assert (review.state, review.commit_id, review.user.login) == (
            "COMMENTED",
            pull.head_sha,
            "github-actions[bot]",
        )
        assert "**3 findings**: 1 high, 2 medium." in review.body
        assert "`scale.txt:25`" in review.body
        assert "Never tested." in review.body
        assert texts(stage.subject) == [("Words are no numbers.", 3, 4), ("The unit is missing.", None, 5)]
        assert "```suggestion\n3\n4\n```" in pull.comments[0].body
        body, mark = mark_of(stage)
        assert (mark.status, mark.conclusion, mark.made.review) == ("completed", "success", True)
        assert f"[review]({stage.server.html_url}/{NAME}/pull/{stage.subject.number}#pullrequestreview-" in body
        assert not [each for each in stage.server.requests if each.is_write and "/git/" in each.path]


def test_the_second_review_keeps_resolves_and_adds(tmp_path: Path) -> None:
    with reviewed(tmp_path / "x") as first:
        second = again(first)
        second.judge(second.play())
        issue = second.subject
        assert issue.pull is not None
        assert [each for each, _, _ in texts(issue)] == [
            "Words are no numbers.",
            "The unit is missing.",
            "Five is enough.",
        ]
        open_ones = [each for each in threads_of(second.server.repo(NAME), issue) if not each.resolved_by]
        assert [each.first.line for each in open_ones] == [4, 6]
        assert len(issue.pull.reviews) == 2
        assert len(issue.pull.reviews) == 2
        assert "1 of the findings was said before" in mark_of(second)[0]
        assert "1 of the findings was said before" in issue.pull.reviews[1].body, "else its count is a riddle"


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
def test_every_lost_answer_of_the_second_review_leads_to_the_same_end(tmp_path: Path, fault: Any) -> None:
    with reviewed(tmp_path / "calm") as calm:
        done = len(calm.server.requests)
        second = again(calm)
        second.play()
        wanted, calls = seen(second), calm.server.requests[done:]
    lost = [at for at, each in enumerate(calls) if each.is_write]
    assert len(lost) >= 6
    for at in lost:
        with reviewed(tmp_path / f"{fault}-{at}") as first:
            second = again(first)
            path = "/comments/" if "/comments/" in calls[at].path else calls[at].path.rpartition("/")[2]
            skip = sum(each.method == calls[at].method and path in each.path for each in calls[:at])
            planted = second.server.faults.add(calls[at].method, path, fault, skip=skip)
            second.judge(second.play())
            assert planted.met == 1, calls[at].path
            assert seen(second) == wanted, calls[at].path


def seen(stage: Stage) -> Any:
    """What people see, threads included."""
    threads = threads_of(stage.server.repo(NAME), stage.subject)
    return stage.state()["talk"], [(each.first.body, bool(each.resolved_by), len(each.comments)) for each in threads]


def test_a_malformed_finding_goes_back_to_the_model(tmp_path: Path) -> None:
    script = (finish(finding("", 4)), finish({"path": "/etc/passwd", "line": 0}), finish(finding("Good.", 4)))
    with staged(opened(), tmp_path / "x") as stage:
        found = replace(stage, script=script).play()
        assert found.run.result is not None
        assert found.run.result.usage.steps == 3
        assert texts(stage.subject) == [("Good.", None, 4)]


def test_a_secret_in_a_finding_holds_the_review(tmp_path: Path) -> None:
    for at, wrong in enumerate([finding(f"See {HOST_SECRET}.", 4), finding("Bad.", 4, suggestion=HOST_SECRET)]):
        with staged(opened(), tmp_path / str(at)) as stage:
            stage = replace(stage, script=(finish(wrong),))
            run = stage.judge(stage.play())
            assert run.conclusion == "action_required"
            assert stage.subject.pull is not None
            assert stage.subject.pull.reviews == []


def test_a_head_that_moved_while_it_worked_is_reviewed_as_it_was(tmp_path: Path) -> None:
    with staged(opened(), tmp_path / "x") as stage:
        old = stage.subject.pull.head_sha if stage.subject.pull else ""
        server = stage.server
        pushed = {"scale.txt": "# scale\n" * 40 + AFTER}

        def push(workspace: Path) -> None:
            server.commit(NAME, "feature", pushed)

        stage = replace(stage, script=(call("shell", {"command": "true"}), *FIRST), working=push)
        stage.judge(stage.play())
        assert stage.subject.pull is not None
        assert stage.subject.pull.head_sha != old
        (review,) = stage.subject.pull.reviews
        assert review.commit_id == old
        assert old[:12] in review.body


def test_a_suggestion_that_had_to_be_redacted_is_not_offered(tmp_path: Path) -> None:
    """One click would commit the stars."""
    line = 'URL = "postgres://app:made-up-word@localhost/db"'
    with staged(opened(), tmp_path / "x") as stage:
        stage = replace(stage, script=(finish(finding("Give it a name.", 4, suggestion=line)),))
        stage.judge(stage.play())
        assert texts(stage.subject) == [("Give it a name.", None, 4)]
        assert stage.subject.pull is not None
        assert "***" not in stage.subject.pull.comments[0].body
        assert "suggestion" not in stage.subject.pull.comments[0].body

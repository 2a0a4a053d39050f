"""Reviews on a stateful GitHub: one for each run, threads that are kept, resolved or left alone, under every fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.errors import ForgeError
from bot.forge.writing.threads import OUTDATED, finding_marker
from bot.marks import marker
from bot.types.output import Receipt, Remark, Review
from tests.forge_fixtures import NAME, TOKEN, Desk, open_desk
from tests.github_server.records import Issue, Pull, ReviewComment
from tests.github_server.threads import Thread, threads_of

BOT = "github-actions[bot]"
LINES = [f"{number}\n" for number in range(1, 41)]
CHANGED = [*LINES[:2], "three\n", "four\n", *LINES[4:29], "thirty\n", *LINES[30:]]


@dataclass
class Bench:
    """A pull request with two hunks, lines 1-7 and 27-33, and what stands on it."""

    desk: Desk
    issue: Issue

    @property
    def pull(self) -> Pull:
        assert self.issue.pull is not None
        return self.issue.pull

    @property
    def threads(self) -> dict[str, Thread]:
        """By the text of their first comment, the newest last; reviews number their texts."""
        return {text_of(each.first): each for each in threads_of(self.desk.repo, self.issue)}

    def review(self, run: int, *remarks: Remark) -> Review:
        return Review(
            key="review",
            number=self.issue.number,
            sha=self.pull.head_sha,
            marker=marker("review", f"{run:016x}"),
            body=f"Review {run}",
            remarks=remarks,
        )

    def apply(self, output: Review, *, doubt: bool = False, token: str = TOKEN) -> Receipt:
        return self.desk.open(token)[1].apply(output, blobs=self.desk.blobs, doubt=doubt)

    def push(self, lines: list[str]) -> None:
        self.desk.server.commit(NAME, "feature", {"a.txt": "".join(lines)})

    def state(self) -> Any:
        """What people see."""
        return {
            "reviews": [(each.user.login, each.body, each.state) for each in self.pull.reviews],
            "threads": [
                (
                    [(each.user.login, each.body, each.path, each.start_line, each.line) for each in thread.comments],
                    thread.resolved_by and thread.resolved_by.login,
                )
                for thread in threads_of(self.desk.repo, self.issue)
            ],
        }


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_desk(tmp_path) as desk:
        yield bench_on(desk)


def bench_on(desk: Desk, *, from_fork: bool = False) -> Bench:
    desk.server.commit(NAME, "main", {"a.txt": "".join(LINES)})
    return Bench(desk, desk.server.open_pull(NAME, {"a.txt": "".join(CHANGED)}, from_fork=from_fork))


def remark(what: str, line: int = 3, first: int | None = None) -> Remark:
    body = f"**Low**\n\n{what}\n\n```suggestion\n{what}!\n```"
    fingerprint = what.encode().hex().zfill(16)[-16:]
    return Remark(path="a.txt", line=line, first=first, fingerprint=fingerprint, body=body)


def text_of(comment: ReviewComment) -> str:
    found = re.search(r"\*\*Low\*\*\n\n(\w+)", comment.body)
    return found[1] if found else comment.body


def test_a_review_comments_on_lines_and_nothing_else(bench: Bench) -> None:
    receipt = bench.apply(bench.review(1, remark("one"), remark("two", 30, 28)))
    (review,) = bench.pull.reviews
    assert (review.state, review.commit_id) == ("COMMENTED", bench.pull.head_sha)
    assert review.body == f"{marker('review', f'{1:016x}')}\nReview 1"
    assert (receipt.id, receipt.remark) == (review.id, "")
    assert receipt.url.endswith(f"#pullrequestreview-{review.id}")
    first, second = bench.pull.comments
    assert (first.path, first.start_line, first.line, first.side) == ("a.txt", None, 3, "RIGHT")
    assert (second.start_line, second.line) == (28, 30)
    assert first.body.startswith(finding_marker(remark("one").fingerprint) + "\n**Low**")
    assert len(bench.desk.calls()) <= 4, "viewer, reviews, threads, the review"


def test_the_next_review_keeps_adds_and_resolves(bench: Bench) -> None:
    bench.apply(bench.review(1, remark("stays", 3), remark("mended", 4), remark("moved", 30)))
    bench.push([*CHANGED[:29], "30!\n", *CHANGED[30:]])
    receipt = bench.apply(bench.review(2, remark("stays", 3), remark("new", 5), remark("moved", 30)))
    assert [text_of(each) for each in bench.pull.comments] == ["stays", "mended", "moved", "new", "moved"]
    resolved = [text_of(each.first) for each in threads_of(bench.desk.repo, bench.issue) if each.resolved_by]
    assert resolved == ["mended", "moved"], "one is not said any more, the other is about lines that are gone"
    assert receipt.remark.startswith("1 of the findings was said before")
    assert len(bench.pull.reviews) == 2


def second_review(bench: Bench) -> Review:
    """A pull request that was reviewed, answered and changed; a review that keeps, adds and resolves."""
    bench.apply(bench.review(1, remark("stays", 3), remark("mended", 4), remark("moved", 30), remark("asked", 5)))
    asked = bench.threads["asked"].first
    bench.desk.server.review_comment(NAME, bench.issue.number, "Why?", "a.txt").in_reply_to = asked.id
    bench.push([*CHANGED[:29], "30!\n", *CHANGED[30:]])
    bench.desk.server.requests.clear()
    return bench.review(2, remark("stays", 3), remark("new", 6), remark("moved", 30))


FAULTS = ["drop_after", "drop_before", "status", "status_after", "secondary_limit"]


@pytest.mark.parametrize(("fault", "doubt"), [*((each, False) for each in FAULTS), ("drop_after", True)])
def test_it_is_made_exactly_once_whichever_of_its_requests_fails(tmp_path: Path, fault: Any, doubt: bool) -> None:
    with open_desk(tmp_path / "calm") as desk:
        calm = bench_on(desk)
        receipt = calm.apply(second_review(calm), doubt=doubt)
        wanted, requests = calm.state(), [(each.method, each.path) for each in desk.server.requests]
        assert len(wanted["reviews"]) == 2
        assert [each.first.body for each in calm.threads.values() if each.resolved_by]
    for at, (method, path) in enumerate(requests):
        with open_desk(tmp_path / str(at)) as desk:
            bench = bench_on(desk)
            output = second_review(bench)
            planted = desk.server.faults.add(method, f"{path}$", fault, skip=requests[:at].count((method, path)))
            again = bench.apply(output, doubt=doubt)
            assert planted.met == 1, (method, path)
            assert bench.state() == wanted, (method, path)
            assert again.remark == receipt.remark


def test_a_second_delivery_on_another_machine_changes_nothing(bench: Bench) -> None:
    output = second_review(bench)
    first = bench.apply(output)
    wanted = bench.state()
    assert bench.apply(output, doubt=True) == first
    assert bench.apply(output) == first
    assert bench.state() == wanted


def test_a_process_that_died_before_the_threads_were_resolved_is_made_good(bench: Bench) -> None:
    output = second_review(bench)
    bench.desk.server.faults.add("POST", "/graphql$", "status", times=-1, skip=2, status=401)
    with pytest.raises(ForgeError):
        bench.apply(output)
    assert len(bench.pull.reviews) == 2
    bench.push([*CHANGED[:29], "30?\n", *CHANGED[30:]])  # what the second review said is outdated already
    bench.desk.server.faults.planted.clear()
    bench.apply(output, doubt=True)
    assert len(bench.pull.reviews) == 2
    resolved = [text_of(each.first) for each in threads_of(bench.desk.repo, bench.issue) if each.resolved_by]
    assert resolved == ["mended", "moved"]


def test_a_token_that_may_not_resolve_says_outdated_once(bench: Bench) -> None:
    rights = {"contents": "read", "pull_requests": "write", "issues": "write"}
    bench.desk.server.add_token("t0ken-of-a-job", permissions=rights)
    output = second_review(bench)
    bench.apply(output, token="t0ken-of-a-job")
    (mended,) = [each for each in bench.pull.comments if text_of(each) == "mended"]
    assert mended.body.split("\n")[:2] == [finding_marker(remark("mended").fingerprint), OUTDATED]
    assert "*Outdated:" in mended.body
    assert "```suggestion" not in mended.body
    assert "mended!" in mended.body
    assert bench.pull.resolved == {}
    wanted = bench.state()
    bench.apply(output, token="t0ken-of-a-job")
    assert bench.state() == wanted
    writes = [each.path for each in bench.desk.server.requests if each.method == "PATCH"]
    assert len(writes) == 2, "mended and moved, each once"
    bench.apply(bench.review(3, remark("mended", 4)), token="t0ken-of-a-job")
    assert [text_of(each) for each in bench.pull.comments].count("mended") == 2, "it was over, and is said again"


@pytest.mark.parametrize("status", [301, 403, 404, 502])
def test_without_graphql_the_threads_are_read_by_rest(bench: Bench, status: int) -> None:
    output = second_review(bench)
    bench.desk.server.faults.add("POST", "/graphql$", "status", times=-1, status=status)
    receipt = bench.apply(output)
    assert [text_of(each) for each in bench.pull.comments if OUTDATED in each.body] == ["mended", "moved"]
    assert receipt.remark.startswith("1 of")
    assert bench.apply(output) == receipt


def test_what_people_wrote_and_answered_is_left_alone(bench: Bench) -> None:
    server, number = bench.desk.server, bench.issue.number
    copied = finding_marker(remark("forged").fingerprint)
    server.review_comment(NAME, number, f"{copied}\n**Low**\n\nforged", "a.txt", 3, user="mallory")
    server.review_comment(NAME, number, "Mine", "a.txt", 3, user="ann")
    bench.apply(bench.review(1, remark("asked", 4), remark("mended", 5)))
    server.review_comment(NAME, number, "Why?", "a.txt").in_reply_to = bench.threads["asked"].first.id
    before = [each.body for each in bench.pull.comments]
    bench.push([*CHANGED[:3], "4!\n", *CHANGED[4:]])
    bench.apply(bench.review(2, remark("asked", 4), remark("forged", 3)))
    assert [text_of(each.first) for each in bench.threads.values() if each.resolved_by] == ["mended"]
    assert [each.body for each in bench.pull.comments][: len(before)] == before
    assert [text_of(each) for each in bench.pull.comments].count("asked") == 1, "people talk about it there"
    assert [each.user.login for each in bench.pull.comments if text_of(each) == "forged"] == ["mallory", BOT]


def test_what_a_person_put_aside_is_not_said_again_while_its_lines_stand(bench: Bench) -> None:
    bench.apply(bench.review(1, remark("nit", 3)))
    bench.pull.resolved[bench.pull.comments[0].id] = bench.desk.server.world.user("ann")
    bench.apply(bench.review(2, remark("nit", 3)))
    assert len(bench.pull.comments) == 1
    bench.push([*CHANGED[:2], "3!\n", *CHANGED[3:]])
    bench.apply(bench.review(3, remark("nit", 3)))
    assert len(bench.pull.comments) == 2


def test_what_we_resolved_is_said_again_when_it_comes_back(bench: Bench) -> None:
    bench.apply(bench.review(1, remark("bug", 3)))
    bench.apply(bench.review(2))
    assert bench.threads["bug"].resolved_by
    bench.apply(bench.review(3, remark("bug", 3)))
    assert [text_of(each) for each in bench.pull.comments] == ["bug", "bug"]


def test_lines_that_github_does_not_take_cost_the_places_and_not_the_words(bench: Bench) -> None:
    output = bench.review(1, remark("good", 3), remark("far", 15))
    bench.apply(output)
    (review,) = bench.pull.reviews
    assert bench.pull.comments == []
    assert review.commit_id == output.sha
    for words in ("Review 1", "`a.txt:3`", "`a.txt:15`", "good!", "far!"):
        assert words in review.body
    assert "suggestion" not in review.body
    assert bench.apply(output, doubt=True).id == review.id


def test_a_commit_that_is_gone_is_reviewed_in_words(bench: Bench) -> None:
    output = bench.review(1, remark("good", 3))
    git = bench.desk.repo.git
    git.set_ref("refs/heads/feature", git.ref("refs/heads/main"))
    bench.desk.server.commit(NAME, "feature", {"a.txt": "other\n"})
    assert bench.pull.head_sha != output.sha
    bench.apply(output)
    assert "good!" in bench.pull.reviews[0].body
    assert bench.pull.comments == []


def test_a_long_conversation_is_read_to_its_end(bench: Bench) -> None:
    for number in range(210):
        bench.desk.server.review_comment(NAME, bench.issue.number, f"{number}", "a.txt", 3, user="ann")
    bench.apply(bench.review(1, remark("bug", 3)))
    bench.apply(bench.review(2, remark("bug", 3)))
    assert [text_of(each) for each in bench.pull.comments].count("bug") == 1


def test_a_fork_gets_a_review_too(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        bench = bench_on(desk, from_fork=True)
        bench.apply(bench.review(1, remark("bug", 3)))
        assert [text_of(each) for each in bench.pull.comments] == ["bug"]
        assert {each.path.split("/pulls")[0] for each in desk.server.requests if each.is_write} <= {
            f"/repos/{NAME}",
            "/graphql",
        }


def test_a_token_that_may_only_read_writes_nothing(bench: Bench) -> None:
    bench.desk.server.add_token("t0ken-that-only-looks", permissions={"contents": "read", "pull_requests": "read"})
    with pytest.raises(ForgeError) as caught:
        bench.apply(bench.review(1, remark("bug")), token="t0ken-that-only-looks")
    assert caught.value.code == "forbidden"
    assert bench.pull.reviews == []

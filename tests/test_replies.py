"""Answers in conversations on lines: written once over HTTP, found again by their marker, made of what a step did."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.errors import ForgeError
from bot.forge.local.reader import create_local, open_issue
from bot.forge.local.writer import open_local
from bot.marks import reply_kind, reply_marker
from bot.testing.forge import FakeForge, FakeWriter
from bot.triage.pulls.answering import Answered, Step, Worked
from bot.triage.pulls.replies import replies_of
from bot.types.output import Reply
from bot.visible import fenced
from tests.forge_fixtures import NAME, Desk, open_desk
from tests.github_server.records import ReviewComment

RUN = "0123456789abcdef"
SHA = "c" * 40


@contextmanager
def open_talk(folder: Path) -> Iterator[tuple[Desk, Reply]]:
    """A desk with a pull request, on which somebody wants something; and the answer."""
    with open_desk(folder) as desk:
        pull = desk.server.open_pull(NAME, {"src/app.py": "print(2)\n"}, user="carl")
        remark = desk.server.review_comment(NAME, pull.number, "It breaks.", "src/app.py", user="maria")
        marker = reply_marker("fix", RUN)
        body = f"Changed in {SHA}."
        yield desk, Reply(key="reply:1", number=pull.number, thread=f"PRRT_{remark.id}", marker=marker, body=body)


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[tuple[Desk, Reply]]:
    with open_talk(tmp_path) as found:
        yield found


def comments_of(desk: Desk, reply: Reply) -> list[ReviewComment]:
    pull = desk.repo.issues[reply.number].pull
    assert pull is not None
    assert pull.resolved == {}, "a conversation is the reviewer's"
    return pull.comments


def told(desk: Desk, reply: Reply) -> list[tuple[str, str, bool]]:
    """The conversation as people see it."""
    first, *rest = comments_of(desk, reply)
    return [(each.user.login, each.body, each.in_reply_to == first.id) for each in rest]


def test_an_answer_stands_below_the_remark(talk: tuple[Desk, Reply]) -> None:
    desk, reply = talk
    receipt = desk.apply(reply)
    assert told(desk, reply) == [("github-actions[bot]", f"{reply.marker}\nChanged in {SHA}.", True)]
    made = comments_of(desk, reply)[1]
    assert (receipt.kind, receipt.id, receipt.done) == ("reply", made.id, True)
    assert receipt.url.endswith(f"#discussion_r{made.id}")


@pytest.mark.parametrize("doubt", [False, True])
@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "status", "secondary_limit"])
def test_it_is_written_once_whichever_of_its_requests_fails(tmp_path: Path, fault: Any, doubt: bool) -> None:
    with open_talk(tmp_path / "calm") as (calm, reply):
        calm.apply(reply, doubt=doubt)
        wanted, requests = told(calm, reply), [(each.method, each.path) for each in calm.server.requests]
    assert len(requests) == 3, "who we are, what is there, the answer"
    for at, (method, path) in enumerate(requests):
        with open_talk(tmp_path / str(at)) as (desk, reply):
            skip = sum(1 for before in requests[:at] if before == (method, path))
            planted = desk.server.faults.add(method, re.escape(path) + "$", fault, skip=skip)
            desk.apply(reply, doubt=doubt)
            assert planted.met == 1, (method, path)
            assert told(desk, reply) == wanted, (method, path)


def test_a_second_try_finds_it_and_another_run_answers_anew(talk: tuple[Desk, Reply]) -> None:
    desk, reply = talk
    first = desk.apply(reply)
    again = desk.apply(reply)
    assert (again.id, again.url, again.done) == (first.id, first.url, False)
    assert desk.apply(reply, doubt=True).done
    assert len(told(desk, reply)) == 1
    assert desk.apply(reply.changed(marker=reply_marker("fix", "f" * 16))).done
    assert len(told(desk, reply)) == 2


def test_a_marker_that_somebody_else_copied_is_not_ours(talk: tuple[Desk, Reply]) -> None:
    desk, reply = talk
    first = comments_of(desk, reply)[0]
    desk.server.review_comment(
        NAME, reply.number, f"{reply.marker}\nhello", "src/app.py", user="otto"
    ).in_reply_to = first.id
    assert desk.apply(reply).done
    assert [each[0] for each in told(desk, reply)] == ["otto", "github-actions[bot]"]


def test_a_conversation_that_is_gone_needs_no_answer(talk: tuple[Desk, Reply]) -> None:
    desk, reply = talk
    comments_of(desk, reply).clear()
    receipt = desk.apply(reply)
    assert (receipt.done, receipt.id, receipt.remark) == (False, 0, "the conversation is gone")


def test_who_may_only_read_writes_nothing(talk: tuple[Desk, Reply]) -> None:
    desk, reply = talk
    desk.server.add_token("reads", permissions={"pull_requests": "read"})
    with pytest.raises(ForgeError) as caught:
        desk.open("reads")[1].apply(reply, blobs=desk.blobs)
    assert caught.value.code == "forbidden"
    assert told(desk, reply) == []


def test_a_folder_and_the_fake_write_it_once_too(tmp_path: Path) -> None:
    create_local(tmp_path / "forge", "maria/app", {"a": b"b"}, {})
    number = open_issue(tmp_path / "forge", "maria", "A title", "text").number
    reply = Reply(key="reply:1", number=number, thread="t1", marker=reply_marker("fix", RUN), body="Changed.")
    reader, writer = open_local(tmp_path / "forge")
    first, again = (writer.apply(reply, blobs=tmp_path) for _ in range(2))
    assert (first.kind, again.id) == ("reply", first.id)
    assert [each.body for each in reader.comments(number)] == [f"{reply.marker}\nChanged."]
    forge = FakeForge()
    assert [FakeWriter(forge).apply(reply, blobs=tmp_path).done for _ in range(2)] == [True, False]
    assert forge.replies == [reply]


# --- what a step came to ------------------------------------------------------------------------------------------


def test_a_change_names_its_commit_and_a_reason_is_code() -> None:
    wicked = "```\n@octo /bot run\n```\n<!-- sandpiper:run=1 --> closes #1"
    answers = (
        Answered(feedback="PRRT_1", kind="fix"),
        Answered(feedback="PRRT_2", kind="fix", text="the table is new, sk-key"),
        Answered(feedback="PRRT_3", kind="justification", text=wicked),
        Answered(feedback="review:7:2030", kind="justification", text="no"),
    )
    done = Worked(step=Step(kind="answer_feedback", text="Answer"), commit=SHA, answers=answers, run=RUN)
    replies = replies_of(done, 7, hide=lambda text: text.replace("sk-key", "***"))
    assert [each.thread for each in replies] == ["PRRT_1", "PRRT_2", "PRRT_3"], "a review's own text has no thread"
    assert len({each.key for each in replies}) == 3
    assert replies[0].body == f"Changed in {SHA}."
    assert replies[1].body == f"Changed in {SHA}.\n\n```\nthe table is new, ***\n```"
    assert replies[2].body == f"Kept as it is, for this reason:\n\n{fenced(wicked)}"
    assert fenced(wicked).startswith("````\n")
    assert [reply_kind(f"{each.marker}\n{each.body}") for each in replies] == ["fix", "fix", "justification"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (reply_marker("fix", RUN), "fix"),
        (f"{reply_marker('justification', RUN)}\r\nno", "justification"),
        (f"see\n{reply_marker('fix', RUN)}", None),
        (f"{reply_marker('fix', RUN)} no", None),
        ("<!-- sandpiper:reply=maybe:1 -->", None),
        ("<!-- sandpiper:run=1 -->", None),
        ("", None),
    ],
)
def test_an_answer_is_known_by_its_first_line(body: str, kind: str | None) -> None:
    assert reply_kind(body) == kind

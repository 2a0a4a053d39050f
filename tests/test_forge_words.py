"""What GitHub really says in its refusals, word for word, and what is made of it."""

from __future__ import annotations

import pytest

from bot.errors import Conflict, ForgeError
from bot.types.output import Check, Note, Pull
from bot.types.result import Annotation
from tests.forge_fixtures import NAME, Desk, desk

__all__ = ["desk"]

UNSEEN_HEAD = [
    {"resource": "PullRequest", "code": "missing_field", "field": "head_sha"},
    {"resource": "PullRequest", "code": "custom", "message": "No commits between main and bot/fix-1"},
]
"""For a branch that not every server of GitHub's knows yet."""
FINE_GRAINED = {"message": "Resource not accessible by personal access token"}


def check(desk: Desk) -> Check:
    marks = tuple(Annotation(path="a.py", line=at + 1, message="bad") for at in range(3))
    words = {"name": "bot fix", "external": "check-1", "title": "2 of 3", "summary": "text"}
    return Check(key="check", sha=desk.head, conclusion="failure", annotations=marks, **words)


@pytest.mark.parametrize("errors", [UNSEEN_HEAD, [{"resource": "PullRequest", "field": "head", "code": "invalid"}]])
def test_a_branch_that_was_just_made_is_waited_for(desk: Desk, errors: list[dict[str, str]]) -> None:
    desk.repo.git.set_ref("refs/heads/bot/fix-1", desk.head)
    desk.server.commit(NAME, "bot/fix-1", {"new.txt": "new"})
    desk.server.faults.add("POST", r"/pulls$", "status", times=2, status=422, says={"errors": errors})
    receipt = desk.apply(Pull(key="pull", head="bot/fix-1", base="main", title="Mend it", body="Fixes #1"))
    assert list(desk.repo.pulls) == [receipt.id]
    assert desk.naps


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (r"/git/refs$", "Object does not exist"),
        (r"/git/commits$", "Tree SHA does not exist"),
        (r"/git/commits$", "Parent SHA does not exist or is not a commit object"),
        (r"/git/trees$", "GitRPC::BadObjectState"),
    ],
)
def test_an_object_that_was_just_made_is_waited_for(desk: Desk, path: str, words: str) -> None:
    desk.server.faults.add("POST", path, "status", times=2, status=422, says={"message": words})
    receipt = desk.apply(desk.commit(desk.change("a.txt", b"a")))
    assert desk.repo.git.ref("refs/heads/bot/fix-1") == receipt.sha
    desk.server.faults.add("POST", path, "status", times=-1, status=422, says={"message": words})
    with pytest.raises(Conflict):
        desk.apply(desk.commit(desk.change("b.txt", b"b"), branch="bot/fix-2"))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_fine_grained_token_writes_no_checks_and_that_is_all(desk: Desk, method: str) -> None:
    desk.server.faults.add(method, r"/check-runs$", "status", status=403, says=FINE_GRAINED)
    with pytest.raises(ForgeError) as caught:
        desk.apply(check(desk))
    assert caught.value.code == "checks_need_app"


@pytest.mark.parametrize("began", [True, False])
def test_a_check_whose_remarks_are_refused_ends_without_them(desk: Desk, began: bool) -> None:
    output = check(desk)
    if began:
        desk.apply(output.changed(key="begun", status="in_progress", conclusion=None, annotations=()))
    words = {"message": "Invalid request.\n\nFor 'properties/path', \"\" is too short."}
    desk.server.faults.add("PATCH" if began else "POST", r"/check-runs", "status", status=422, says=words)
    receipt = desk.apply(output)
    (made,) = desk.repo.check_runs
    assert (made.fields["status"], made.fields["conclusion"], made.annotations) == ("completed", "failure", [])
    assert "remarks" in receipt.remark


def test_submitted_too_quickly_is_a_limit_and_is_waited_for(desk: Desk) -> None:
    said = {"resource": "IssueComment", "code": "unprocessable", "field": "data"}
    errors = [{**said, "message": "was submitted too quickly"}]
    desk.server.faults.add("POST", r"/comments$", "status", status=422, says={"errors": errors})
    desk.apply(Note(key="note", number=1, marker="<!-- sandpiper:run=1 -->", body="x"))
    assert len(desk.issue.comments) == 1
    assert max(desk.naps) >= 60

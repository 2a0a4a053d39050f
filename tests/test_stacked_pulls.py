"""A pull request into a pull request's branch: opened once, also when the branch below it goes away."""

from __future__ import annotations

import pytest

from bot.errors import Conflict
from bot.types.output import Pull
from tests.forge_fixtures import NAME, Desk, desk

__all__ = ["desk"]


def stacked(desk: Desk) -> Pull:
    """The topic branch moved on; our commit stands on a branch of ours."""
    desk.server.open_pull(NAME, {"topic.txt": "1"}, head="topic/a")
    tip = str(desk.repo.git.ref("refs/heads/topic/a"))
    desk.server.commit(NAME, "topic/a", {"src/app.py": "3"})
    desk.apply(desk.commit(desk.change("src/app.py", b"2")).changed(parent=tip))
    return Pull(key="pull", head="bot/fix-1", base="topic/a", title="Mend it", body="For #2")


def test_it_goes_into_the_branch_and_stays_the_only_one(desk: Desk) -> None:
    output = stacked(desk)
    receipt = desk.apply(output)
    made = desk.repo.pulls[receipt.id]
    assert made.pull is not None
    assert (made.pull.base_ref, made.pull.draft) == ("topic/a", True)
    assert desk.apply(output, doubt=True).id == receipt.id
    assert desk.apply(output).id == receipt.id
    assert len(desk.repo.pulls) == 2


@pytest.mark.parametrize("kind", ["drop_after", "status_after"])
def test_a_lost_answer_leads_to_one(desk: Desk, kind: str) -> None:
    output = stacked(desk)
    desk.server.faults.add("POST", r"/pulls$", kind)  # type: ignore[arg-type]
    receipt = desk.apply(output)
    assert [each for each in desk.repo.pulls if each != receipt.id] == [2]


def test_a_base_that_is_gone_is_said_to_be(desk: Desk) -> None:
    output = stacked(desk)
    desk.repo.git.set_ref("refs/heads/topic/a", None)
    with pytest.raises(Conflict) as caught:
        desk.apply(output)
    assert caught.value.code == "base_gone"
    assert "topic/a" in caught.value.message
    assert "bot/fix-1" in caught.value.hint


def test_ours_is_kept_when_github_gave_it_another_base(desk: Desk) -> None:
    """The pull request below is merged, its branch deleted: GitHub retargets those that were stacked on it."""
    output = stacked(desk)
    receipt = desk.apply(output)
    made = desk.repo.pulls[receipt.id]
    assert made.pull is not None
    made.pull.base_ref = "main"
    desk.repo.git.set_ref("refs/heads/topic/a", None)
    assert desk.apply(output, doubt=True).id == receipt.id
    assert len(desk.repo.pulls) == 2

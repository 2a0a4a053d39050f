"""A run on GitHub and its undo -> the repository as it was, whatever fails on the way, and a true word about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from bot.forge.render.undo import undone
from bot.marks import Made, Mark, read_mark, state_line
from bot.types.decision import Undoing
from bot.types.event import Actor, Event, Other, Repository
from bot.types.output import Receipt
from tests.github_server.faults import Kind
from tests.github_server.trees import read_commit
from tests.verb_fixtures import FILES, NAME, Killed, Story, on_a_pull, on_an_issue


def test_a_run_on_an_issue_is_undone_and_that_is_said(tmp_path: Path) -> None:
    with on_an_issue(tmp_path) as story:
        made = story.mark.made
        assert made.labels == ("regenerated",)
        assert made.sha == story.head(made.branch)
        status = next(each for each in story.subject.comments if read_mark(each.body))
        assert story.say("/bot undo").conclusion == "success"
        assert story.repo.issues[made.pull].state == "closed"
        assert story.repo.git.ref(f"refs/heads/{made.branch}") is None
        assert story.subject.label_names == ["table"]
        assert story.mark.made.undone
        assert "`regenerate` undone" in status.body
        assert "draft pull request" not in status.body
        answer = story.bodies[-1]
        for words in (f"#{made.pull} is closed", f"`{made.branch}` is gone", "`regenerated`"):
            assert words in answer
        assert "Not taken back" not in answer
        story.say("/bot status")
        assert "| undone | success |" in story.bodies[-1]
        assert f"#{made.pull}" in story.bodies[-1]
        before, writes = story.seen(), len(story.bodies)
        story.say(f"/bot undo {story.mark.run[:4]}")
        assert story.bodies[writes:][0].endswith(f"Run `{story.mark.run}` is undone already.")
        assert {**before, "comments": None} == {**story.seen(), "comments": None}


def test_a_commit_on_somebodys_branch_is_taken_back_by_another(tmp_path: Path) -> None:
    with on_a_pull(tmp_path) as story:
        ours = story.head("feature")
        story.server.commit(NAME, "feature", {"deep/other.txt": "later\n", "new.txt": "newer\n"})
        assert story.say("/bot undo").conclusion == "success"
        wanted = {each: content.encode() for each, content in FILES.items()}
        assert story.files("feature") == wanted | {"deep/other.txt": b"later\n", "new.txt": b"newer\n"}
        made = story.mark.made
        assert (made.undone, made.sha) == (True, ours)
        assert story.subject.state == "open"
        assert ours[:12] in story.bodies[-1]
        back = read_commit(story.repo.git, story.head("feature"))
        assert back.message.startswith("Take back what regenerate did\n")
        assert f"This reverts commit {ours}." in back.message
        assert "Co-authored-by: maria <" in back.message
        assert back.committer.name == "GitHub", "it is signed"


def test_what_was_changed_again_is_not_touched(tmp_path: Path) -> None:
    with on_a_pull(tmp_path) as story:
        moved = story.server.commit(NAME, "feature", {"table.txt": "mine\n"})
        assert story.say("/bot undo").conclusion == "success"
        assert story.head("feature") == moved
        assert not story.mark.made.undone
        assert "undone in part" in story.bodies[-1]
        assert "changed again since the run: table.txt" in story.bodies[-1]
        story.server.commit(NAME, "feature", {"table.txt": "new\n"})
        assert story.say("/bot undo").conclusion == "success"
        assert story.files("feature")["table.txt"] == b"old\n"
        assert story.mark.made.undone


def test_what_a_person_took_back_already_is_no_second_commit(tmp_path: Path) -> None:
    with on_a_pull(tmp_path) as story:
        theirs = story.server.commit(NAME, "feature", {"table.txt": "old\n"})
        story.say("/bot undo")
        assert story.head("feature") == theirs
        assert story.mark.made.undone
        assert "taken back already" in story.bodies[-1]


def test_a_branch_that_is_gone_is_said(tmp_path: Path) -> None:
    with on_a_pull(tmp_path) as story:
        story.repo.git.set_ref("refs/heads/feature", None)
        assert story.say("/bot undo").conclusion == "success"
        assert "the branch feature is gone" in story.bodies[-1]
        assert not story.mark.made.undone


def test_a_branch_with_somebodys_commit_is_kept(tmp_path: Path) -> None:
    with on_an_issue(tmp_path) as story:
        made = story.mark.made
        top = story.server.commit(NAME, made.branch, {"more.txt": "mine"})
        story.say("/bot undo")
        assert story.head(made.branch) == top
        assert story.repo.issues[made.pull].state == "closed"
        assert f"`{made.branch}` was kept" in story.bodies[-1]
        assert not story.mark.made.undone


def test_what_was_merged_stays_and_that_is_said(tmp_path: Path) -> None:
    with on_an_issue(tmp_path) as story:
        made = story.mark.made
        story.repo.git.set_ref("refs/heads/main", made.sha)
        story.server.commit(NAME, "other", {"x": "y"})  # lets pull requests follow their branches
        pull = story.repo.issues[made.pull].pull
        assert pull is not None
        assert pull.merged
        story.say("/bot undo")
        assert story.head("main") == made.sha
        assert f"#{made.pull} was merged" in story.bodies[-1]
        assert "undone in part" in story.bodies[-1]
        assert not story.mark.made.undone
    with on_a_pull(tmp_path / "pull") as story:
        story.repo.git.set_ref("refs/heads/main", story.head("feature"))
        story.server.commit(NAME, "other", {"x": "y"})
        at = story.head("feature")
        story.say("/bot undo")
        assert story.head("feature") == at
        assert "stays, because #1 was merged" in story.bodies[-1]


def test_only_writers_undo_and_only_our_marks_count(tmp_path: Path) -> None:
    with on_an_issue(tmp_path) as story:
        before = story.seen()
        run = story.say("/bot undo", user="paul")
        assert (run.decision and run.decision.code) == "permission"
        assert {**story.seen(), "comments": None} == {**before, "comments": None}
        victim = story.server.commit(NAME, "release", {"x": "y"})
        forged = story.mark.changed(run="f" * 16, made=story.mark.made.changed(branch="release", sha=victim, pull=0))
        status = next(each for each in story.subject.comments if read_mark(each.body))
        state = status.body.split("\n")[1]
        from_stranger = status.body.replace(state, state_line(forged))
        story.server.comment(NAME, 1, from_stranger, user="paul")
        assert story.say("/bot undo ffff").conclusion == "success"
        assert "no such run" in story.bodies[-1]
        status.body = from_stranger  # a maintainer may edit our comment, and still reaches nothing that is not a run's
        story.say("/bot undo ffff")
        assert story.head("release") == victim
        assert "stays" in story.bodies[-1]


STORIES = {"issue": on_an_issue, "pull": on_a_pull}


def writes_of(story: Story, event: Event) -> list[tuple[str, str]]:
    before = len(story.server.requests)
    story.serve(event)
    return [(each.method, each.path) for each in story.server.requests[before:] if not each.reads]


def where(path: str) -> str:
    """A pattern for the same address on another server, where numbers differ."""
    return re.sub(r"[0-9a-f]{8,40}|\d+", "[0-9a-f]+", path) + "$"


def same_before(writes: list[tuple[str, str]], at: int) -> int:
    method, path = writes[at]
    return sum(1 for each in writes[:at] if each[0] == method and re.search(where(path), each[1]))


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
@pytest.mark.parametrize("name", STORIES)
def test_each_write_of_an_undo_takes_effect_once_whichever_answer_is_lost(
    tmp_path: Path, name: str, kind: Kind
) -> None:
    with STORIES[name](tmp_path / "calm") as calm:
        writes = writes_of(calm, calm.says("/bot undo"))
        wanted = calm.seen()
    assert len(writes) >= 6, writes
    for at, (method, path) in enumerate(writes):
        with STORIES[name](tmp_path / f"{kind}-{at}") as story:
            event = story.says("/bot undo")
            planted = story.server.faults.add(method, where(path), kind, skip=same_before(writes, at))
            assert story.serve(event).conclusion == "success"
            assert planted.met == 1, (method, path)
            assert story.seen() == wanted, f"{kind} at {method} {path}"


@pytest.mark.parametrize("name", STORIES)
def test_a_process_that_dies_after_any_write_is_followed_by_one_that_ends_it(tmp_path: Path, name: str) -> None:
    with STORIES[name](tmp_path / "calm") as calm:
        writes = writes_of(calm, calm.says("/bot undo"))
        wanted = calm.seen()
    for at, (method, path) in enumerate(writes):
        for machine in ("one", "two"):  # with the record of the first process, and without
            with STORIES[name](tmp_path / f"{machine}-{at}") as story:
                event = story.says("/bot undo")
                story.server.faults.add(method, where(path), "drop_after", skip=same_before(writes, at))
                story.mortal = True
                with pytest.raises(Killed):
                    story.serve(event)
                story.machine, story.mortal = machine, False
                assert story.serve(event).conclusion == "success"
                seen = story.seen()
                assert {**seen, "comments": 0} == {**wanted, "comments": 0}, f"{machine}: {method} {path}"
                assert len(story.bodies) == 2
                if machine == "one":
                    assert seen["comments"] == wanted["comments"], f"{method} {path}"


def test_the_same_delivery_on_another_machine_says_nothing_new(tmp_path: Path) -> None:
    for name, open_story in STORIES.items():
        with open_story(tmp_path / name) as story:
            event = story.says("/bot undo")
            story.serve(event)
            wanted = story.seen()
            story.machine = "two"
            story.serve(event)
            assert story.seen() == wanted


def test_the_last_words_are_safe_and_leave_out_what_is_no_step() -> None:
    made = Made(branch="bot/`x`-01234567", sha="a" * 40, pull=3, labels=("@team", "<b>"))
    mark = Mark(run="0123456789abcdef", task="fix", status="completed", conclusion="success", requester=1, made=made)
    actor = Actor(login="x](http://evil)", id=1)
    event = Event(id="1", name="x", repository=Repository(full_name="o/n", default_branch="main"), actor=actor,
                  trigger=Other(reason="x"))  # fmt: skip
    receipts = (
        Receipt(key="reaction", kind="reaction", done=False, remark="not there"),
        Receipt(key="undo-pull", kind="close_pull"),
        Receipt(key="undo-commit", kind="revert", done=False, remark="changed again: @team/<img src=x>\n# x Fixes #1"),
        Receipt(key="undo-labels", kind="labels"),
    )
    undoing = Undoing(number=7, state=state_line(mark), kept=("the review stays",))
    for note in undone(event, undoing, receipts):
        assert "not there" not in note.body
        assert "the review stays" in note.body
        html = MarkdownIt("commonmark").render("\n".join(note.body.split("\n")[1:]))
        plain = re.sub("<code>.*?</code>", "", html)
        assert "@team" not in plain
        assert "<img" not in plain
        assert "evil" not in plain
        assert "Fixes #1" not in plain
    status, _ = undone(event, undoing, receipts[1:2])
    state = read_mark(f"{status.marker}\n{status.body}")
    assert state is not None
    assert not state.made.undone, "the review stayed"
    alone, _ = undone(event, undoing.changed(kept=()), ())
    assert "nothing but its comment" in alone.body

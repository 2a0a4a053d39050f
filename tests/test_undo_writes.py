"""What undoes a run, written to GitHub and to a folder -> only what the run left behind is touched, path by path."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from bot.errors import Conflict, ForgeError
from bot.forge.local.reader import BOT, Person, create_local, open_issue, read_thread, write_thread
from bot.forge.local.writer import open_local
from bot.types.output import ClosePull, DeleteBranch, Output, Receipt, Revert
from tests.forge_fixtures import NAME, TOKEN, Desk, desk
from tests.github_server.trees import File
from tests.verb_fixtures import on_a_pull, on_an_issue

__all__ = ["desk"]

OURS = "Renew\n\nSandpiper-Run: 0123456789abcdef\n"
BASE: dict[str, File] = {"a": "a\n", "d/x": "x\n", "d/y": "y\n", "run": ("100755", b"#!\n"), "bytes": b"\0\xff\n"}
Files = dict[str, File]


def revert(desk: Desk, files: Files, later: Files, branch: str = "topic") -> Receipt:
    """Our commit, somebody's commit on top of it, and ours taken back."""
    desk.server.commit(NAME, branch, BASE)
    sha = desk.server.commit(NAME, branch, files, OURS)
    if later:
        desk.server.commit(NAME, branch, later)
    message = f"Take back\n\nThis reverts commit {sha}.\n"
    return desk.apply(Revert(key="undo-commit", branch=branch, sha=sha, message=message))


@pytest.mark.parametrize(
    ("ours", "later", "clash"),
    [
        ({"a": "b\n"}, {}, ""),
        ({"a": None, "z/deep/new": "a\n"}, {"d/x": "later\n"}, ""),
        ({"run": ("100644", b"#!\n")}, {}, ""),
        ({"bytes": b"\1\xfe"}, {"a": "later\n"}, ""),
        ({"d": "a file\n"}, {"a": "later\n"}, ""),
        ({"a": None, "a/b": "inside\n"}, {}, ""),
        ({"d/x": None, "d/y": None}, {}, ""),
        ({"a": "b\n", "d/x": "b\n"}, {"a": "a\n"}, ""),
        ({"ünï/😀.txt": "x"}, {}, ""),
        ({"a": "b\n"}, {"a": "c\n"}, "a"),
        ({"a": "b\n", "d/x": "b\n"}, {"d/x": None}, "d/x"),
        ({"new": "b\n"}, {"new": ("100755", b"b\n")}, "new"),
        ({"a": None, "a/b": "inside\n"}, {"a/c": "mine\n"}, "a"),
        ({"d/x": None, "d/y": None}, {"d": "a file\n"}, "d/x"),
    ],
)
def test_our_changes_go_and_everybody_elses_stay(desk: Desk, ours: Files, later: Files, clash: str) -> None:
    desk.server.commit(NAME, "wanted", BASE)
    desk.server.commit(NAME, "wanted", later or {"a": "a\n"})
    if clash:
        with pytest.raises(Conflict) as caught:
            revert(desk, ours, later)
        assert caught.value.code == "revert_conflict"
        assert clash in caught.value.message
        assert all(each.method == "GET" for each in desk.server.requests)
        return
    receipt = revert(desk, ours, later)
    head = desk.repo.git.ref("refs/heads/topic")
    wanted = desk.repo.git.ref("refs/heads/wanted")
    assert receipt.sha == head
    assert head is not None
    assert wanted is not None
    assert tree_of(desk, head) == tree_of(desk, wanted)


def tree_of(desk: Desk, commit: str) -> list[str]:
    """Modes, names and contents of a commit, read by git."""
    return git(desk, "ls-tree", "-r", "-t", commit).splitlines()


def git(desk: Desk, *words: str) -> str:
    command = ["git", "--git-dir", str(desk.repo.git.path), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("seed", range(6))
def test_any_history_ends_as_if_our_commit_had_not_been_made_or_is_left_alone(desk: Desk, seed: int) -> None:
    chance = random.Random(seed)
    names = ["a", "b", "d/x", "d/y", "e/f/g"]
    contents: list[File] = ["1\n", "2\n", ("100755", b"1\n"), b"\0"]

    def some() -> Files:
        return {name: chance.choice(contents) for name in chance.sample(names, 2)} | {"always": str(chance.random())}

    for at in range(4):
        ours = {**some(), "ours": "1"}
        later = [some() for _ in range(chance.randint(0, 2))]
        desk.server.commit(NAME, f"wanted-{at}", BASE)
        desk.server.commit(NAME, f"topic-{at}", BASE)
        sha = desk.server.commit(NAME, f"topic-{at}", ours, OURS)
        for files in later:
            desk.server.commit(NAME, f"topic-{at}", files)
            desk.server.commit(NAME, f"wanted-{at}", files)
        before = desk.repo.git.ref(f"refs/heads/topic-{at}")
        output = Revert(key="undo", branch=f"topic-{at}", sha=sha, message="Take back")
        touched = {path for files in later for path in files}
        try:
            desk.apply(output)
        except Conflict:
            assert desk.repo.git.ref(f"refs/heads/topic-{at}") == before
            assert touched & ours.keys()
            continue
        head, wanted = (desk.repo.git.ref(f"refs/heads/{name}-{at}") or "" for name in ("topic", "wanted"))
        assert not tree_of_difference(desk, head, wanted) - touched


def tree_of_difference(desk: Desk, one: str, other: str) -> set[str]:
    return set(git(desk, "diff", "--no-ext-diff", "--name-only", one, other).split())


def test_only_commits_of_a_run_are_taken_back(desk: Desk) -> None:
    desk.server.commit(NAME, "topic", {"a": "a\n"})
    theirs = desk.server.commit(NAME, "topic", {"a": "b\n"}, "Mine")
    for branch, code in (("topic", "not_ours"), ("absent", "branch_gone"), ("../../../issues", "branch_gone")):
        with pytest.raises(Conflict) as caught:
            desk.apply(Revert(key="undo", branch=branch, sha=theirs, message="Take back"))
        assert caught.value.code == code


def test_a_push_at_the_same_moment_is_not_overwritten(desk: Desk) -> None:
    pushes: list[str] = []

    def push(request: object) -> None:
        if getattr(request, "method", "") == "PATCH" and len(pushes) < 2:
            pushes.append(desk.server.commit(NAME, "topic", {f"push-{len(pushes)}": "theirs\n"}))

    desk.server.on_request(push)
    receipt = revert(desk, {"a": "b\n"}, {})
    assert len(pushes) == 2
    files = desk.files(receipt.sha)
    assert (files["a"], files["push-0"], files["push-1"]) == (b"a\n", b"theirs\n", b"theirs\n")


def test_a_protected_branch_stays_and_the_refusal_is_passed_on(desk: Desk) -> None:
    desk.repo.protected.add("topic")
    with pytest.raises(Conflict) as caught:
        revert(desk, {"a": "b\n"}, {})
    assert "Protected branch" in caught.value.message


@pytest.mark.parametrize("branch", ["main", "feature", "bot/../main", "bot/a..b"])
def test_no_branch_but_ours_is_deleted(desk: Desk, branch: str) -> None:
    desk.server.commit(NAME, "feature", {"a": "b"})
    with pytest.raises(ForgeError) as caught:
        desk.apply(DeleteBranch(key="undo", branch=branch, sha=desk.head))
    assert caught.value.code == "branch_refused"
    assert desk.server.requests == []


def test_a_pull_request_of_somebody_else_is_not_closed(desk: Desk) -> None:
    fork = desk.server.open_pull(NAME, {"x": "y"}, user="forker", head="bot/fix-1", from_fork=True)
    other = desk.server.open_pull(NAME, {"x": "z"}, head="feature")
    for pull in (fork, other):
        receipt = desk.apply(ClosePull(key="undo", number=pull.number, head="bot/fix-1"))
        assert not receipt.done
        assert pull.state == "open"


@pytest.mark.parametrize("missing", ["contents", "pull_requests"])
def test_what_the_token_may_not_do_is_said(tmp_path: Path, missing: str) -> None:
    for opened in (on_an_issue, on_a_pull):
        with opened(tmp_path / opened.__name__) as story:
            before = story.repo.git.refs("refs/heads/")
            rights = dict.fromkeys(("contents", "issues", "pull_requests"), "write")
            story.server.add_token(TOKEN, permissions={**rights, missing: "read"})
            assert story.say("/bot undo").conclusion == "success"
            said = story.bodies[-1]
            if missing == "contents":
                assert story.repo.git.refs("refs/heads/") == before
                assert "GitHub refuses" in said
                assert not story.mark.made.undone


def test_a_folder_closes_and_deletes_too(tmp_path: Path) -> None:
    folder = tmp_path / "forge"
    create_local(folder, "octo/demo", {"a.txt": b"a\n"}, {"ann": Person(id=2, permission="write")})
    reader, writer = open_local(folder)
    main = reader.revision("main")
    assert main is not None
    subprocess.run(["git", "--git-dir", folder / "repository.git", "branch", "bot/fix-1", main.sha], check=True)
    number = open_issue(folder, "ann", "Title", "Text").number
    thread = read_thread(folder, number)
    assert thread is not None
    fields = {"kind": "pull_request", "number": number + 1, "author": BOT, "head": "bot/fix-1", "base": "main"}
    write_thread(folder, thread.changed(**fields))
    other: Output = DeleteBranch(key="branch", branch="bot/fix-1", sha="0" * 40)
    assert not writer.apply(other, blobs=tmp_path).done
    assert not writer.apply(ClosePull(key="pull", number=number + 1, head="main"), blobs=tmp_path).done
    for _ in range(2):
        assert writer.apply(ClosePull(key="pull", number=number + 1, head="bot/fix-1"), blobs=tmp_path).done
        assert writer.apply(DeleteBranch(key="branch", branch="bot/fix-1", sha=main.sha), blobs=tmp_path).done
    assert reader.revision("bot/fix-1") is None
    closed = reader.subject(number + 1)
    assert closed is not None
    assert (closed.state, closed.pull) == ("closed", None)

"""A branch that moved on meanwhile: our commit goes on top exactly as git would merge it, or not at all, and once."""

from __future__ import annotations

import hashlib
import subprocess
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bot.errors import Conflict
from bot.types.output import Commit
from bot.types.sandbox import FileChange
from tests.forge_fixtures import NAME, Desk, desk, open_desk
from tests.github_server.objects import git_environment
from tests.github_server.trees import File, Identity, read_commit, read_tree, write_commit

__all__ = ["desk"]

MESSAGE = "Mend it\n\nSandpiper-Run: 0123456789abcdef"
PATHS = ("a", "a/b", "a/b/c", "d/x", "d/y", "d/e/z", "d", "ü.txt", "README.md")
Tree = dict[str, tuple[str, bytes]]
SEEDED: Tree = {
    "README.md": ("100644", b"# Sample\n"),
    "src/app.py": ("100644", b"print(1)\n"),
    "src/deep/old.py": ("100644", b"old\n"),
    "bin/tool": ("100755", b"#!/bin/sh\n"),
}


def contents(path: str) -> st.SearchStrategy[tuple[str, bytes]]:
    """Alike at no two paths, so that git sees no renames."""
    modes = st.sampled_from(["100644", "100644", "100755", "120000"])
    lines = st.integers(1, 3).map(lambda number: hashlib.sha256(f"{path} {number}".encode()).digest())
    return st.tuples(modes, lines.map(lambda line: line if line[0] % 2 else line.hex().encode()))


@st.composite
def edited(draw: st.DrawFn, base: Tree) -> Tree:
    """A tree that differs in a few paths; what is put where something else was takes its place."""
    tree = dict(base)
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=4, unique=True)):
        tree.pop(path, None)
        if (made := draw(st.none() | contents(path))) is not None:
            clashing = [each for each in tree if each.startswith(f"{path}/") or path.startswith(f"{each}/")]
            for each in clashing:
                del tree[each]
            tree[path] = made
    return tree


def moved(desk: Desk, branch: str, before: Tree, after: Tree, parent: str | None = None) -> str:
    """A commit that makes one tree of the other, on the branch or on a parent."""
    if parent:
        desk.repo.git.set_ref(f"refs/heads/{branch}", parent)
    edits: dict[str, File] = {path: None for path in before if path not in after and not hidden(path, after)}
    edits |= {path: entry for path, entry in after.items() if before.get(path) != entry}
    return desk.server.commit(NAME, branch, edits) if edits else str(desk.repo.git.ref(f"refs/heads/{branch}"))


def hidden(path: str, after: Tree) -> bool:
    """Whether an addition implies the deletion."""
    return any(each.startswith(f"{path}/") or path.startswith(f"{each}/") for each in after)


def files_between(desk: Desk, before: Tree, after: Tree) -> tuple[FileChange, ...]:
    def blob(entry: tuple[str, bytes] | None) -> Any:
        return desk.blob(entry[1], entry[0]) if entry else None

    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return tuple(FileChange(path=path, old=blob(before.get(path)), new=blob(after.get(path))) for path in paths)


def merged_by_git(desk: Desk, ours: str, theirs: str) -> tuple[bool, str]:
    """Whether git merges two commits cleanly, and the tree that it makes."""
    argv = ["git", "-c", "merge.renames=false", "-c", "merge.directoryRenames=false"]
    argv += ["merge-tree", "--write-tree", "--no-messages", ours, theirs]
    done = subprocess.run(argv, cwd=desk.repo.git.path, env=git_environment(), capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0, done.stdout.decode().split()[0]


def test_random_changes_on_both_sides_end_as_git_merges_them_or_not_at_all(tmp_path: Path) -> None:
    ends: Counter[str] = Counter()
    with open_desk(tmp_path) as desk:
        main = desk.head

        @given(st.data())
        @settings(max_examples=80, deadline=None)
        def check(data: st.DataObject) -> None:
            base: Tree = data.draw(edited({"d/x": ("100644", b"1\n"), "keep": ("100644", b"k\n")}))
            ours: Tree = data.draw(edited(base))
            theirs: Tree = data.draw(edited(base))
            assume(ours != base and theirs != base and ours and theirs)
            parent = moved(desk, "topic", SEEDED, base, parent=main)
            mine = moved(desk, "mine", base, ours, parent=parent)
            head = moved(desk, "topic", base, theirs)
            files = files_between(desk, base, ours)
            output = desk.commit(*files, branch="topic", create=False)
            ends[published(desk, output.changed(parent=parent, rebase=True, message=MESSAGE), mine, head)] += 1

        check()
    assert ends["put on top"] > 10
    assert ends["head_moved"] > 10


def published(desk: Desk, output: Commit, mine: str, head: str) -> str:
    """How it ended: as git would merge our commit into the head, or with the branch as it was."""
    clean, tree = merged_by_git(desk, mine, head)
    end = "put on top"
    try:
        receipt = desk.apply(output)
    except Conflict as error:
        end = error.code
    if end == "put on top":
        made = read_commit(desk.repo.git, receipt.sha)
        assert clean
        assert (made.tree, made.parents) == (tree, [head])
        assert tip(desk) == receipt.sha
        return end
    assert end in ("head_moved", "empty_commit")
    assert tip(desk) == head
    assert end == "head_moved" or (clean and tree == read_commit(desk.repo.git, head).tree)
    return end


def topic(desk: Desk, *files: FileChange) -> Commit:
    """A commit for a pull request's own branch, as it stands now."""
    desk.repo.git.set_ref("refs/heads/topic", desk.head)
    return desk.commit(*files, branch="topic", create=False).changed(rebase=True, message=MESSAGE)


def tip(desk: Desk) -> str:
    return str(desk.repo.git.ref("refs/heads/topic"))


def test_a_commit_goes_on_top_of_what_others_did_to_other_files(desk: Desk) -> None:
    output = topic(desk, desk.change("src/app.py", b"print(2)\n"), desk.change("src/new.py", b"n\n"))
    theirs = desk.server.commit(NAME, "topic", {"src/other.py": "x", "src/deep/old.py": None})
    receipt = desk.apply(output)
    files = desk.files(tip(desk))
    assert (files["src/app.py"], files["src/new.py"], files["src/other.py"]) == (b"print(2)\n", b"n\n", b"x")
    assert "src/deep/old.py" not in files
    assert read_commit(desk.repo.git, receipt.sha).parents == [theirs]
    assert receipt.name == "topic"
    assert receipt.remark == (
        f"put on top of {theirs[:7]}, which came in meanwhile; it was checked on {output.parent[:7]}"
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"src/app.py": b"2"}, {"src/app.py": "3"}),
        ({"src/app.py": b"2"}, {"src/app.py": None}),
        ({"src/app.py": None}, {"src/app.py": "3"}),
        ({"src/app.py": b"2"}, {"src/app.py": ("100755", b"print(1)\n")}),
        ({"new": b"2"}, {"new": "3"}),
        ({"new/inside": b"2"}, {"new": "a file"}),
        ({"new": b"2"}, {"new/inside": "a folder"}),
        ({"src": b"2", "src/app.py": None, "src/deep/old.py": None}, {"src/deep/more": "x"}),
        ({"src/app.py/inside": b"2", "src/app.py": None}, {"src/app.py": "3"}),
    ],
)
def test_the_same_file_changed_on_both_sides_leaves_the_branch_alone(
    desk: Desk, ours: dict[str, bytes | None], theirs: dict[str, File]
) -> None:
    output = topic(desk, *(desk.change(path, data) for path, data in ours.items()))
    head = desk.server.commit(NAME, "topic", theirs)
    with pytest.raises(Conflict) as caught:
        desk.apply(output)
    assert caught.value.code == "head_moved"
    assert tip(desk) == head


def test_what_both_did_alike_is_done_once(desk: Desk) -> None:
    output = topic(desk, desk.change("src/app.py", b"2"), desk.change("new", b"n"))
    desk.server.commit(NAME, "topic", {"src/app.py": "2", "other": "x"})
    receipt = desk.apply(output)
    assert desk.files(receipt.sha)["new"] == b"n"


def test_a_branch_that_moves_under_our_hands_is_tried_again_and_not_for_ever(desk: Desk) -> None:
    output = topic(desk, desk.change("src/app.py", b"2"))
    pushed: list[str] = []

    def push(request: Any) -> None:
        if request.method == "PATCH" and "/git/refs/" in request.path and len(pushed) < most:
            pushed.append(desk.server.commit(NAME, "topic", {"busy.txt": str(len(pushed))}))

    desk.server.on_request(push)
    most = 2
    receipt = desk.apply(output)
    assert len(pushed) == 2
    assert read_commit(desk.repo.git, receipt.sha).parents == [pushed[1]]
    assert desk.calls().count("POST /repos/{owner}/{repo}/git/blobs") == 0
    most = 100
    with pytest.raises(Conflict) as caught:
        desk.apply(topic(desk, desk.change("src/app.py", b"3")))
    assert caught.value.code == "head_moved"
    assert tip(desk) == pushed[-1]
    assert len(pushed) <= 2 + 5


@pytest.mark.parametrize("when", ["alone", "below others"])
@pytest.mark.parametrize("on_top", [False, True])
def test_a_delivery_that_ended_after_its_write_is_recognised(desk: Desk, when: str, on_top: bool) -> None:
    output = topic(desk, desk.change("src/app.py", b"2"))
    if on_top:
        desk.server.commit(NAME, "topic", {"before.txt": "x"})
    first = desk.apply(output)
    if when != "alone":
        desk.server.commit(NAME, "topic", {"after.txt": "y", "src/app.py": "3"})
    head = tip(desk)
    again = desk.apply(output, doubt=True)
    assert again == first
    assert tip(desk) == head


def test_the_answer_to_the_last_write_is_lost_and_somebody_pushes_at_once(desk: Desk) -> None:
    output = topic(desk, desk.change("src/app.py", b"2"))
    desk.server.faults.add("PATCH", r"/git/refs/", "drop_after")
    pushed: list[str] = []

    def push(request: Any) -> None:
        if request.method == "PATCH" and not pushed:
            pushed.append(desk.server.commit(NAME, "topic", {"src/app.py": "3"}))

    desk.server.on_request(push, "after")
    receipt = desk.apply(output)
    assert tip(desk) == pushed[0]
    assert read_commit(desk.repo.git, pushed[0]).parents == [receipt.sha]


def test_somebody_elses_commit_with_our_message_is_not_ours(desk: Desk) -> None:
    output = topic(desk, desk.change("src/app.py", b"2"))
    desk.server.commit(NAME, "topic", {"other.txt": "x"}, message=MESSAGE)
    receipt = desk.apply(output, doubt=True)
    assert tip(desk) == receipt.sha
    assert desk.files(receipt.sha)["src/app.py"] == b"2"


def test_a_new_branch_of_ours_that_somebody_pushed_to_is_kept(desk: Desk) -> None:
    output = desk.commit(desk.change("a.txt", b"a")).changed(message=MESSAGE)
    first = desk.apply(output)
    theirs = desk.server.commit(NAME, output.branch, {"a.txt": "better"})
    assert desk.apply(output, doubt=True) == first
    assert desk.repo.git.ref(f"refs/heads/{output.branch}") == theirs
    assert first.name == output.branch


def test_our_commit_that_somebody_amended_is_theirs(desk: Desk) -> None:
    """They keep our message with its trailer; a second try of the run must not put back what they took out."""
    output = desk.commit(desk.change("a.txt", b"a")).changed(message=MESSAGE)
    ours = read_commit(desk.repo.git, desk.apply(output).sha)
    tree = read_commit(desk.repo.git, desk.server.commit(NAME, "aside", {"a.txt": "better"})).tree
    they = Identity("Ann", "ann@example.com", ours.committer.date + timedelta(minutes=5))
    amended = write_commit(desk.repo.git, tree, ours.parents, ours.author, they, ours.message)
    desk.repo.git.set_ref(f"refs/heads/{output.branch}", amended)
    with pytest.raises(Conflict) as caught:
        desk.apply(desk.commit(desk.change("b.txt", b"b")).changed(message=MESSAGE))
    assert caught.value.code == "branch_exists"
    assert desk.repo.git.ref(f"refs/heads/{output.branch}") == amended


def test_a_folder_of_the_branch_is_emptied_by_both(desk: Desk, tmp_path: Path) -> None:
    output = topic(desk, desk.change("src/app.py", None))
    desk.server.commit(NAME, "topic", {"src/deep/old.py": None})
    receipt = desk.apply(output)
    assert set(read_tree(desk.repo.git, read_commit(desk.repo.git, receipt.sha).tree)) == {"README.md", "bin"}

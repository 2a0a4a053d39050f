"""Changed files -> a signed commit on a stateful GitHub with real git objects, and nothing where something is wrong."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import responses

from bot.errors import Conflict, ForgeError, TaskError
from bot.forge.forge import open_forge
from bot.settings import Settings
from bot.types.output import Commit
from bot.types.sandbox import Blob, FileChange
from tests.forge_fixtures import FILES, NAME, TOKEN, Desk, desk
from tests.github_server.trees import find, read_commit

__all__ = ["desk"]

LARGE = b"long line\n" * 20_000
BINARY = bytes(range(256)) * 10


def branches(desk: Desk) -> set[str]:
    return set(desk.repo.git.refs("refs/heads/"))


def test_every_kind_of_change_arrives_exactly(desk: Desk) -> None:
    changes = {
        "src/app.py": b"print(2)\r\n",
        "src/deep/old.py": None,
        "n\u00e4w dir/\u2603 \u202e'\"$(id).txt": "s\u00fc\u00df \U0001f426\n".encode(),
        "data/raw.bin": BINARY,
        "data/nul.txt": b"a\0b",
        "data/latin-1.txt": b"caf\xe9",
        "data/large.txt": LARGE,
        "data/empty": b"",
    }
    files = [desk.change(path, data) for path, data in changes.items()]
    files += [desk.change("bin/new", b"#!/bin/sh\n", "100755"), desk.change("README.md", b"# Sample\n", "100755")]
    base = desk.files(desk.head)
    receipt = desk.apply(desk.commit(*files))
    expected = {**base, **changes, "bin/new": b"#!/bin/sh\n"}
    assert desk.files(receipt.sha) == {path: data for path, data in expected.items() if data is not None}
    assert desk.repo.git.ref("refs/heads/bot/fix-1") == receipt.sha
    assert receipt.url.endswith(f"/octo/hello/commit/{receipt.sha}")
    made = read_commit(desk.repo.git, receipt.sha)
    modes = {
        path: entry.mode
        for path in ("bin/new", "bin/tool", "README.md")
        if (entry := find(desk.repo.git, made.tree, path))
    }
    assert modes == {"bin/new": "100755", "bin/tool": "100755", "README.md": "100755"}
    assert made.parents == [desk.head]
    assert made.message == "Mend it\n\nFixes #1"


def test_github_signs_the_commit_because_nobody_is_named(desk: Desk) -> None:
    receipt = desk.apply(desk.commit(desk.change("a.txt", b"a")))
    assert read_commit(desk.repo.git, receipt.sha).signature is not None


def test_ten_text_files_take_four_requests(desk: Desk) -> None:
    files = [desk.change(f"src/dir{at}/file{at}.txt", b"text %d\n" % at) for at in range(10)]
    desk.apply(desk.commit(*files))
    git = "/repos/{owner}/{repo}/git"
    assert desk.calls() == [
        f"GET {git}/trees/{{tree_sha}}",
        f"POST {git}/trees",
        f"POST {git}/commits",
        f"POST {git}/refs",
    ]


def test_many_files_go_in_several_requests(desk: Desk) -> None:
    files = [desk.change(f"many/{at % 7}/{at}.txt", b"%d" % at) for at in range(501)]
    receipt = desk.apply(desk.commit(*files))
    assert len(desk.files(receipt.sha)) == len(FILES) + 501
    assert desk.calls().count("POST /repos/{owner}/{repo}/git/trees") == 2


def test_a_tree_that_github_cuts_short_is_compared_folder_by_folder(desk: Desk) -> None:
    desk.repo.tree_limit = 4
    receipt = desk.apply(desk.commit(desk.change("src/app.py", b"2"), desk.change("src/deep/old.py", None)))
    assert desk.files(receipt.sha)["src/app.py"] == b"2"
    assert "src/deep/old.py" not in desk.files(receipt.sha)


def test_a_server_that_echoes_the_commit_as_the_trees_name(tmp_path: Path) -> None:
    parent, tree, api = "1" * 40, "2" * 40, "http://api.example.test"
    data = b"a"
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / digest).write_bytes(data)
    files = (FileChange(path="a", new=Blob(digest=digest, size=1)),)
    output = Commit(key="c", branch="bot/x", create=True, parent=parent, message="m", files=files)
    naps: list[float] = []
    _, writer = open_forge(Settings(api_url=api), NAME, sleep=naps.append)
    with responses.RequestsMock() as mock:
        git = f"{api}/repos/{NAME}/git"
        mock.get(f"{git}/trees/{parent}", json={"sha": parent, "tree": [], "truncated": False})
        mock.get(f"{git}/commits/{parent}", json={"sha": parent, "tree": {"sha": tree}, "parents": []})
        mock.get(f"{git}/trees/{tree}", json={"sha": tree, "tree": [], "truncated": False})
        refused = mock.post(f"{git}/trees", status=403, json={"message": "enough seen"})
        with pytest.raises(ForgeError):
            writer.apply(output, blobs=tmp_path)
        assert json.loads(str(refused.calls[0].request.body.decode()))["base_tree"] == tree


def test_the_pull_requests_own_branch_moves_forward(desk: Desk) -> None:
    made = desk.server.open_pull(NAME, {"topic.txt": "1"}, head="topic/a")
    tip = desk.repo.git.ref("refs/heads/topic/a")
    assert tip is not None
    output = desk.commit(desk.change("src/app.py", b"2"), branch="topic/a", create=False).changed(parent=tip)
    receipt = desk.apply(output)
    assert made.pull is not None
    assert made.pull.head_sha == receipt.sha
    assert read_commit(desk.repo.git, receipt.sha).parents == [tip]


def test_a_branch_that_moved_is_left_alone(desk: Desk) -> None:
    output = desk.commit(desk.change("src/app.py", b"2"), branch="main", create=False)
    moved = desk.server.commit(NAME, "main", {"other.txt": "x"})
    with pytest.raises(Conflict) as caught:
        desk.apply(output)
    assert caught.value.code == "head_moved"
    assert desk.head == moved


def test_a_branch_that_moves_at_the_last_moment_is_left_alone(desk: Desk) -> None:
    output = desk.commit(desk.change("src/app.py", b"2"), branch="main", create=False)
    moved: list[str] = []

    def push(request: Any) -> None:
        if request.method == "PATCH" and not moved:
            moved.append(desk.server.commit(NAME, "main", {"other.txt": "x"}))

    desk.server.on_request(push)
    with pytest.raises(Conflict) as caught:
        desk.apply(output)
    assert caught.value.code == "head_moved"
    assert desk.head == moved[0]


def test_a_branch_that_was_reset_is_not_moved_forward_again(desk: Desk) -> None:
    first = desk.head
    desk.server.commit(NAME, "main", {"regretted.txt": "x"})
    output = desk.commit(desk.change("src/app.py", b"2"), branch="main", create=False)
    desk.repo.git.set_ref("refs/heads/main", first)
    with pytest.raises(Conflict) as caught:
        desk.apply(output)
    assert caught.value.code == "head_moved"
    assert desk.head == first


def test_a_branch_that_is_gone_stays_gone(desk: Desk) -> None:
    with pytest.raises(Conflict) as caught:
        desk.apply(desk.commit(desk.change("a", b"a"), branch="topic", create=False))
    assert caught.value.code == "branch_gone"


def test_a_branch_with_something_else_on_it_is_not_overwritten(desk: Desk) -> None:
    desk.repo.git.set_ref("refs/heads/bot/fix-1", desk.head)
    theirs = desk.server.commit(NAME, "bot/fix-1", {"precious.txt": "x"})
    for doubt in (False, True):
        with pytest.raises(Conflict) as caught:
            desk.apply(desk.commit(desk.change("a.txt", b"a")), doubt=doubt)
        assert caught.value.code == "branch_exists"
    assert desk.repo.git.ref("refs/heads/bot/fix-1") == theirs


def test_a_protected_branch_is_a_conflict_with_githubs_reason(desk: Desk) -> None:
    desk.repo.protected.add("main")
    with pytest.raises(Conflict) as caught:
        desk.apply(desk.commit(desk.change("a", b"a"), branch="main", create=False))
    assert "Protected branch" in caught.value.message


@pytest.mark.parametrize(
    "branch",
    [
        "main",
        "fix-1",
        "refs/heads/bot/x",
        "bot/",
        "bot/../main",
        "bot/a..b",
        "bot//a",
        "bot/a.lock",
        "bot/.a",
        "bot/a/",
        "bot/a b",
        "bot/a\n",
        "bot/$(id)",
        "Bot/a",
        "bot/a.",
        "bot/a.lock/b",
        "bot/-/../x",
    ],
)
def test_new_branches_are_ours_or_refused_before_any_request(desk: Desk, branch: str) -> None:
    with pytest.raises(ForgeError) as caught:
        desk.apply(desk.commit(desk.change("a.txt", b"a"), branch=branch))
    assert caught.value.code == "branch_refused"
    assert desk.calls() == []


def test_contents_that_are_not_what_was_validated_stop_everything(desk: Desk) -> None:
    change = desk.change("a.txt", b"good")
    assert change.new is not None
    (desk.blobs / change.new.digest).write_bytes(b"evil")
    with pytest.raises(TaskError):
        desk.apply(desk.commit(change))
    (desk.blobs / change.new.digest).unlink()
    with pytest.raises(TaskError):
        desk.apply(desk.commit(change))
    assert branches(desk) == {"refs/heads/main"}


def test_a_tree_that_is_not_what_was_validated_stops_before_the_branch(desk: Desk) -> None:
    """The server slips another file in: what it built differs from what was asked for."""
    output = desk.commit(desk.change("a.txt", b"a"))

    def slip(request: Any) -> None:
        if request.method == "POST" and request.path.endswith("/git/trees"):
            request.raw = re.sub(rb'"path": "a.txt"', b'"path": "b.txt"', request.raw)

    desk.server.on_request(slip)
    with pytest.raises(ForgeError) as caught:
        desk.apply(output)
    assert caught.value.code == "tree_differs"
    assert branches(desk) == {"refs/heads/main"}
    assert not any(call.endswith("/git/commits") for call in desk.calls())


def test_changes_that_are_there_already_are_said_to_be(desk: Desk) -> None:
    with pytest.raises(Conflict) as caught:
        desk.apply(desk.commit(desk.change("README.md", b"# Sample\n"), desk.change("never/was", None)))
    assert caught.value.code == "empty_commit"


def test_a_file_becomes_a_folder_and_a_folder_a_file(desk: Desk) -> None:
    changes = {
        "README.md": None,
        "README.md/inside": b"x",
        "src/app.py": None,
        "src/deep/old.py": None,
        "src": b"now a file",
    }
    receipt = desk.apply(desk.commit(*(desk.change(path, data) for path, data in changes.items())))
    assert set(desk.files(receipt.sha)) == {"README.md/inside", "src", "bin/tool"}


def test_workflow_files_are_refused_by_github_and_nothing_is_left(desk: Desk) -> None:
    desk.server.add_token(TOKEN, permissions={"contents": "write"})
    with pytest.raises(ForgeError) as caught:
        desk.apply(desk.commit(desk.change(".github/workflows/ci.yml", b"on: push\n")))
    assert caught.value.code == "forbidden"
    assert branches(desk) == {"refs/heads/main"}

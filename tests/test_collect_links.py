"""Symbolic links that a sandbox made -> collected where the task allows them, and never followed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bot.sandbox.collect.compare import collect
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Changes
from bot.types.task import Limits
from tests.forge_fixtures import Desk, desk
from tests.github_server.trees import find, read_commit
from tests.test_collect import checkout, kinds, needs_root, overlay

__all__ = ["checkout", "desk", "overlay"]


def linked(workspace: Workspace, tmp_path: Path) -> Changes:
    return collect(workspace, Limits(), tmp_path / "blobs", links=True)


@needs_root
def test_links_that_lead_to_something_in_the_repository_are_taken(
    overlay: tuple[Workspace, Path], tmp_path: Path
) -> None:
    workspace, merged = overlay
    good = {"src/up": "../README.md", "new/folder": "../src", "by": "src/up", "through": "new/folder/a.py", "self": "."}
    (merged / "new").mkdir()
    for path, target in good.items():
        (merged / path).symlink_to(target)
    (merged / "link").unlink()
    (merged / "link").symlink_to("run.sh")
    shutil.rmtree(merged / "docs")
    (merged / "docs").symlink_to("src")
    changes = linked(workspace, tmp_path)
    assert (changes.complete, changes.skipped) == (True, ())
    gone = {"docs/old/x.md": "deleted", "docs/y.md": "deleted"}
    assert kinds(changes) == {**dict.fromkeys(good, "added"), "link": "modified", "docs": "added", **gone}
    new = {each.path: each.new for each in changes.files if each.new}
    assert {each.mode for each in new.values()} == {"120000"}
    assert {path: (tmp_path / "blobs" / each.digest).read_text() for path, each in new.items()} == {
        **good,
        "link": "run.sh",
        "docs": "src",
    }


@needs_root
@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("/etc/passwd", "has an absolute target"),
        ("../../x", "leads out of the repository"),
        ("src/../../x", "leads out of the repository"),
        ("nowhere", "leads nowhere"),
        ("README.md/x", "leads nowhere"),
        ("src/b.py", "leads nowhere"),  # deleted by the sandbox
        ("trace.log", "leads nowhere"),  # lies in the checkout, but git does not know it
        ("build/made", "leads nowhere"),  # made by the sandbox, but left out by the repository
        ("bad", "leads in a circle"),
        (".git/config", "leads into git's own folder"),
        ("out/passwd", "has an absolute target"),  # by way of a link that the repository has
    ],
)
def test_a_link_that_leads_elsewhere_makes_the_proposal_incomplete(
    overlay: tuple[Workspace, Path], tmp_path: Path, target: str, fault: str
) -> None:
    workspace, merged = overlay
    (merged / "src" / "b.py").unlink()
    (merged / "build" / "made").write_text("x")
    (merged / "out").symlink_to("/etc")
    (merged / "bad").symlink_to(target)
    changes = linked(workspace, tmp_path)
    assert not changes.complete
    assert f"bad: symlink that {fault}" in changes.skipped
    assert "bad" not in kinds(changes)
    assert all(b"root:" not in each.read_bytes() for each in (tmp_path / "blobs").iterdir())


def test_a_link_arrives_as_a_link(desk: Desk) -> None:
    receipt = desk.apply(desk.commit(desk.change("src/up", b"../README.md", "120000"), desk.change("a", b"a")))
    entry = find(desk.repo.git, read_commit(desk.repo.git, receipt.sha).tree, "src/up")
    assert entry is not None
    assert (entry.mode, desk.repo.git.read(entry.sha)[1]) == ("120000", b"../README.md")

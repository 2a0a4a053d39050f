"""The local forge, driven through the same two protocols as GitHub."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from bot.errors import ConfigurationError, Conflict, NotFound
from bot.forge.local.reader import LocalReader, Person, create_local, open_issue, open_repository
from bot.forge.local.writer import LocalWriter, open_local
from bot.types.event import Actor
from bot.types.output import Commit, LabelChange, Note, Pull, Reaction
from bot.types.sandbox import Blob, FileChange

FILES = {"README.md": b"hello\n", "bin/go+x": b"#!/bin/sh\n", "old.txt": b"old\n"}


@pytest.fixture
def forge(tmp_path: Path) -> tuple[LocalReader, LocalWriter, Path]:
    folder = tmp_path / "forge"
    create_local(folder, "maria/tidepool", FILES, {"maria": Person(id=7, permission="write")})
    open_issue(folder, "maria", "A title", "A body")
    return (*open_local(folder), tmp_path / "blobs")


def change(blobs: Path, path: str, data: bytes, mode: str = "100644") -> FileChange:
    digest = hashlib.sha256(data).hexdigest()
    blobs.mkdir(exist_ok=True)
    (blobs / digest).write_bytes(data)
    return FileChange(path=path, new=Blob.model_validate({"digest": digest, "size": len(data), "mode": mode}))


def test_reads_what_a_gate_asks_for(forge: tuple[LocalReader, LocalWriter, Path]) -> None:
    reader, _, _ = forge
    main = reader.revision("main")
    assert main is not None
    assert reader.revision(main.sha) is not None
    assert reader.revision("nope") is None
    assert reader.file("README.md", "main") == b"hello\n"
    assert reader.file("bin", "main") is None
    assert reader.file("nope", "main") is None
    asked = [Actor(login="maria", id=7), Actor(login="maria", id=8), Actor(login="stranger", id=9)]
    assert [reader.permission(each) for each in asked] == ["write", "none", "none"]
    subject = reader.subject(1)
    assert subject is not None
    assert (subject.kind, subject.title, subject.author.id) == ("issue", "A title", 7)
    assert reader.subject(99) is None


def test_a_note_is_written_once_and_then_edited(forge: tuple[LocalReader, LocalWriter, Path]) -> None:
    reader, writer, blobs = forge
    for body in ("first", "second"):
        writer.apply(Note(key="n", number=1, marker="<!-- m -->", body=body), blobs=blobs)
    assert [each.body for each in reader.comments(1)] == ["<!-- m -->\nsecond"]


def test_labels_and_reactions_do_not_pile_up(forge: tuple[LocalReader, LocalWriter, Path]) -> None:
    reader, writer, blobs = forge
    for _ in range(2):
        writer.apply(LabelChange(key="l", number=1, add=("a", "b"), remove=("absent",)), blobs=blobs)
        writer.apply(Reaction(key="r", number=1), blobs=blobs)
    subject = reader.subject(1)
    assert subject is not None
    assert subject.labels == ("a", "b")


def test_commit_and_pull_request_are_real_and_made_once(forge: tuple[LocalReader, LocalWriter, Path]) -> None:
    reader, writer, blobs = forge
    main = reader.revision("main")
    assert main is not None
    files = (
        change(blobs, "bin/new", b"#!/bin/sh\n", "100755"),
        change(blobs, "näme with space.txt", b"\x00\xff"),
        FileChange(path="old.txt", old=Blob(digest="0" * 64, size=4)),
    )
    commit = Commit(key="c", branch="bot/x", create=True, parent=main.sha, message="Say why", files=files)
    pull = Pull(key="p", head="bot/x", base="main", title="T", body="B")
    made = [(writer.apply(commit, blobs=blobs), writer.apply(pull, blobs=blobs, doubt=True)) for _ in range(2)]
    assert made[0] == made[1]
    folder = Path(str(reader._git))
    listing = subprocess.run(
        ["git", f"--git-dir={folder}", "ls-tree", "-r", "-z", "bot/x"], capture_output=True, check=True
    ).stdout.decode()
    entries = {line.split("\t")[1]: line.split()[0] for line in listing.split("\0") if line}
    assert entries == {
        "README.md": "100644",
        "bin/go": "100755",
        "bin/new": "100755",
        "näme with space.txt": "100644",
    }
    opened = reader.subject(made[0][1].id)
    assert opened is not None
    assert opened.pull is not None
    assert (opened.kind, opened.pull.draft, opened.pull.base.ref) == ("pull_request", True, "main")
    assert "old.txt" in reader.diff(opened.number)
    assert subprocess.run(["git", f"--git-dir={folder}", "fsck", "--strict"], check=True).returncode == 0


def test_a_branch_that_moved_is_never_overwritten(forge: tuple[LocalReader, LocalWriter, Path]) -> None:
    reader, writer, blobs = forge
    main = reader.revision("main")
    assert main is not None
    first = Commit(key="c", branch="b", create=True, parent=main.sha, message="1", files=(change(blobs, "a", b"1"),))
    writer.apply(first, blobs=blobs)
    for create in (True, False):
        other = first.changed(message="2", create=create)
        with pytest.raises(Conflict) as caught:
            writer.apply(other, blobs=blobs)
        assert caught.value.code == "head_moved"


def test_what_is_missing_is_said(tmp_path: Path, forge: tuple[LocalReader, LocalWriter, Path]) -> None:
    with pytest.raises(ConfigurationError, match="not a local forge"):
        open_repository(tmp_path)
    with pytest.raises(NotFound):
        forge[1].apply(Note(key="n", number=5, marker="<!-- m -->", body="x"), blobs=forge[2])

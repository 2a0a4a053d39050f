"""A workspace as a tar stream: out and back without a difference, and what a hostile stream can't do."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import subprocess
import tarfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.sandbox.collect.findings import Cut, Findings
from bot.sandbox.collect.stream import TarStream
from bot.sandbox.collect.unpack import collect_archive, unpack
from bot.sandbox.workspace.archive import pack
from bot.sandbox.workspace.overlay import Workspace, prepare
from bot.testing.contracts_sandbox import SECRET, make_checkout
from bot.types.sandbox import Changes
from bot.types.task import Limits

SLOW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_checkout(tmp_path_factory.mktemp("checkout"))
    (folder / "ü name with spaces").write_text("x")
    (folder / ("long" * 40)).write_text("y" * 70_000)
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture
def workspace(checkout: Path, tmp_path: Path) -> Workspace:
    folder = tmp_path / "sandpiper-1"
    folder.mkdir()
    return prepare(folder, checkout, "tar")


def extract(data: bytes, into: Path) -> Path:
    """By the system's tar: what any engine makes of it."""
    into.mkdir()
    subprocess.run(["tar", "-xf", "-", "-C", str(into), "--no-same-owner"], input=data, check=True)
    return into


def archived(folder: Path, name: str, kind: int) -> bytes:
    """As Docker sends it: a whole folder, names beginning with its own."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=kind) as tar:
        tar.add(folder, arcname=name)
    return data.getvalue()


def in_pieces(data: bytes, step: int = 1000) -> Iterator[bytes]:
    return (data[start : start + step] for start in range(0, len(data), step))


def kinds(changes: Changes) -> dict[str, str]:
    return {change.path: change.kind for change in changes.files}


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_out_and_back(kind: int, workspace: Workspace, tmp_path: Path) -> None:
    data = b"".join(pack(workspace))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
    assert {(each.uid, each.gid) for each in members} == {(workspace.uid, workspace.gid)}
    assert {each.type for each in members} == {tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE}
    assert len({each.name for each in members}) == len(members), "nothing is sent twice"
    inside = extract(data, tmp_path / "workspace")
    assert SECRET.encode() not in data
    assert not (inside / ".netrc").exists()
    said = subprocess.run(
        ["git", "-c", "safe.directory=*", "status", "--short"], cwd=inside, capture_output=True, text=True, check=True
    ).stdout
    assert not [line for line in said.splitlines() if not line.startswith("??")], "git finds its history, and all files"
    (inside / "README.md").write_text("changed\n")
    (inside / "docs" / "old" / "x.md").unlink()
    (inside / "run.sh").chmod(0o644)
    (inside / "new").write_text("n" * 100_000)
    (inside / ".git" / "hooks").mkdir()
    (inside / ".git" / "hooks" / "post-checkout").write_text("#!/bin/sh\n")
    os.link(inside / "new", inside / "src" / "other-name")
    (inside / "out").symlink_to("/etc/passwd")
    os.mkfifo(inside / "fifo")
    changes = collect_archive(workspace, Limits(), tmp_path / "blobs", in_pieces(archived(inside, "workspace", kind)))
    assert kinds(changes) == {
        "README.md": "modified",
        "docs/old/x.md": "deleted",
        "run.sh": "modified",
        "new": "added",
        "src/other-name": "added",
    }
    assert changes.complete
    assert set(changes.skipped) >= {"out: symlink", "fifo: FIFO"}


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **values: object) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, len(data)
    for key, value in values.items():
        setattr(member, key, value)
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + data + bytes(-len(data) % 512)


END = bytes(1024)


def forever(data: bytes, then: bytes) -> Iterator[bytes]:
    yield data
    while True:
        yield then


HOSTILE: dict[str, tuple[Iterable[bytes], str]] = {
    "absolute": ([entry("/etc/cron.d/x", data=b"x"), END], "not relative"),
    "dots": ([entry("workspace/../../x", data=b"x"), END], "leads out"),
    "elsewhere": ([entry("other/x", data=b"x"), END], "elsewhere"),
    "through a symlink": (
        [entry("workspace/a", tarfile.SYMTYPE, linkname="/tmp"), entry("workspace/a/x", data=b"x"), END],
        "can't be unpacked",
    ),
    "over a symlink": (
        [entry("workspace/a", tarfile.SYMTYPE, linkname="/tmp/x"), entry("workspace/a", data=b"x"), END],
        "can't be unpacked",
    ),
    "link to a symlink": (
        [
            entry("workspace/a", tarfile.SYMTYPE, linkname="/etc/passwd"),
            entry("workspace/b", tarfile.LNKTYPE, linkname="workspace/a"),
            END,
        ],
        "no file",
    ),
    "link that leads out": ([entry("workspace/b", tarfile.LNKTYPE, linkname="/etc/passwd"), END], "not relative"),
    "link through dots": ([entry("workspace/b", tarfile.LNKTYPE, linkname="workspace/../../x"), END], "leads out"),
    "deep": ([entry("workspace/" + "d/" * 70 + "x", data=b"x"), END], "too deep"),
    "long name": ([entry("workspace/" + "n" * 300, data=b"x"), END], "can't be unpacked"),
    "no end": ([entry("workspace/a", data=b"x")], "too early"),
    "damaged": ([b"\1" * 512, END], "damaged"),
    "name without end": (
        forever(entry("@", tarfile.GNUTYPE_LONGNAME)[:124] + b"77777777777\0" + bytes(376), b"x" * 512),
        "damaged",
    ),
    "words without end": (forever(entry("x", tarfile.XHDTYPE, size=1 << 30)[:512], b"x" * 512), "too long"),
    "holes": (
        [entry("x", tarfile.XHDTYPE, b"22 GNU.sparse.major=1\n"), entry("workspace/s", data=b"x"), END],
        "with holes",
    ),
    "bytes without end": (forever(entry("workspace/big", size=1 << 40)[:512], b"x" * (1 << 20)), "too large"),
    "a folder with bytes": ([entry("workspace/d", tarfile.DIRTYPE, data=b"x" * 512), END], "no file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_end_and_touch_nothing(case: str, workspace: Workspace, tmp_path: Path) -> None:
    chunks, said = HOSTILE[case]
    limits = Limits(disk_mb=16)
    before = sorted(Path("/tmp").iterdir())
    started = time.monotonic()
    changes = collect_archive(workspace, limits, tmp_path / "blobs", chunks)
    assert time.monotonic() - started < 90
    assert not changes.complete
    assert changes.files == ()
    assert said in changes.skipped[0]
    assert [path for path in sorted(Path("/tmp").iterdir()) if path.name == "x" and path not in before] == []
    assert sum(file.lstat().st_blocks * 512 for file in workspace.changed.rglob("*")) < 120 << 20


def test_files_without_end(tmp_path: Path) -> None:
    endless = (entry(f"workspace/{number}") for number in itertools.count())
    with pytest.raises(Cut, match="more than 500 files"):
        unpack(endless, tmp_path, Findings(Limits(), tmp_path, entries=500), 1 << 40)


def test_a_promise_of_much_takes_no_disk(workspace: Workspace, tmp_path: Path) -> None:
    size = 60 << 20
    chunks = [entry("workspace/sparse", size=size)[:512], *[bytes(1 << 20)] * 60, END]
    changes = collect_archive(workspace, Limits(), tmp_path / "blobs", chunks)
    assert (workspace.changed / "sparse").stat().st_size == size
    assert (workspace.changed / "sparse").stat().st_blocks == 0
    assert "sparse: too large" in changes.skipped


parts = st.sampled_from(["a", "b", "..", ".", "", ".git", "x" * 101, "ü", "workspace"])
paths = st.lists(parts, max_size=4).map(lambda each: "/".join(["workspace", *each])) | st.text(max_size=20)
types = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"3"])
members = st.tuples(
    paths.filter(lambda text: "\0" not in text).map(lambda text: text.encode("utf-8", "ignore").decode()),
    types,
    paths.filter(lambda text: "\0" not in text).map(lambda text: text.encode("utf-8", "ignore").decode()),
    st.binary(max_size=600),
)


@SLOW
@given(st.lists(members, max_size=8), st.integers(min_value=1, max_value=2000))
def test_whatever_comes_stays_below_the_folder(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[str, bytes, str, bytes]], step: int
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    into = outside / "into"
    into.mkdir()
    data = b"".join(
        entry(name, kind, content if kind == tarfile.REGTYPE else b"", linkname=target)
        for name, kind, target, content in found
    )
    with contextlib.suppress(Cut):
        unpack(in_pieces(data + END, step), into, Findings(Limits(), outside / "blobs"), 1 << 20, prefix="workspace")
    assert [path.name for path in outside.iterdir()] == ["into"]
    assert not (into / ".git").exists()
    contents = {content for _, _, _, content in found}
    for path in into.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert path.read_bytes() in contents


@SLOW
@given(st.binary(max_size=3000), st.integers(min_value=0, max_value=1), st.integers(min_value=1, max_value=700))
def test_garbage_is_a_cut_or_an_end(data: bytes, valid: int, step: int) -> None:
    stream = TarStream(in_pieces((entry("a", data=b"abc") if valid else b"") + data, step), 1 << 20)
    with contextlib.suppress(Cut):
        for each in stream.entries():
            assert sum(len(piece) for piece in stream.body()) == each.size


def test_objects_from_elsewhere_come_along(tmp_path: Path) -> None:
    """A clone that borrows another one's objects, and a linked worktree of it."""
    environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    (tmp_path / "first").mkdir()
    first = make_checkout(tmp_path / "first")
    for words in (
        ["clone", "-q", "--shared", str(first), str(tmp_path / "second")],
        ["-C", str(tmp_path / "second"), "worktree", "add", "-q", "--detach", str(tmp_path / "third")],
    ):
        subprocess.run(["git", "-c", "safe.directory=*", *words], env=environ, check=True, capture_output=True)
    for number, name in enumerate(("second", "third")):
        folder = tmp_path / f"sandpiper-{number}"
        folder.mkdir()
        # Here the workspace is where it was unpacked, as with the local provider.
        made = prepare(folder, tmp_path / name, "tar", root=str(tmp_path / f"out{number}"))
        inside = extract(b"".join(pack(made)), tmp_path / f"out{number}")
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", str(inside), "log", "--format=%s"],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "first\n"

"""Patches: real git turns the old tree into the new one with them, whatever the bytes and names are."""

import hashlib
import os
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import TaskError
from bot.store.diff import unified_patch, with_counts
from bot.types.sandbox import Blob, Changes, FileChange

Tree = dict[str, tuple[str, bytes]]
"""Path -> mode and bytes."""

NAMES = ["a", "b.txt", "with space.txt", 'q"uote', "tab\tname", "new\nline", "ünïcode", "d/e", "d/f g/h", "back\\slash"]
line = st.sampled_from([b"a\n", b"b\n", b"c\r\n", b"\n", b"long line of text\n", b"\xff\xfe\n", b"-- x\n", b"++ y\n"])
text = st.lists(line, max_size=30).map(b"".join)
content = st.one_of(
    text, st.builds(bytes.__add__, text, st.sampled_from([b"end", b"a", b"\r"])), st.binary(max_size=300)
)
entry = st.tuples(st.sampled_from(["100644", "100755"]), content)
trees = st.dictionaries(st.sampled_from(NAMES), entry, max_size=5)


def keep(blobs: Path, mode: str, data: bytes) -> Blob:
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return Blob.model_validate({"digest": digest, "size": len(data), "mode": mode})


def changes_between(old: Tree, new: Tree, blobs: Path) -> Changes:
    blobs.mkdir(exist_ok=True)
    files = []
    for path in sorted({*old, *new}):
        if old.get(path) != new.get(path):
            before = keep(blobs, *old[path]) if path in old else None
            after = keep(blobs, *new[path]) if path in new else None
            files.append(FileChange(path=path, old=before, new=after))
    return Changes(files=tuple(files))


def plant(folder: Path, tree: Tree) -> None:
    for path, (mode, data) in tree.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if mode == "120000":
            file.symlink_to(os.fsdecode(data))
        else:
            file.write_bytes(data)
            file.chmod(0o755 if mode == "100755" else 0o644)


def read(folder: Path) -> Tree:
    tree: Tree = {}
    for file in folder.rglob("*"):
        path = str(file.relative_to(folder))
        if path.split("/")[0] == ".git" or (file.is_dir() and not file.is_symlink()):
            continue
        if file.is_symlink():
            tree[path] = ("120000", os.fsencode(file.readlink()))
        else:
            tree[path] = ("100755" if file.stat().st_mode & 0o100 else "100644", file.read_bytes())
    return tree


def applied(old: Tree, patch: bytes) -> Tree:
    """What real git makes of the old tree."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        environ = {"PATH": os.environ["PATH"], "HOME": name, "GIT_CONFIG_NOSYSTEM": "1"}
        git = ["git", "-c", "core.autocrlf=false", "-c", "core.fileMode=true", "-c", "init.defaultBranch=main"]
        subprocess.run([*git, "init", "-q"], cwd=folder, env=environ, check=True)
        plant(folder, old)
        done = subprocess.run(
            [*git, "apply", "--whitespace=nowarn", "-"],
            cwd=folder,
            env=environ,
            input=patch,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode() + patch.decode("latin-1")
        return read(folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees, trees)
def test_git_makes_the_new_tree_from_the_old(old: Tree, new: Tree) -> None:
    with TemporaryDirectory() as blobs:
        changes = changes_between(old, new, Path(blobs))
        if changes.files:
            assert applied(old, unified_patch(changes, Path(blobs))) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"empty": ("100644", b"")}),
        ({"empty": ("100644", b"")}, {}),
        ({"f": ("100644", b"x\n")}, {"f": ("100755", b"x\n")}),
        ({"f": ("100644", b"x\n")}, {"f": ("100755", b"")}),
        ({"f": ("100644", b"one\r\ntwo\r\n")}, {"f": ("100644", b"one\r\n2\r\n")}),
        ({"f": ("100644", b"no end")}, {"f": ("100644", b"no end\n")}),
        ({"b": ("100644", bytes(range(256)) * 40)}, {"b": ("100755", bytes(range(255, -1, -1)) * 41)}),
        ({"b": ("100644", b"\0gone")}, {}),
        ({}, {"link": ("120000", b"target")}),
        ({"link": ("120000", b"a")}, {"link": ("120000", b"b")}),
        ({"link": ("100644", b"a\n")}, {"link": ("120000", b"b")}),
        ({"d": ("100644", b"file\n")}, {"d/e": ("100644", b"inside\n")}),
    ],
)
def test_the_odd_cases(old: Tree, new: Tree, tmp_path: Path) -> None:
    changes = changes_between(old, new, tmp_path / "blobs")

    assert applied(old, unified_patch(changes, tmp_path / "blobs")) == new


def test_a_small_change_makes_a_small_patch(tmp_path: Path) -> None:
    lines = [b"line %d\n" % number for number in range(1000)]
    after = [*lines[:500], b"inserted\n", *lines[500:900], *lines[901:]]
    old, new = {"f": ("100644", b"".join(lines))}, {"f": ("100644", b"".join(after))}
    changes = changes_between(old, new, tmp_path / "blobs")

    patch = unified_patch(changes, tmp_path / "blobs")

    assert patch.count(b"@@ -") == 2
    assert len(patch.splitlines()) < 25
    counted = with_counts(changes, tmp_path / "blobs").files[0]
    assert (counted.added, counted.deleted) == (1, 1)


def test_a_huge_rewrite_takes_no_time(tmp_path: Path) -> None:
    old = {"f": ("100644", b"".join(b"%d\n" % (number % 7) for number in range(150_000)))}
    new = {"f": ("100644", b"".join(b"%d\n" % (number % 5) for number in range(150_000)))}
    changes = changes_between(old, new, tmp_path / "blobs")
    started = time.process_time()

    patch = unified_patch(changes, tmp_path / "blobs")

    assert time.process_time() - started < 10
    assert applied(old, patch) == new


def test_shuffled_lines_take_no_time(tmp_path: Path) -> None:
    old, new = (b"".join(b"%d\n" % (number * step % 39_000) for number in range(39_000)) for step in (7, 11))
    started = time.process_time()

    changes = changes_between({"a": ("100644", old)}, {"a": ("100644", new)}, tmp_path / "blobs")
    patch = unified_patch(changes, tmp_path / "blobs")

    assert patch.count(b"\n@@ ") == 1
    assert time.process_time() - started < 10


def test_counts_are_left_out_for_bytes(tmp_path: Path) -> None:
    changes = changes_between({}, {"b": ("100644", b"\0"), "t": ("100644", b"x")}, tmp_path / "blobs")

    counted = with_counts(changes, tmp_path / "blobs")

    assert [(each.added, each.deleted) for each in counted.files] == [(None, None), (1, 0)]


def test_other_bytes_than_those_collected_are_an_error(tmp_path: Path) -> None:
    changes = changes_between({}, {"t": ("100644", b"x")}, tmp_path)
    blob = changes.files[0].new
    assert blob is not None
    (tmp_path / blob.digest).write_bytes(b"y")

    with pytest.raises(TaskError) as damaged:
        unified_patch(changes, tmp_path)
    assert damaged.value.code == "blob_damaged"

    (tmp_path / blob.digest).unlink()
    (tmp_path / blob.digest).symlink_to("/etc/hostname")
    with pytest.raises(TaskError) as missing:
        unified_patch(changes, tmp_path)
    assert missing.value.code == "blob_missing"

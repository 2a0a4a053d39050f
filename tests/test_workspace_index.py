"""Git's index: the search in a few kilobytes says what the whole parser says, and that says what git says."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.sandbox.workspace.gitindex import IndexFormatError, PathSet, tracked_paths
from bot.sandbox.workspace.lookup import IndexFile, open_tracked

ENVIRON = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": os.devnull}
MODES = (0o100644, 0o100755, 0o120000, 0o160000)
NAMES = (
    "a.txt",
    "a.b/c",
    "a/x y",
    "deep/" * 30 + "x" * 200,
    "z" * 250,
    "deep/er/file",
    "with\nnewline",
    "a-b",
    "a/b/c",
)


def git(folder: Path, *words: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["git", *words], cwd=folder, env=ENVIRON, input=stdin, capture_output=True, check=True).stdout


def repository(folder: Path, *options: str) -> Path:
    git(folder, "init", "-q", *options)
    for path in NAMES:
        file = folder / "top" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    git(folder, "add", ".")
    return folder


def listed(folder: Path) -> frozenset[bytes]:
    return frozenset(each for each in git(folder, "ls-files", "-z").split(b"\0") if each)


def agree(folder: Path) -> None:
    expected, found = listed(folder), open_tracked(folder)
    assert found is not None
    assert tracked_paths((folder / ".git" / "index").read_bytes()) == expected
    same(found, PathSet(expected), expected)


def same(found: object, whole: PathSet, paths: frozenset[bytes]) -> None:
    """Every path, its neighbours, and all folders above them."""
    assert isinstance(found, IndexFile | PathSet)
    for path in paths:
        parts = path.split(b"/")
        folders = [b"/".join(parts[:length]) for length in range(1, len(parts))]
        for near in (path, path + b"x", path[:-1], path[1:], path + b"/", b"x" + path, *folders):
            assert (near in found) == (near in whole), near
            assert found.below(near) == whole.below(near), near


@pytest.mark.parametrize("version", ["2", "3", "4"])
@pytest.mark.parametrize("names", ["sha1", "sha256"])
def test_search_says_what_git_says(version: str, names: str, tmp_path: Path) -> None:
    folder = repository(tmp_path, f"--object-format={names}")
    (folder / "later").write_text("")
    git(folder, "update-index", "--index-version", version)
    if version == "3":
        git(folder, "update-index", "--skip-worktree", "top/z" + "z" * 249)
    git(folder, "add", "--intent-to-add", "later")
    agree(folder)
    assert isinstance(open_tracked(folder), PathSet if version == "4" else IndexFile), "the usual ones are searched"
    git(folder, "update-index", "--split-index")
    assert open_tracked(folder) is None, "half an index is not taken for a whole one"


def test_no_index_and_none_that_can_be_read(tmp_path: Path) -> None:
    assert open_tracked(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert open_tracked(tmp_path) is None
    git(tmp_path, "read-tree", "--empty")
    nothing = open_tracked(tmp_path)
    assert nothing is not None
    assert b"a" not in nothing
    assert not nothing.below(b"a")
    (tmp_path / ".git" / "index").write_bytes(b"DIRC\0\0\0\2\0\0\0\1garbage")
    assert open_tracked(tmp_path) is None


def test_large_index_with_conflicts_submodules_and_extensions(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "index.threads", "2")
    lines = [f"100644 {'ab' * 20} 0\tp{n % 7}/q{n % 97}/file{n:05d}" for n in range(21_000)]
    lines += [f"100644 {'cd' * 20} {stage}\tboth/sides" for stage in (1, 2, 3)]
    lines.append(f"160000 {'ef' * 20} 0\tvendor/sub")
    git(tmp_path, "update-index", "--index-info", stdin="\n".join(lines).encode())
    found, expected = open_tracked(tmp_path), listed(tmp_path)
    assert isinstance(found, IndexFile)
    same(found, PathSet(expected), frozenset(sorted(expected)[::173]) | {b"both/sides", b"vendor/sub"})
    assert b"vendor/sub" in found
    assert not found.below(b"vendor/sub")


def test_index_of_entries_that_have_nothing_in_common_is_read_whole(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    lines = [f"100644 {'ab' * 20} 0\tq{n % 97}/file{n:05d}" for n in range(6_000)]
    git(tmp_path, "update-index", "--index-info", stdin="\n".join(lines).encode())
    (tmp_path / "a-first").write_text("the only one with a device")
    git(tmp_path, "add", "a-first")
    found, expected = open_tracked(tmp_path), listed(tmp_path)
    assert isinstance(found, PathSet)
    same(found, PathSet(expected), frozenset(sorted(expected)[::500]))


def encode(paths: dict[bytes, tuple[int, bytes, bool]], owner: tuple[int, int, int], rest: bytes, name: int) -> bytes:
    """An index as git writes it: path -> (mode, name of the object, extended flags?)."""
    extended = any(each[2] for each in paths.values())
    data = b"DIRC" + (3 if extended else 2).to_bytes(4, "big") + len(paths).to_bytes(4, "big")
    for path, (mode, digest, more) in sorted(paths.items()):
        numbers = (1_700_000_000, 7, 1_700_000_001, 8, owner[0], 9, mode, owner[1], owner[2], 10)
        flags = min(len(path), 0xFFF) | (0x4000 if more else 0)
        entry = b"".join(number.to_bytes(4, "big") for number in numbers) + digest[:name].ljust(name, b"\1")
        entry += flags.to_bytes(2, "big") + (b"\x20\0" if more else b"") + path
        data += entry + bytes(8 - len(entry) % 8)
    data += rest
    return data + hashlib.new("sha1" if name == 20 else "sha256", data).digest()


pieces = st.sampled_from([b"\0\0\x81\xa4", b"\0\0\0\0", b"\0\4.env", b"\1\2\3\4", b"aaaa"])
digests = st.lists(pieces, min_size=8, max_size=8).map(b"".join) | st.binary(min_size=32, max_size=32)
names = st.text(st.sampled_from("ab./0\x04é"), min_size=1, max_size=40).map(str.encode) | st.binary(
    min_size=1, max_size=90
)
entries = st.dictionaries(
    names.map(lambda path: path.replace(b"\0", b"0")),
    st.tuples(st.sampled_from(MODES), digests, st.booleans()),
    max_size=60,
)
owners = st.sampled_from([(0, 0, 0), (65_024, 1000, 1000), (65_024, 0, 0), (0x61616161, 0x61616161, 0x61616161)])
extensions = st.sampled_from([b"", b"TREE" + (30).to_bytes(4, "big") + b"\0" + b"5 0\n" + b"\xaa" * 25])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(entries, owners, extensions, st.sampled_from([20, 32]))
def test_search_says_what_the_parser_says(
    tmp_path: Path,
    paths: dict[bytes, tuple[int, bytes, bool]],
    owner: tuple[int, int, int],
    rest: bytes,
    name: int,
) -> None:
    # A name of an object that has mode, user and group in it, in the right places, can't be had: see lookup.py.
    alike = b"".join(number.to_bytes(4, "big") for number in owner[1:])
    paths = {path: (mode, digest.replace(alike, b"\1" * 8), more) for path, (mode, digest, more) in paths.items()}
    data = encode(paths, owner, rest, name)
    (tmp_path / "index").write_bytes(data)
    assert tracked_paths(data) == frozenset(paths)
    same(IndexFile(tmp_path / "index"), PathSet(frozenset(paths)), frozenset(paths))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"DIRC\0\0\0\2\0\0\0\1", b"DIRC\0\0\0\4\0\0\0\2"]))
def test_garbage_is_an_error_or_well_formed(tmp_path: Path, data: bytes, header: bytes) -> None:
    (tmp_path / "index").write_bytes(header + data)
    try:
        paths = tracked_paths(header + data)
    except IndexFormatError:
        paths = frozenset()
    assert all(path and b"\0" not in path for path in paths)
    try:
        found = IndexFile(tmp_path / "index")
    except IndexFormatError:
        return
    assert b"" not in found


def test_index_that_is_cut_tracks_no_more_than_before(tmp_path: Path) -> None:
    paths = {f"d{n % 5}/f{n:03d}".encode(): (0o100644, bytes([n]) * 32, False) for n in range(60)}
    data = encode(paths, (65_024, 1000, 1000), b"", 20)
    for length in range(0, len(data), 37):
        with pytest.raises(IndexFormatError):
            tracked_paths(data[:length])
        (tmp_path / "index").write_bytes(data[:length])
        try:
            found = IndexFile(tmp_path / "index")
        except IndexFormatError:
            continue
        for path in paths:
            assert path[:-1] not in found

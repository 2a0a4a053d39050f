"""The sandbox's pure parts against what they imitate: git's index and ignore rules, the engine's stream, paths."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import TaskError
from bot.sandbox.channel.engine import Demultiplexer, HeadTail
from bot.sandbox.collect.ignore import Ignore
from bot.sandbox.collect.tree import used_bytes
from bot.sandbox.counters import Counters
from bot.sandbox.docker.container import is_dead, process_identity
from bot.sandbox.files import checked
from bot.sandbox.toolchain import host_toolchain
from bot.sandbox.workspace.gitindex import IndexFormatError, read_tracked, tracked_paths

ENVIRON = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "HOME": "/nonexistent",
}


def git(folder: Path, *args: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["git", *args], cwd=folder, env=ENVIRON, input=stdin, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.mark.parametrize("version", ["2", "3", "4"])
@pytest.mark.parametrize("names", ["sha1", "sha256"])
def test_index_as_git_lists_it(version: str, names: str, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", f"--object-format={names}")
    for path in ("a", "a.b/c", "a/../ä ö", "deep/" * 30 + "x" * 200, "z" * 250, "deep/er/file", "with\nnewline"):
        file = tmp_path / os.path.normpath(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    git(tmp_path, "add", ".")
    git(tmp_path, "update-index", "--index-version", version)
    (tmp_path / "later").write_text("")
    git(tmp_path, "add", "--intent-to-add", "later")
    if version == "3":
        git(tmp_path, "update-index", "--skip-worktree", "a")
    expected = frozenset(each for each in git(tmp_path, "ls-files", "-z").split(b"\0") if each)
    assert read_tracked(tmp_path) == expected
    git(tmp_path, "update-index", "--split-index")
    assert read_tracked(tmp_path) is None, "half an index is not taken for a whole one"


@given(st.binary(max_size=300), st.sampled_from([b"", b"DIRC\0\0\0\2\0\0\0\1", b"DIRC\0\0\0\4\0\0\0\2"]))
def test_index_of_garbage_is_an_error_or_well_formed(data: bytes, header: bytes) -> None:
    try:
        paths = tracked_paths(header + data)
    except IndexFormatError:
        return
    assert all(path and b"\0" not in path for path in paths)


RULES = {
    "": "*.log\n!important.log\n/build/\ndoc/**/*.txt\n\\#odd\nfoo/*\n!foo/keep/\n# comment\n",
    "sub": "!*.log\nlocal\n/anchored\n",
    "build": "!*\n",
}
PATHS = (
    *(
        "a.log",
        "important.log",
        "build/x",
        "sub/a.log",
        "sub/local",
        "sub/deep/local",
        "sub/anchored",
        "sub/deep/anchored",
    ),
    *("doc/a.txt", "doc/x/y/a.txt", "#odd", "foo/x", "foo/keep/y", "foo/drop/y", "other/build/x", "a.log/inner"),
)


def test_ignored_as_git_says(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    for folder, text in RULES.items():
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / ".gitignore").write_text(text)
    said = git(tmp_path, "check-ignore", "-z", "--stdin", stdin="\0".join(PATHS).encode()).split(b"\0")
    assert {path for path in PATHS if _ignored(tmp_path, path)} == {each.decode() for each in said if each}


def _ignored(root: Path, path: str) -> bool:
    rules, prefix = Ignore(), ""
    parts = path.split("/")
    for depth in range(len(parts)):
        folder = root.joinpath(*parts[:depth])
        opened = os.open(folder, os.O_RDONLY) if folder.is_dir() else None
        left_out = bool(prefix) and rules.matches(prefix.rstrip("/"), is_folder=True)
        rules = rules.inside(prefix, opened, left_out=left_out)
        if opened is not None:
            os.close(opened)
        prefix += parts[depth] + "/"
    return rules.matches(path, is_folder=False)


def test_patterns_made_to_be_slow(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*a" * 40 + "b\n" + "a*" * 400 + "\nplain\n")
    folder = os.open(tmp_path, os.O_RDONLY)
    rules = Ignore().inside("", folder, left_out=False)
    os.close(folder)
    started = time.monotonic()
    assert not rules.matches("a" * 250, is_folder=False)
    assert rules.matches("plain", is_folder=False)
    assert time.monotonic() - started < 2


@given(st.lists(st.binary(max_size=50)), st.integers(min_value=0, max_value=60))
def test_head_and_tail(pieces: list[bytes], limit: int) -> None:
    kept = HeadTail(limit)
    for piece in pieces:
        kept.add(piece)
    whole, value = b"".join(pieces), kept.value()
    if len(whole) <= limit:
        assert (value, kept.dropped) == (whole, 0)
    else:
        head, tail = limit - limit // 2, limit // 2
        assert value == whole[:head] + whole[len(whole) - tail :]
        assert kept.dropped == len(whole) - limit


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40))), st.integers(min_value=1, max_value=30))
def test_frames_in_any_pieces(frames: list[tuple[int, bytes]], step: int) -> None:
    wire = b"".join(bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for kind, data in frames)
    demultiplexer, seen = Demultiplexer(), {"stdout": b"", "stderr": b""}
    for start in range(0, len(wire), step):
        for stream, data in demultiplexer.feed(wire[start : start + step]):
            seen[stream] += data
    for kind, name in ((1, "stdout"), (2, "stderr")):
        assert seen[name] == b"".join(data for each, data in frames if each == kind)


@given(st.text(max_size=60) | st.lists(st.sampled_from(["..", ".", "", "a", "workspace", "etc"])).map("/".join))
def test_paths_stay_inside(path: str) -> None:
    try:
        full = checked(path)
    except TaskError:
        return
    assert full == "/workspace" or full.startswith("/workspace/")
    assert ".." not in full.split("/")
    assert os.path.normpath(full) == full


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 3\nmax 7\n", (3, 7)),
        ("low 0\nhigh 0\nmax 90\noom 2\noom_kill 2\noom_group_kill 0\nmax 4\n", (2, 4)),
        ("", (0, 0)),
    ],
)
def test_counters_of_both_kinds_of_control_group(text: str, counts: tuple[int, int]) -> None:
    after = Counters(lambda: text).after()
    assert (after.oom, after.pids) == counts


def test_owner_is_dead_only_when_it_is() -> None:
    me = process_identity(os.getpid())
    assert me is not None
    assert not is_dead(me)
    with subprocess.Popen(["sleep", "60"]) as child:
        other = process_identity(child.pid)
        assert other is not None
        assert not is_dead(other)
        child.kill()
    assert is_dead(other)
    boot, namespace, pid, start = me.split(":")
    assert is_dead(f"{boot}:{namespace}:{pid}:{int(start) + 1}"), "another process with the same number"
    assert is_dead(f"another-boot:{namespace}:{pid}:{start}")
    assert not is_dead(f"{boot}:1{namespace}:{pid}:{start}"), "a process of another container"
    assert not is_dead("garbage")


def test_toolchain_takes_roots_of_languages_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in (".pyenv/shims", ".pyenv/versions/3.11.7/bin", ".pyenv/versions/3.9.1/bin", ".local/bin", "secret/bin"):
        (home / name).mkdir(parents=True)
    (home / ".pyenv/version").write_text("3.11.7\n../../secret\n")
    (home / ".cargo/bin").mkdir(parents=True)
    (home / ".rustup/toolchains/stable/bin").mkdir(parents=True)
    (home / ".rustup/settings.toml").write_text('default_toolchain = "stable"\n')
    cache = home / "runner/_tool"
    (cache / "node/20/bin").mkdir(parents=True)
    entries = (
        cache / "node/20/bin",
        home / ".pyenv/shims",
        home / ".local/bin",
        home / "secret/bin",
        home / ".cargo/bin",
        "relative",
        "/usr/bin",
    )
    found = host_toolchain({"PATH": ":".join(map(str, entries)), "HOME": str(home), "RUNNER_TOOL_CACHE": str(cache)})
    inside = [path for path in found.mounts if path.startswith(str(tmp_path))]
    languages = [f"{home}/.pyenv/versions/3.11.7", f"{home}/.rustup/toolchains/stable"]
    assert inside == [str(cache), *languages]
    assert found.path.split(":")[:4] == [f"{cache}/node/20/bin", *(f"{root}/bin" for root in languages), "/usr/bin"]
    at_home = host_toolchain({"PATH": "/usr/bin", "HOME": str(home), "RUNNER_TOOL_CACHE": str(tmp_path)})
    assert str(tmp_path) not in at_home.mounts, "a cache that holds the home is none"
    assert not [path for path in found.mounts if path in ("/", "/etc", "/home", "/root")]


def test_used_bytes_stops_counting(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "sparse").open("wb").truncate(1 << 40)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert 400_000 <= used_bytes(tmp_path, 1 << 40) < 1_000_000
    assert used_bytes(tmp_path, 100_000) < 400_000

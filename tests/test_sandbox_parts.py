"""The sandbox's pure parts against what they imitate: the engine's stream, paths."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import TaskError
from bot.sandbox.channel.output import HeadTail
from bot.sandbox.counters import parse_counts
from bot.sandbox.docker.engine import Demultiplexer
from bot.sandbox.files import checked
from bot.sandbox.folder import is_dead, process_identity
from bot.sandbox.toolchain import host_toolchain


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
    after = parse_counts(text)
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

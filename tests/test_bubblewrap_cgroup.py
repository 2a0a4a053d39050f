"""Control groups: which ones may be made, from the kernel's own texts, and what is written into them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bot.sandbox.bubblewrap import cgroup
from bot.sandbox.bubblewrap.cgroup import Groups
from bot.types.task import Limits

LIMITS = Limits(memory_mb=128, pids=40, cpus=0.5)
ROW = "30 23 0:26 {root} {point} rw,nosuid - {kind} cgroup rw{options}\n"


def row(kind: str, point: Path, options: str = "", root: str = "/") -> str:
    return ROW.format(kind=kind, point=str(point).replace(" ", "\\040"), options=options and f",{options}", root=root)


def folder(path: Path, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in {"cgroup_procs": "", **files}.items():
        (path / name.replace("_", ".", 1)).write_text(text)
    return path


def test_version_one_has_a_tree_for_each_controller(tmp_path: Path) -> None:
    memory = folder(tmp_path / "memory" / "own")
    both = folder(tmp_path / "cpu both" / "own")
    membership = "4:memory:/own\n2:cpu,cpuacct:/own\n9:name=systemd:/own\n3:cpuset:/own\n0::/\n"
    mountinfo = row("cgroup", tmp_path / "memory", "memory") + row("cgroup", tmp_path / "cpu both", "cpu,cpuacct")
    found = cgroup.find_parents(membership, mountinfo + row("ext4", tmp_path / "memory"))
    assert found == Groups(
        {"memory": memory, "cpu": both, "cpuacct": both}, dict.fromkeys(("memory", "cpu", "cpuacct"), 1)
    )
    assert found.notes == ("processes are counted per user, not per sandbox: no writable control group",)


def test_in_a_container_a_part_of_the_tree_is_mounted(tmp_path: Path) -> None:
    inner = folder(tmp_path / "memory" / "inner")
    mounted = row("cgroup", tmp_path / "memory", "memory", root="/docker/abc")
    found = cgroup.find_parents("4:memory:/docker/abc/inner\n", mounted)
    assert found.folders == {"memory": inner}
    assert cgroup.find_parents("4:memory:/docker/other\n", mounted) == Groups()
    assert cgroup.find_parents("4:memory:/../..\n", mounted) == Groups()
    assert cgroup.find_parents("", "") == Groups()
    assert len(Groups().notes) == 3


def test_version_two_goes_up_to_where_controllers_are_handed_on(tmp_path: Path) -> None:
    """As a session of systemd's: its own group has processes, the slice above it is the user's too."""
    every = "cpu memory pids"
    above = folder(tmp_path / "app.slice", cgroup_controllers=every, cgroup_subtree_control=every)
    folder(above / "own.scope", cgroup_controllers="", cgroup_subtree_control="")
    found = cgroup.find_parents("0::/app.slice/own.scope\n", row("cgroup2", tmp_path))
    assert found.folders == dict.fromkeys(("cpu", "memory", "pids", "freezer"), above)
    assert set(found.version.values()) == {2}
    assert found.notes == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    own = folder(tmp_path / "own", cgroup_controllers="memory", cgroup_subtree_control="memory")
    own.chmod(0o555)
    assert cgroup.find_parents("0::/own\n", row("cgroup2", tmp_path)) == Groups()


def test_limits_as_each_version_writes_them(tmp_path: Path) -> None:
    first = Groups({"memory": tmp_path / "m", "pids": tmp_path / "p", "cpu": tmp_path / "c"}, {})
    cgroup.make(Groups(first.folders, dict.fromkeys(first.folders, 1)), LIMITS)
    written = {file.name: file.read_text() for name in "mpc" for file in (tmp_path / name).iterdir()}
    assert written == {
        "memory.limit_in_bytes": str(128 << 20),
        "pids.max": "40",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
    }, "swap is compiled out here, so that nothing is written about it"
    second = Groups(
        dict.fromkeys(("memory", "pids", "cpu", "freezer"), tmp_path / "two"),
        dict.fromkeys(("memory", "pids", "cpu", "freezer"), 2),
    )
    cgroup.make(second, LIMITS)
    assert {file.name: file.read_text() for file in (tmp_path / "two").iterdir()} == {
        "memory.max": str(128 << 20),
        "pids.max": "40",
        "cpu.max": "50000 100000",
    }
    assert second.joining == (f"{tmp_path}/two/cgroup.procs",), "one group, joined once"
    assert cgroup.read_groups(second.written()) == second


def test_a_name_that_is_taken_is_an_error(tmp_path: Path) -> None:
    groups = cgroup.plan("name", Groups({"pids": tmp_path}, {"pids": 1}))
    cgroup.make(groups, LIMITS)
    with pytest.raises(FileExistsError):
        cgroup.make(groups, LIMITS)


REAL = cgroup.own_parents()


@pytest.mark.skipif("freezer" not in REAL.folders, reason="no writable control group here")
def test_a_real_group_freezes_and_goes(tmp_path: Path) -> None:
    groups = cgroup.plan(f"sandpiper-test-{tmp_path.name}-{os.getpid()}", REAL)
    try:
        cgroup.make(groups, LIMITS)
        with subprocess.Popen(["sleep", "60"]) as sleeper:
            for file in groups.joining:
                Path(file).write_text(str(sleeper.pid))
            assert cgroup.members(groups) == {sleeper.pid}
            assert cgroup.freeze(groups, True)
            assert cgroup.frozen(groups)
            assert cgroup.freeze(groups, False)
            assert not cgroup.frozen(groups)
            sleeper.kill()
    finally:
        assert cgroup.remove(groups)
    assert not any(each.exists() for each in groups.each)
    assert cgroup.remove(groups), "a second time there is nothing to do"


def two_of_this_machine() -> Path | None:
    """A tree of version 2 where we may make groups, if only to freeze."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line and os.access(point := Path(line.split()[4]), os.W_OK):
            return point
    return None


@pytest.mark.skipif(two_of_this_machine() is None, reason="no writable tree of version 2 here")
def test_a_real_group_of_version_two(tmp_path: Path) -> None:
    """Freezing and killing at a stroke, which need no controller."""
    point = two_of_this_machine()
    assert point is not None
    groups = Groups({"freezer": point / f"sandpiper-two-{tmp_path.name}-{os.getpid()}"}, {"freezer": 2})
    try:
        cgroup.make(groups, LIMITS)
        with subprocess.Popen(["sleep", "60"]) as sleeper:
            Path(groups.joining[0]).write_text(str(sleeper.pid))
            assert cgroup.freeze(groups, True)
            assert cgroup.frozen(groups)
            cgroup.kill(groups)
            assert sleeper.wait(10) == -9, "also what is frozen"
    finally:
        assert cgroup.remove(groups)

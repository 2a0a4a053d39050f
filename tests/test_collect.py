"""What a dead sandbox left: ignore rules, sizes, whiteouts and opaque folders of real overlays, hostile trees."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.sandbox.collect.compare import collect
from bot.sandbox.collect.ignore import Ignore
from bot.sandbox.collect.tree import Used, used
from bot.sandbox.workspace.mounts import mount, release
from bot.sandbox.workspace.overlay import Workspace, prepare
from bot.types.sandbox import Changes
from bot.types.task import Limits

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


def test_used_bytes_stops_counting(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "sparse").open("wb").truncate(1 << 40)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert 400_000 <= used(tmp_path, Used(1 << 40, 1 << 40)).size < 1_000_000
    assert used(tmp_path, Used(100_000, 1 << 40)).size < 400_000


def test_used_counts_inodes_and_never_gives_an_endless_tree_for_little(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"empty{number}").touch()
    assert used(tmp_path, Used(1 << 40, 1000)).inodes == 30
    assert used(tmp_path, Used(1 << 40, 10)).inodes == 10
    deep = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):  # deeper than a path can be, so one by one
        os.mkdir("d" * 100, dir_fd=deep)
        inner = os.open("d" * 100, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    limit = Used(1 << 40, 1 << 30)
    assert used(tmp_path, limit) == limit
    subprocess.run(["rm", "-rf", str(tmp_path / ("d" * 100))], check=True)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting an overlay takes root")
FILES = {
    "README.md": "hello\n",
    "src/a.py": "A = 1\n",
    "src/b.py": "B = 2\n",
    "docs/old/x.md": "x\n",
    "docs/y.md": "y\n",
    "run.sh": "#!/bin/sh\n",
    ".gitignore": "*.log\nbuild/\n",
    "kept.log": "tracked\n",
    "build/tracked/out": "1\n",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "link").symlink_to("README.md")
    git(folder, "init", "-q")
    git(folder, "add", "-f", ".")
    (folder / ".netrc").write_text("password\n")
    (folder / "trace.log").write_text("ignored\n")
    return folder


@pytest.fixture
def overlay(checkout: Path, tmp_path: Path) -> Iterator[tuple[Workspace, Path]]:
    """A workspace, and where it is mounted as a sandbox has it."""
    folder, merged = tmp_path / "sandpiper-1", tmp_path / "merged"
    folder.mkdir()
    merged.mkdir()
    workspace = prepare(folder, checkout, mounts=True)
    mount("overlay", merged, "overlay", 0, workspace.overlay_options().replace(",nosuid,nodev", ""))
    yield workspace, merged
    release(tmp_path)


def collected(workspace: Workspace, tmp_path: Path, limits: Limits | None = None) -> Changes:
    return collect(workspace, limits or Limits(), tmp_path / "blobs")


def kinds(changes: Changes) -> dict[str, str]:
    return {change.path: change.kind for change in changes.files}


@needs_root
def test_overlay_every_way_to_change_something(overlay: tuple[Workspace, Path], tmp_path: Path) -> None:
    workspace, merged = overlay
    (merged / "README.md").write_text("changed\n")
    (merged / "src" / "a.py").unlink()
    shutil.rmtree(merged / "docs")
    (merged / "docs").mkdir()  # an opaque folder: what was in it is gone
    (merged / "docs" / "y.md").write_text("y\n")
    (merged / "run.sh").chmod(0o755)
    (merged / "src" / "new").mkdir()
    (merged / "src" / "new" / "c.py").write_text("C = 3\n")
    (merged / "x.log").write_text("ignored")
    (merged / "kept.log").write_text("tracked, so it counts\n")
    (merged / "build" / "tracked" / "out").write_text("2\n")
    (merged / "build" / "junk").write_text("ignored")
    (merged / "src" / "b.py").write_text("B = 2\n")  # the same again
    (merged / ".git" / "hooks").mkdir()
    (merged / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\n")
    changes = collected(workspace, tmp_path)
    assert kinds(changes) == {
        "README.md": "modified",
        "src/a.py": "deleted",
        "docs/old/x.md": "deleted",
        "run.sh": "modified",
        "src/new/c.py": "added",
        "kept.log": "modified",
        "build/tracked/out": "modified",
    }
    assert changes.complete
    assert changes.skipped == ()


@needs_root
def test_overlay_a_file_for_a_folder_and_the_other_way_round(overlay: tuple[Workspace, Path], tmp_path: Path) -> None:
    workspace, merged = overlay
    shutil.rmtree(merged / "docs")
    (merged / "docs").write_text("now a file\n")
    (merged / "README.md").unlink()
    (merged / "README.md").mkdir()
    (merged / "README.md" / "inner").write_text("x")
    shutil.rmtree(merged / "src")
    assert kinds(collected(workspace, tmp_path)) == {
        "docs": "added",
        "docs/old/x.md": "deleted",
        "docs/y.md": "deleted",
        "README.md": "deleted",
        "README.md/inner": "added",
        "src/a.py": "deleted",
        "src/b.py": "deleted",
    }


@needs_root
def test_overlay_of_everything_hostile(overlay: tuple[Workspace, Path], tmp_path: Path) -> None:
    workspace, merged = overlay
    for name, target in {"abs": "/etc/passwd", "up": "../../x", "dangling": "nowhere", "loop": "loop"}.items():
        (merged / name).symlink_to(target)
    (merged / "link").unlink()
    (merged / "link").symlink_to("/etc/shadow")
    shutil.rmtree(merged / "src")
    (merged / "src").symlink_to("/etc")
    os.mkfifo(merged / "fifo")
    os.mknod(merged / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(merged)
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
    (merged / "right\u202eleft").write_text("x")
    (merged / "sparse").open("wb").truncate(20 << 30)
    (merged / ".netrc").write_text("what the sandbox says\n")
    started = time.monotonic()
    changes = collected(workspace, tmp_path)
    assert time.monotonic() - started < 5
    why = dict(line.rsplit(": ", 1) for line in changes.skipped)
    names = ("abs", "up", "dangling", "loop", "link", "src")
    assert why == {
        **dict.fromkeys(names, "symlink"),
        "fifo": "FIFO",
        "device": "device",
        "socket": "socket",
        "sparse": "too large",
        ascii("right\u202eleft"): "name",
    }
    assert not changes.complete, "a proposal without the large file is none"
    assert all(b"root:" not in blob.read_bytes() for blob in (tmp_path / "blobs").iterdir())


@needs_root
@pytest.mark.parametrize(
    ("limits", "said"), [({"changed_files": 5}, "more than 5"), ({"changed_bytes": 1000}, "large")]
)
def test_bounds(limits: dict[str, int], said: str, overlay: tuple[Workspace, Path], tmp_path: Path) -> None:
    workspace, merged = overlay
    for number in range(10):
        (merged / f"new{number}").write_text("x" * 150)
    changes = collected(workspace, tmp_path, Limits.model_validate(limits))
    assert not changes.complete
    assert any(said in line for line in changes.skipped)
    assert len(changes.files) <= 6

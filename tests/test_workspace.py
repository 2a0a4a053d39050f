"""Workspaces: no credential in them, whoever owns the checkout; a disk of a size; nothing mounted afterwards."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from bot.errors import SandboxError
from bot.sandbox.collect.tree import Used
from bot.sandbox.workspace.disk import disk_watch, exhausted, written
from bot.sandbox.workspace.mounts import mount, mounted_below, release
from bot.sandbox.workspace.overlay import Workspace, prepare

ENVIRON = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": os.devnull}
SECRET = "s3cr3t-canary"
ROOT = Path(__file__).resolve().parent.parent
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
PLANTED = (
    ".netrc",
    "a/.npmrc",
    "a/b/c/d/e/f/g/h/.env",
    "a/.env.production",
    "node_modules/x/.npmrc",
    "conf/.docker/config.json",
    "home/.config/gh/hosts.yml",
    "home/.ssh/anything",
    "keys/id_ed25519",
    "gha-creds-0123abcd.json",
    "vendor/other/.git/config",
    "vendor/other/.git/logs/HEAD",
    "vendor/deep/er/and/deeper/.git/credentials",
    "mirror.git/config",
    "mirror.git/FETCH_HEAD",
    ".git/config",
    ".git/credentials",
    ".git/hooks/pre-commit",
    ".git/logs/HEAD",
    ".git/FETCH_HEAD",
    ".git/modules/sub/config",
    ".git/modules/sub/hooks/post-checkout",
)
TRACKED = ("tests/data/.npmrc", "tests/data/.env", "tests/data/bare/config", "src/config.json")


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, env=ENVIRON, check=True, capture_output=True)


def put(folder: Path, path: str, text: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for path in (*TRACKED, "tests/data/bare/HEAD", "tests/data/bare/refs/x", "tests/data/bare/objects/x"):
        put(folder, path, "public\n")
    git(folder, "init", "-q")
    git(folder, "add", "-f", ".")
    for name in ("vendor/other", "vendor/deep/er/and/deeper"):
        git(folder, "init", "-q", name)
    git(folder, "init", "-q", "--bare", "mirror.git")
    (folder / ".git" / "modules" / "sub").mkdir(parents=True)
    put(folder, ".git/modules/sub/HEAD", "ref: refs/heads/main\n")
    for path in PLANTED:
        put(folder, path, f"{SECRET}\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "sandpiper-1"
    made.mkdir()
    yield made
    release(made)
    assert mounted_below(tmp_path) == []


def merged(workspace: Workspace) -> Path:
    """The workspace as a sandbox has it."""
    if workspace.kind == "copy":
        return workspace.changed
    target = workspace.folder / "merged"
    target.mkdir()
    mount("overlay", target, "overlay", 0, workspace.overlay_options().replace(",nosuid,nodev", ""))
    return target


def give(folder: Path, uid: int, *, gid: int | None = None) -> None:
    subprocess.run(["chown", "-R", "-h", f"{uid}:{uid if gid is None else gid}", str(folder)], check=True)


@pytest.mark.parametrize("kind", [pytest.param("overlay", marks=needs_root), "copy"])
def test_no_credential_anywhere_that_git_does_not_track(kind: str, checkout: Path, folder: Path) -> None:
    if os.geteuid() == 0:
        give(checkout, 1000)
    inside = merged(prepare(folder, checkout, kind))  # type: ignore[arg-type]
    found = subprocess.run(["grep", "-rlF", SECRET, str(inside)], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    assert found.returncode == 1
    for path in TRACKED:
        assert (inside / path).read_text() == "public\n"
    assert (checkout / ".netrc").read_text() == f"{SECRET}\n", "the checkout itself is not touched"


def test_a_pristine_checkout_is_not_looked_through_but_its_git_folder(checkout: Path, folder: Path) -> None:
    hidden = prepare(folder, checkout, "tar", pristine=True).hidden
    assert ".git/credentials" in hidden
    assert all(path.startswith(".git/") for path in hidden)


def test_empty_workspace(folder: Path) -> None:
    workspace = prepare(folder, None, "copy", root="/elsewhere")
    assert list(workspace.changed.iterdir()) == []
    assert workspace.tracked is None
    assert workspace.root == "/elsewhere"
    assert workspace.notes == ()


def test_a_workspace_can_be_written_down(checkout: Path, folder: Path, tmp_path: Path) -> None:
    (checkout / os.fsdecode(b".env.\xff%41")).write_text(SECRET)
    git(checkout, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "--no-verify", "-m", "first")
    git(checkout, "worktree", "add", "-q", "--detach", str(tmp_path / "worktree"))  # its index becomes one of the files
    adapter = TypeAdapter(Workspace)
    for number, source in enumerate((checkout, tmp_path / "worktree")):
        (folder / str(number)).mkdir()
        workspace = prepare(folder / str(number), source, "tar")
        again = adapter.validate_json(adapter.dump_json(workspace))
        assert again == workspace
        assert again.hidden == workspace.hidden


def test_path_that_mount_options_cannot_hold(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a,b"
    folder.mkdir()
    workspace = prepare(folder, checkout)
    assert workspace.kind == "copy"
    assert "mount options" in workspace.notes[0]


def test_no_checkout_that_can_be_read(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(SandboxError) as raised:
        prepare(folder, tmp_path / "nothing")
    assert raised.value.code == "workspace_failed"


@needs_root
def test_roots_checkout_is_shown_as_the_users_and_not_copied(checkout: Path, folder: Path) -> None:
    workspace = prepare(folder, checkout, pristine=True, mounts=True)
    if workspace.notes:
        pytest.skip(workspace.notes[0])
    inside = merged(workspace)
    assert inside.stat().st_uid == (inside / "src/config.json").stat().st_uid == workspace.uid == 1000
    words = ["sh", "-c", "echo more >> src/config.json && rm tests/data/.env && echo new > src/new"]
    subprocess.run(words, cwd=inside, user=1000, group=1000, extra_groups=[], check=True)
    assert (inside / "src/config.json").read_text() == "public\nmore\n"
    assert (checkout / "src/config.json").read_text() == "public\n"
    assert (checkout / "src/config.json").stat().st_uid == 0
    with pytest.raises(OSError, match="Read-only") as raised:
        (folder / "lower" / "src/config.json").unlink()
    assert raised.value.errno == errno.EROFS, "no mistake of ours can remove the checkout through its mount"
    release(folder)
    assert (checkout / "tests/data/.env").exists()
    subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)
    assert (checkout / "src/config.json").read_text() == "public\n"
    folder.mkdir()


@needs_root
@pytest.mark.parametrize(("mixed", "mounts"), [(True, True), (False, False)])
def test_checkout_of_others_is_copied_where_it_cannot_be_mapped(
    mixed: bool, mounts: bool, checkout: Path, folder: Path
) -> None:
    if mixed:
        give(checkout / "src", 1234)
    workspace = prepare(folder, checkout, mounts=mounts)
    assert "copied" in workspace.notes[0]
    assert {path.lstat().st_uid for path in (folder / "lower").rglob("*")} == {1000}
    assert not (merged(workspace) / ".netrc").exists()


@pytest.fixture
def sized(folder: Path) -> Workspace:
    workspace = prepare(folder, None, mounts=True, disk_mb=24)
    if workspace.disk != "volume":
        pytest.skip(workspace.notes[0])
    return workspace


def fill(file: io.FileIO) -> None:
    for _ in range(200):
        file.write(b"x" * (1 << 20))


def touch(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"{number}").touch()


def devices(image: Path) -> str:
    words = ["losetup", "-n", "-O", "NAME", "-j", str(image)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@needs_root
def test_disk_ends_where_it_was_said(sized: Workspace) -> None:
    inside, full = merged(sized), disk_watch(sized, 24)
    assert sized.notes == ()
    state = os.statvfs(inside)
    assert 24 << 20 <= state.f_bavail * state.f_frsize <= 27 << 20
    assert state.f_favail >= 9_900
    assert not exhausted(sized)
    with pytest.raises(OSError, match="No space") as raised, (inside / "big").open("wb", buffering=0) as file:
        fill(file)
    assert raised.value.errno == errno.ENOSPC
    assert exhausted(sized)
    assert not full(), "the kernel refused; nobody has to be stopped"
    assert written(sized, Used(1, 1)).size >= 23 << 20
    (inside / "big").unlink()
    assert not exhausted(sized)
    with pytest.raises(OSError, match="No space"):
        touch(inside, 20_000)
    assert exhausted(sized), "inodes count too"


@needs_root
def test_nothing_is_left_of_a_disk(sized: Workspace) -> None:
    folder, image = sized.folder, sized.folder / "disk.img"
    (sized.changed / "file").write_bytes(b"x" * 1_000_000)
    assert devices(image)
    for _ in range(2):
        release(folder)
        assert list((folder / "disk").iterdir()) == []
    assert devices(image) == ""


@needs_root
def test_without_a_volume_what_is_written_is_watched(tmp_path: Path, folder: Path) -> None:
    (tmp_path / ".disks").write_text("no folder\n")
    workspace = prepare(folder, None, mounts=True, disk_mb=16)
    assert workspace.disk == "watched"
    assert "no volume" in workspace.notes[0]
    assert not (folder / "disk").exists()


def test_watched_bytes_and_inodes(checkout: Path, folder: Path) -> None:
    workspace = prepare(folder, checkout, "copy")
    full = disk_watch(workspace, 16)
    assert not full()
    (workspace.changed / "big").write_bytes(os.urandom(1 << 20) * 40)
    assert full()
    (workspace.changed / "big").unlink()
    assert not full()
    assert not exhausted(workspace)
    touch(workspace.changed, 300)
    assert written(workspace, Used(1 << 40, 1 << 40)).inodes >= 200  # what was hidden is missing
    assert written(workspace, Used(1 << 40, 100)).inodes == 100


@needs_root
def test_release_takes_off_all_below_and_nothing_else(tmp_path: Path, folder: Path) -> None:
    outside, odd = tmp_path / "sandpiper-10", folder / "with space\\and\nmore"
    for place in (outside, odd):
        place.mkdir()
        mount("none", place, "tmpfs", 0, "size=64k")
    (odd / "in" / "ner").mkdir(parents=True)
    mount("none", odd / "in" / "ner", "tmpfs", 0, "size=64k")
    (tmp_path / "link").symlink_to(outside)
    (folder / "link").symlink_to(outside)
    try:
        held = os.open(odd / "in", os.O_RDONLY)  # busy
        release(folder)
        os.close(held)
        assert mounted_below(folder) == []
        assert mounted_below(tmp_path) == [os.fsencode(outside)]
        release(outside)
        assert mounted_below(tmp_path) == [os.fsencode(outside)], "a mount at the folder itself is not below it"
    finally:
        release(tmp_path)
    with pytest.raises(ValueError, match="root"):
        release(Path("/"))


@needs_root
def test_release_spares_the_disk_what_is_thrown_away_but_never_a_mount_of_others(
    sized: Workspace, tmp_path: Path
) -> None:
    place = tmp_path / "sandpiper-3" / "disk"
    place.mkdir(parents=True)
    mount(str(sized.folder / "disk"), place, "none", 4096, "")  # the same file system at another place
    release(tmp_path / "sandpiper-3")
    (sized.changed / "still").write_text("works")
    other = os.open(sized.folder / "disk", os.O_RDONLY)
    release(sized.folder)
    with pytest.raises(OSError, match="Input/output"):
        os.close(os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=other))
    os.close(other)


@needs_root
def test_another_process_clears_up_after_one_that_was_killed(tmp_path: Path, checkout: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from bot.sandbox.workspace.overlay import prepare\n"
        "folder = Path(sys.argv[1]); folder.mkdir()\n"
        "prepare(folder, Path(sys.argv[2]), pristine=True, mounts=True, disk_mb=16)\n"
        "print('made', flush=True); time.sleep(60)\n"
    )
    folder = tmp_path / "sandpiper-2"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(checkout)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"made\n"
        process.send_signal(signal.SIGKILL)
    assert mounted_below(folder), "what it mounted outlives it"
    release(folder)
    assert mounted_below(folder) == []
    subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)
    assert (checkout / ".netrc").exists()

"""A number of MiB -> a file system of that size, mounted below a workspace's own folder.

An ext4 file system in a sparse file on a loop device: the kernel says ENOSPC, for bytes and for inodes. It takes no
disk until it is written, and no time that grows with its size: those of one size are copies of one that was made
once. Only root can have it, and only where there are loop devices.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from bot.sandbox.workspace.mounts import mount

IMAGES = ".disks"
"""Folder of the file systems that are copied, next to the workspaces' folders."""
PER_INODE = 4096
"""Bytes of the limit for which there is one inode."""
INODES = 10_000
"""At the least."""
_MIB = 1 << 20
_INODE = 256
"""Bytes of one."""
_FEATURES = "^has_journal,^resize_inode,^metadata_csum,uninit_bg"
"""Nobody needs the writes after a crash, and what is not written while it is made is not copied later."""
_NOSUID, _NODEV, _NOATIME = 2, 4, 1024
_OPTIONS = "barrier=0,noinit_itable"
_FICLONE, _GET_FREE, _CONFIGURE, _AUTOCLEAR = 0x40049409, 0x4C82, 0x4C0A, 4
_BLOCK = 4096
_LOOP_CONFIG = "=II 5Q 4I 64s 64s 32s 2Q 8Q"
"""struct loop_config of linux/loop.h."""
_ATTEMPTS = 100
_SECONDS = 120


def attach(folder: Path, megabytes: int) -> Path:
    """Make `folder`/disk, a file system with so much room for the sandbox. Raises OSError, and then leaves nothing."""
    image, target = folder / "disk.img", folder / "disk"
    try:
        _copy(_original(folder.parent / IMAGES, megabytes), image)
        target.mkdir()
        device = _loop(image)
        try:
            mount(f"/dev/loop{device[0]}", target, "ext4", _NOSUID | _NODEV | _NOATIME, _OPTIONS)
        finally:
            os.close(device[1])  # the mount holds it; without one the device is given back
    except (OSError, subprocess.SubprocessError) as error:
        image.unlink(missing_ok=True)
        if target.is_dir():
            target.rmdir()
        raise error if isinstance(error, OSError) else OSError(_said(error)) from error
    return target


def _said(error: Exception) -> str:
    text = getattr(error, "stderr", b"") or b""
    return f"{error}: {text.decode('utf-8', 'replace').strip()[-300:]}"


def _original(images: Path, megabytes: int) -> Path:
    """The file system that those of this size are copied from."""
    original = images / f"ext4-{megabytes}.img"
    if not original.exists():
        images.mkdir(mode=0o700, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=images, prefix=".new-")
        os.close(descriptor)
        try:
            _make(Path(name), megabytes)
            Path(name).replace(original)  # made by several at once, it is the same each time
        finally:
            Path(name).unlink(missing_ok=True)
    return original


def _make(image: Path, megabytes: int) -> None:
    program = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise OSError(errno.ENOENT, "there is no mkfs.ext4")
    room = megabytes * _MIB
    inodes = max(INODES, room // PER_INODE)
    reserve = min(16 * _MIB, room // 25)  # the kernel keeps 2 % for itself, at the most 16 MiB
    size = room + inodes * _INODE + reserve + room // 1024 + 2 * _MIB
    os.truncate(image, size // _MIB * _MIB)
    words = ["-q", "-F", "-m", "0", "-b", str(_BLOCK), "-I", str(_INODE), "-N", str(inodes), "-O", _FEATURES]
    words += ["-E", "lazy_itable_init=1,nodiscard", "--", str(image)]
    subprocess.run(
        [program, *words], check=True, capture_output=True, timeout=_SECONDS, env={"MKE2FS_CONFIG": os.devnull}
    )


def _copy(source: Path, target: Path) -> None:
    """All of its data, and none of its holes."""
    with source.open("rb") as old, target.open("xb") as new:
        os.fchmod(new.fileno(), 0o600)
        with contextlib.suppress(OSError):
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
            return
        os.ftruncate(new.fileno(), os.fstat(old.fileno()).st_size)
        at = 0
        while (at := _next_data(old.fileno(), at)) >= 0:
            until = os.lseek(old.fileno(), at, os.SEEK_HOLE)
            while at < until:
                at += os.sendfile(new.fileno(), old.fileno(), at, until - os.lseek(new.fileno(), at, os.SEEK_SET))


def _next_data(file: int, position: int) -> int:
    try:
        return os.lseek(file, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return -1


def _loop(image: Path) -> tuple[int, int]:
    """(number, open device) of a loop device over a file, which is given back when nothing uses it any more."""
    with image.open("r+b") as backing, Path("/dev/loop-control").open("r+b", buffering=0) as control:
        config = struct.pack(
            _LOOP_CONFIG,
            backing.fileno(),
            _BLOCK,
            *(0,) * 8,
            _AUTOCLEAR,
            os.fsencode(image)[-63:],
            b"",
            b"",
            *(0,) * 10,
        )
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control.fileno(), _GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # somebody else was faster
                    raise
            else:
                return number, device
    raise OSError(errno.EBUSY, "no loop device is free")

"""The folder of a dead sandbox -> nothing, as far as our own rights go."""

import contextlib
import logging
import os
import stat
import subprocess
from itertools import islice
from pathlib import Path

from bot.errors import SandboxError
from bot.sandbox.workspace.mounts import release

_LOG = logging.getLogger(__name__)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FEW = 400
_DEPTH = 12


def remove_folder(folder: Path) -> bool:
    """Remove it with all that is mounted and written in it; True when it is gone."""
    try:
        release(folder)
    except SandboxError as error:
        _LOG.warning("folder %s: not removed: %s", folder, error)
        return False
    if not erase(folder):
        # The task may have taken rights from its own folders, and so from us where we are the same user.
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(folder)], capture_output=True, check=False)
        erase(folder)
    return not folder.exists()


def erase(folder: Path) -> bool:
    """Remove a folder on whose file systems nothing else lies, following no link; True when it is gone."""
    with contextlib.suppress(_TooLarge, OSError):
        _erase_few(folder)
    if not folder.exists():
        return True
    # Not shutil.rmtree: a hostile tree is deeper than Python's stack.
    done = subprocess.run(["rm", "-rf", "--one-file-system", "--", str(folder)], capture_output=True, check=False)
    return done.returncode == 0 and not folder.exists()


class _TooLarge(Exception):
    """A program of its own does it as fast."""


def _erase_few(folder: Path) -> None:
    """What most sandboxes leave is a few files: to start a program takes longer than to remove them."""
    parent = os.open(folder.parent, _FOLDER)
    try:
        device = os.stat(folder.name, dir_fd=parent, follow_symlinks=False).st_dev
        _erase_in(parent, folder.name, device, [_FEW], _DEPTH)
        os.rmdir(folder.name, dir_fd=parent)
    finally:
        os.close(parent)


def _erase_in(parent: int, name: str, device: int, left: list[int], depth: int) -> None:
    if depth == 0:
        raise _TooLarge
    opened = os.open(name, _FOLDER, dir_fd=parent)
    try:
        if os.fstat(opened).st_dev != device:
            raise _TooLarge
        with os.scandir(opened) as entries:  # of which there may be millions
            names = [entry.name for entry in islice(entries, left[0] + 1)]
        left[0] -= len(names)
        if left[0] < 0:
            raise _TooLarge
        for entry in names:
            if stat.S_ISDIR(os.stat(entry, dir_fd=opened, follow_symlinks=False).st_mode):
                _erase_in(opened, entry, device, left, depth - 1)
                os.rmdir(entry, dir_fd=opened)
            else:
                os.unlink(entry, dir_fd=opened)
    finally:
        os.close(opened)

"""A workspace and its limit -> whether the sandbox wrote too much, and how much it wrote.

On a volume of its own the kernel refuses what is too much, and only the machine's own disk is looked after. Elsewhere
what was written is counted while commands run, as soon as the disk's free space says that it may be too much.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

from bot.sandbox.collect.tree import Used, used
from bot.sandbox.workspace.overlay import Workspace
from bot.sandbox.workspace.volume import INODES, PER_INODE

_MIB = 1 << 20
ALL = Used(1 << 50, 1 << 40)
"""A limit that is none."""
_RESERVE = 1 << 30
"""Bytes of the machine's disk that no command may take, whatever its own limit."""
_FULL = 2 * _MIB
"""Bytes: with fewer left, a disk is full, since a large write fails as a whole. Of a small disk, a sixteenth."""


class _Free(NamedTuple):
    size: int
    inodes: int


def disk_watch(workspace: Workspace, limit_mb: int) -> Callable[[], bool]:
    """A look, to be had several times a second, at whether what runs must be stopped for what it wrote."""
    limit = Used(limit_mb * _MIB, max(INODES, limit_mb * _MIB // PER_INODE))
    most = at_first = _free(workspace)

    def full() -> bool:
        nonlocal most
        now = _free(workspace)
        most = _Free(max(most.size, now.size), max(most.inodes, now.inodes))  # others give room back meanwhile
        if now.size < min(_RESERVE, at_first.size // 2):
            return written(workspace, Used(_RESERVE // 2, limit.inodes)).size >= _RESERVE // 2
        if workspace.disk == "volume":
            return False
        if most.size - now.size < limit.size and most.inodes - now.inodes < limit.inodes:
            return False
        took = written(workspace, limit)
        return took.size >= limit.size or took.inodes >= limit.inodes

    return full


def exhausted(workspace: Workspace) -> bool:
    """Whether nothing more fits on the workspace's volume: why a command failed. Never without a volume."""
    if workspace.disk != "volume":
        return False
    try:
        state = os.statvfs(workspace.changed)
    except OSError:
        return False
    return state.f_favail == 0 or state.f_bavail * state.f_frsize < min(_FULL, state.f_blocks * state.f_frsize // 16)


def written(workspace: Workspace, limit: Used) -> Used:
    """What the sandbox wrote, counted up to a limit; in a copy, what is there beyond the checkout."""
    if workspace.disk == "volume":
        state = os.statvfs(workspace.changed)
        return Used((state.f_blocks - state.f_bfree) * state.f_frsize, state.f_files - state.f_ffree)
    if workspace.kind == "overlay":
        layer = used(workspace.changed, limit)
        views = used(workspace.views, limit) if workspace.views.is_dir() else Used(0, 0)
        return Used(layer.size + views.size, layer.inodes + views.inodes)
    before = workspace.weight
    after = used(workspace.changed, Used(limit.size + before.size, limit.inodes + before.inodes))
    return Used(max(0, after.size - before.size), max(0, after.inodes - before.inodes))


def _free(workspace: Workspace) -> _Free:
    """Of the machine's disk."""
    state = os.statvfs(workspace.folder)
    # Some file systems (btrfs) have as many inodes as they need, and say 0.
    return _Free(state.f_bavail * state.f_frsize, state.f_favail)

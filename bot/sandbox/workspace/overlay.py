"""A pristine checkout -> a folder that a sandbox may write, without writing the checkout.

An overlay where the engine can mount one: the checkout below, a thin layer of clean git files on it, and the folder
on top that takes every write and is all that has to be read afterwards. A copy where it can't.
"""

import logging
import os
import stat
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from bot.errors import SandboxError
from bot.sandbox.workspace import gitclean
from bot.sandbox.workspace.gitindex import read_tracked
from bot.types.sandbox import WORKSPACE

_LOG = logging.getLogger(__name__)
_OPTIONS_MAX = 3900
"""Bytes of mount options: the kernel takes a page, the engine adds some."""
_USER = 1000
"""Who works on a checkout that belongs to root."""
_FLAGS = ("redirect_dir=off", "metacopy=off", "index=off", "nosuid", "nodev")
"""So that the upper folder holds whole files: no renames by reference, no metadata without data."""


@dataclass(frozen=True)
class Workspace:
    """The folder of one sandbox, with everything that the engine mounts from it."""

    folder: Path
    """Everything lies here; removing it removes the workspace."""
    checkout: Path
    """Pristine."""
    uid: int
    gid: int
    kind: Literal["overlay", "copy"]
    """How the checkout is protected."""
    tracked: frozenset[bytes] | None
    """Paths that git tracks; None where that is not known."""
    objects: tuple[Path, ...]
    """Object folders outside of the checkout, to be mounted read-only."""
    hidden: frozenset[str]
    """Paths of the checkout that the sandbox does not see."""
    root: str = WORKSPACE
    """Where the sandbox has it."""

    @property
    def changed(self) -> Path:
        """What the sandbox wrote: the overlay's upper folder, or the whole copy."""
        return self.folder / ("upper" if self.kind == "overlay" else "tree")

    @cached_property
    def attributes(self) -> Literal["trusted", "user"]:
        """Where the overlay notes which folders are new. The other kind is anybody's to write.

        Without CAP_SYS_ADMIN the trusted.* attributes can't be read afterwards.
        """
        return "trusted" if _reads_trusted(self.folder) else "user"

    def overlay_options(self) -> str:
        """For mount(8); see the kernel's Documentation/filesystems/overlayfs.rst."""
        folder = self.folder
        layers = f"lowerdir={folder}/clean:{folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        user = (*(each for each in _FLAGS if "=" not in each), "userxattr")
        flags = _FLAGS if self.attributes == "trusted" else user
        return ",".join((layers, *flags))


def prepare(folder: Path, checkout: Path, kind: Literal["overlay", "copy"]) -> Workspace:
    """Fill `folder` (it exists, empty). Raises SandboxError."""
    try:
        uid, gid, private = _owner(checkout)
        tracked = read_tracked(checkout)
        cleaning = gitclean.plan(checkout, tracked)
        if kind == "overlay" and not mountable(folder):
            kind = "copy"
            _LOG.info("workspace: %s can't be part of mount options, the checkout is copied", folder)
        if kind == "overlay":
            _layers(folder, checkout, cleaning, uid, gid, private)
        else:
            _copy(checkout, folder / "tree")
            gitclean.clean_copy(cleaning, folder / "tree")
            _chown(folder / "tree", uid, gid)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SandboxError(
            "workspace_failed",
            f"no workspace could be made from {checkout}: {error}",
            hint="the checkout must be readable, and the work folder must have room",
        ) from error
    hidden = frozenset(cleaning.hidden)
    return Workspace(folder, checkout, uid, gid, kind, tracked, tuple(cleaning.objects), hidden)


def mountable(folder: Path) -> bool:
    """Whether the path can stand in mount options, where `:` and `,` separate and a page is all there is."""
    text = str(folder)
    return not any(char in ':,\\"' or char.isspace() for char in text) and 4 * len(text) + 200 < _OPTIONS_MAX


def _layers(folder: Path, checkout: Path, cleaning: gitclean.Cleaning, uid: int, gid: int, private: bool) -> None:
    for name in ("clean", "upper", "work"):
        (folder / name).mkdir()
    gitclean.clean_layer(cleaning, folder / "clean", checkout)
    if private:
        _copy(checkout, folder / "lower")
        _chown(folder / "lower", uid, gid)
    else:
        (folder / "lower").symlink_to(checkout)  # the kernel follows it, so the checkout's path may hold any character
    _chown(folder / "clean", uid, gid)
    _chown(folder / "upper", uid, gid)
    (folder / "upper").chmod(stat.S_IMODE(checkout.stat().st_mode) | stat.S_IRWXU)


def _owner(checkout: Path) -> tuple[int, int, bool]:
    """(uid, gid, copy?): the checkout's owner, unless that is root, or not us, or several."""
    me, top = os.geteuid(), checkout.stat()
    uids = {entry.stat(follow_symlinks=False).st_uid for entry in os.scandir(checkout)} | {top.st_uid}
    if (checkout / ".git").is_dir():
        uids |= {entry.stat(follow_symlinks=False).st_uid for entry in os.scandir(checkout / ".git")}
    owner = top.st_uid if me == 0 else me
    uid = owner or _USER
    gid = top.st_gid if top.st_uid == uid and top.st_gid else uid
    return uid, gid, uids != {uid}


def _copy(source: Path, target: Path) -> None:
    target.mkdir()
    subprocess.run(["cp", "-a", "--reflink=auto", "--", f"{source}/.", str(target)], check=True, capture_output=True)


def _chown(folder: Path, uid: int, gid: int) -> None:
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "-h", f"{uid}:{gid}", "--", str(folder)], check=True, capture_output=True)


def _reads_trusted(folder: Path) -> bool:
    try:
        os.setxattr(folder, "trusted.sandpiper", b"y")
        os.removexattr(folder, "trusted.sandpiper")
    except OSError:
        return False
    return True


def identity(workspace: Workspace, home: str) -> dict[str, bytes]:
    """Files of /etc that make the task's user a person with a name and a home, and nothing of the machine's."""
    uid, gid = workspace.uid, workspace.gid
    return {
        "passwd": (
            f"root:x:0:0:root:/root:/bin/sh\nbot:x:{uid}:{gid}:bot:{home}:/bin/sh\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
        ).encode(),
        "group": f"root:x:0:\nbot:x:{gid}:\nnogroup:x:65534:\n".encode(),
        "nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
        "hosts": b"127.0.0.1 localhost sandbox\n::1 localhost\n",
        "resolv.conf": b"",
    }

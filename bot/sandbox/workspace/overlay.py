"""A pristine checkout -> a folder that a sandbox may write, without writing the checkout.

An overlay where the engine can mount one: the checkout below, a thin layer of clean git files on it, and the folder
on top that takes every write and is all that has to be read afterwards. A copy where it can't.
"""

import logging
import os
import stat
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from bot.errors import SandboxError
from bot.sandbox.collect.tree import Used, whole
from bot.sandbox.workspace import gitclean, idmap, volume
from bot.sandbox.workspace.gitindex import Tracked
from bot.sandbox.workspace.lookup import open_tracked
from bot.sandbox.workspace.mounts import release
from bot.types.sandbox import WORKSPACE

_LOG = logging.getLogger(__name__)
Kind = Literal["overlay", "copy", "tar"]
_OPTIONS_MAX = 3900
"""Bytes of mount options: the kernel takes a page, the engine adds some."""
_USER = 1000
"""Who works on a checkout that belongs to root."""
_LOOKED_AT = 64
"""Entries of a folder from which its owner is told."""
_FLAGS = ("redirect_dir=off", "metacopy=off", "index=off", "nosuid", "nodev")
"""So that the upper folder holds whole files: no renames by reference, no metadata without data."""


@dataclass(frozen=True)
class Workspace:
    """The folder of one sandbox, with everything that the engine mounts from it."""

    folder: Path
    """Everything lies here; removing it (after `release`) removes the workspace."""
    checkout: Path
    """Pristine; an empty folder of ours for a workspace without one."""
    uid: int
    gid: int
    kind: Kind
    """How the checkout is protected: a layer above it, a copy in `folder`, or an archive."""
    cleaning: gitclean.Cleaning = field(repr=False)
    """What the sandbox has instead of the checkout's credentials."""
    root: str = WORKSPACE
    """Where the sandbox has it."""
    disk: Literal["volume", "watched"] = "watched"
    """Who caps what the sandbox writes: a volume of its own, or the look of bot.sandbox.workspace.disk."""
    notes: tuple[str, ...] = ()
    """A sentence for everything that could not be had here."""

    @property
    def changed(self) -> Path:
        """What the sandbox wrote: the overlay's upper folder, or the whole copy."""
        return self._writes / ("upper" if self.kind == "overlay" else "tree")

    @property
    def views(self) -> Path:
        """What the sandbox writes into caches that it does not share: it takes the same disk."""
        return self._writes / "views"

    @cached_property
    def weight(self) -> Used:
        """What the checkout takes. Counted when it is first asked for."""
        return whole(self.checkout)

    @property
    def objects(self) -> tuple[Path, ...]:
        """Object folders outside of the checkout, to be mounted read-only."""
        return tuple(self.cleaning.objects)

    @cached_property
    def hidden(self) -> frozenset[str]:
        """Paths of the checkout that the sandbox does not see."""
        return frozenset(self.cleaning.hidden)

    @cached_property
    def tracked(self) -> Tracked | None:
        """Paths that git tracks; None where that is not known. Read when it is first asked for."""
        return open_tracked(self.checkout)

    @cached_property
    def attributes(self) -> Literal["trusted", "user"]:
        """Where the overlay notes which folders are new. The other kind is anybody's to write.

        Without CAP_SYS_ADMIN the trusted.* attributes can't be read afterwards.
        """
        return "trusted" if _reads_trusted(self.folder) else "user"

    @property
    def _writes(self) -> Path:
        return self.folder / "disk" if self.disk == "volume" else self.folder

    def overlay_options(self) -> str:
        """For mount(8); see the kernel's Documentation/filesystems/overlayfs.rst."""
        folder, writes = self.folder, self._writes
        layers = f"lowerdir={folder}/clean:{folder}/lower,upperdir={writes}/upper,workdir={writes}/work"
        user = (*(each for each in _FLAGS if "=" not in each), "userxattr")
        flags = _FLAGS if self.attributes == "trusted" else user
        return ",".join((layers, *flags))


class _Owner(NamedTuple):
    """Whose files the sandbox sees."""

    uid: int
    gid: int
    theirs: bool
    """All of the checkout is that user's already."""
    roots: bool
    """All of it is root's."""


def prepare(
    folder: Path,
    checkout: Path | None,
    kind: Kind = "overlay",
    *,
    pristine: bool = False,
    disk_mb: int | None = None,
    mounts: bool = False,
    root: str = WORKSPACE,
) -> Workspace:
    """Fill `folder` (it exists, empty). Raises SandboxError, and then nothing is mounted.

    `pristine`: the checkout holds what git tracks and nothing else, for sure, so that it need not be looked through.
    `mounts`: something may be mounted below `folder`, which the engine sees and the caller releases: a disk of
    `disk_mb`, and root's checkouts as the sandbox user's. Both are done without where they can't be had.
    """
    try:
        return _prepare(folder, checkout, kind, pristine, disk_mb if mounts else None, mounts, root)
    except (OSError, subprocess.CalledProcessError) as error:
        release(folder)
        raise SandboxError(
            "workspace_failed",
            f"no workspace could be made from {checkout}: {error}",
            hint="the checkout must be readable, and the work folder must have room",
        ) from error


def _prepare(
    folder: Path,
    checkout: Path | None,
    kind: Kind,
    pristine: bool,
    disk_mb: int | None,
    mounts: bool,
    root: str,
) -> Workspace:
    notes: list[str] = []
    if checkout is None:
        checkout, pristine = folder / "empty", True
        checkout.mkdir()
        if os.geteuid() == 0:
            os.chown(checkout, _USER, _USER)
    if kind == "overlay" and not mountable(folder):
        kind = "copy"
        notes.append("the checkout is copied: the work folder's path can't be part of mount options")
    owner = _owner(checkout)
    cleaning = gitclean.plan(checkout, lambda: open_tracked(checkout), pristine=pristine)
    disk = "watched" if disk_mb is None or kind == "tar" else _disk(folder, disk_mb, notes)
    writes = folder / "disk" if disk == "volume" else folder
    if kind == "overlay":
        _layers(folder, writes, checkout, cleaning, owner)
        _lower(folder / "lower", checkout, owner, mounts, notes)
    elif kind == "copy":
        _copy(checkout, writes / "tree")
        gitclean.clean_copy(cleaning, writes / "tree")
        _chown(writes / "tree", owner)
    for note in notes:
        _LOG.info("workspace: %s", note)
    if kind != "tar":
        cleaning.files = {}  # they are where they belong
    return Workspace(folder, checkout, owner.uid, owner.gid, kind, cleaning, root, disk, tuple(notes))


def mountable(folder: Path) -> bool:
    """Whether the path can stand in mount options, where `:` and `,` separate and a page is all there is."""
    text = str(folder)
    return not any(char in ':,\\"' or char.isspace() for char in text) and 4 * len(text) + 220 < _OPTIONS_MAX


def _disk(folder: Path, megabytes: int, notes: list[str]) -> Literal["volume", "watched"]:
    try:
        volume.attach(folder, megabytes)
    except OSError as error:
        notes.append(f"what is written is counted, not confined: no volume could be had ({error.strerror or error})")
        return "watched"
    return "volume"


def _layers(folder: Path, writes: Path, checkout: Path, cleaning: gitclean.Cleaning, owner: _Owner) -> None:
    for path in (folder / "clean", writes / "upper", writes / "work"):
        path.mkdir()
    gitclean.clean_layer(cleaning, folder / "clean", checkout)
    if os.geteuid() == 0:
        os.chown(writes / "upper", owner.uid, owner.gid)
        _chown_few(folder / "clean", owner)
    (writes / "upper").chmod(stat.S_IMODE(checkout.stat().st_mode) | stat.S_IRWXU)


def _lower(lower: Path, checkout: Path, owner: _Owner, mounts: bool, notes: list[str]) -> None:
    """The layer below: the checkout itself, or what looks like it and belongs to the sandbox's user."""
    if owner.theirs:
        lower.symlink_to(checkout)  # the kernel follows it, so the checkout's path may hold any character
        return
    if mounts and owner.roots and os.geteuid() == 0:
        try:
            _map(lower, checkout, owner)
        except OSError as error:
            notes.append(f"the checkout is copied: it belongs to root, and can't be mapped ({error.strerror or error})")
        else:
            return
    else:
        notes.append("the checkout is copied: it does not belong to the sandbox's user")
    _copy(checkout, lower)
    _chown(lower, owner)


def _map(lower: Path, checkout: Path, owner: _Owner) -> None:
    """Raises OSError."""
    with os.scandir(checkout) as entries:
        inner = next((each.name for each in entries if each.is_dir(follow_symlinks=False)), None)
    if inner is None:
        raise OSError("it has no folder")
    mapped = lower.with_name("mapped")
    mapped.mkdir()
    try:
        idmap.attach(checkout, mapped, owner.uid, owner.gid)
    except OSError:
        mapped.rmdir()
        raise
    # By way of a folder in it: for an engine that does not see the mount there is none, so that it refuses, instead
    # of showing an empty checkout.
    lower.symlink_to(f"mapped/{inner}/..")


def _owner(checkout: Path) -> _Owner:
    """The checkout's owner, unless that is root, or not us, or several; told from its first files."""
    me, top = os.geteuid(), checkout.stat()
    uids = {top.st_uid} | _owners(checkout, everything=True)
    if (checkout / ".git").is_dir():
        uids |= _owners(checkout / ".git", everything=False)  # git puts new files in the place of old ones
    uid = (top.st_uid if me == 0 else me) or _USER
    gid = top.st_gid if top.st_uid == uid and top.st_gid else uid
    return _Owner(uid, gid, uids == {uid}, uids == {0})


def _owners(folder: Path, *, everything: bool) -> set[int]:
    with os.scandir(folder) as entries:
        seen = [each for each in islice(entries, _LOOKED_AT) if everything or each.is_dir(follow_symlinks=False)]
        return {entry.stat(follow_symlinks=False).st_uid for entry in seen}


def _copy(source: Path, target: Path) -> None:
    target.mkdir()
    subprocess.run(["cp", "-a", "--reflink=auto", "--", f"{source}/.", str(target)], check=True, capture_output=True)


def _chown(folder: Path, owner: _Owner) -> None:
    """Of a tree of any size."""
    if os.geteuid() == 0:
        words = ["chown", "-R", "-h", f"{owner.uid}:{owner.gid}", "--", str(folder)]
        subprocess.run(words, check=True, capture_output=True)


def _chown_few(folder: Path, owner: _Owner) -> None:
    """Of a few files of our own: faster than to start a program."""
    for path, folders, files in os.walk(folder):
        os.chown(path, owner.uid, owner.gid)
        for name in (*folders, *files):
            os.chown(Path(path, name), owner.uid, owner.gid, follow_symlinks=False)


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

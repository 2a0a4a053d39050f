"""A workspace and the machine's tools -> the file system that a sandbox sees. Pure, but for a look at `/`."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bot.sandbox.channel.pipes import INSIDE
from bot.sandbox.toolchain import LINKS, Toolchain
from bot.sandbox.workspace.gitclean import OBJECTS
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Template

HOME = "/home/bot"
_FOLDERS = ("/dev", "/etc", HOME, "/mnt", "/opt", "/proc", "/root", "/run", "/tmp", "/usr", "/var", "/workspace")  # noqa: S108


@dataclass(frozen=True)
class Shared:
    """A cache, as one sandbox has it."""

    source: str
    """Folder on this machine."""
    path: str
    """Where the sandbox has it."""
    options: str = ""
    """Of the overlay through which it is seen; empty for the folder itself."""
    writable: bool = False
    """Whether writes go into the folder itself, or into the overlay."""


@dataclass(frozen=True)
class Shape:
    """All that a sandbox is made from."""

    template: Template
    workspace: Workspace
    toolchain: Toolchain
    folder: Path
    """The sandbox's own: `channel` and `nothing` (an empty file) lie in it; as root `root`, else `etc` and `merged`."""
    command: tuple[str, ...]
    """What runs inside."""
    etc: Mapping[str, bytes] = field(default_factory=dict)
    """Files of /etc by name: who the task's user is. Root puts them into memory, others have them in `folder`."""
    caches: tuple[Shared, ...] = ()
    root: bool = False
    """Whether we are root, so that somebody else has to be the task's user."""

    @property
    def workspace_options(self) -> str:
        """Of the overlay that the workspace is; empty when it is a folder."""
        return self.workspace.overlay_options() if self.workspace.kind == "overlay" else ""


@dataclass(frozen=True)
class Tree:
    """Folders, links, files, and what of this machine is mounted read-only, in the order in which they are made."""

    folders: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    """(where it leads, its path)."""
    files: tuple[tuple[str, bytes], ...]
    """(path, contents)."""
    mounts: tuple[tuple[str, str], ...]
    """(source on this machine, path)."""


def tree_of(shape: Shape) -> Tree:
    """What the sandbox sees and can't write; paths are those inside."""
    workspace, toolchain = shape.workspace, shape.toolchain
    # With a place for each mount below it, where nobody could make one later.
    binds = {} if shape.root else {"/etc": str(shape.folder / "etc")}
    binds |= {mount: mount for mount in toolchain.mounts}
    binds |= {"/sbin": "/sbin"} if Path("/sbin").is_dir() and not Path("/sbin").is_symlink() else {}
    binds |= dict.fromkeys(toolchain.hidden, str(shape.folder / "nothing"))
    binds |= {f"{OBJECTS}/{number}": str(folder) for number, folder in enumerate(workspace.objects)}
    binds |= {INSIDE: str(shape.folder / "channel")}
    folders = (
        *_FOLDERS,
        *(str(PurePosixPath(target).parent) for target in binds if not _below(target, "/etc")),
        *shape.template.tmpfs,
        *(cache.path for cache in shape.caches if not _below(cache.path, HOME)),
    )
    links = (*_links(), ("../tmp", "/var/tmp"))  # noqa: S108 - not the host's
    files = tuple((f"/etc/{name}", data) for name, data in shape.etc.items()) if shape.root else ()
    mounts = tuple((source, target) for target, source in binds.items())
    return Tree(tuple(dict.fromkeys(folders)), links, files, mounts)


def etc_places(toolchain: Toolchain) -> Iterator[tuple[str, bool]]:
    """(path below /etc, whether it is a folder) of all that is mounted there."""
    for mount in toolchain.mounts:
        if _below(mount, "/etc"):
            yield mount.removeprefix("/etc/"), Path(mount).is_dir()


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _links() -> Iterator[tuple[str, str]]:
    """A merged /usr as this machine has it."""
    for name in (*LINKS, "sbin"):
        if Path(f"/{name}").is_symlink():
            yield os.readlink(f"/{name}").lstrip("/"), f"/{name}"  # noqa: PTH115

"""A template and a workspace -> the arguments of bubblewrap, and of what comes before it. Pure.

Bubblewrap runs as the task's user, in whose user namespace nobody is anybody else. Where we are root, another one comes
before it that does nothing but put the file system together: the task's user can't look into our folders, and must not.

Source: bwrap(1).
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bot.sandbox.channel.pipes import INSIDE
from bot.sandbox.toolchain import LINKS, Toolchain
from bot.sandbox.workspace.gitclean import OBJECTS
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Template

HOME = "/home/bot"
NO_OVERLAY = 97
"""Exit code of SCRIPT: the workspace could not be mounted."""
_MIB = 1 << 20
_TREE, _STAGE = "/tree", "/stage"
"""Where the first bubblewrap puts the sandbox's file system, and what the sandbox may write in it."""
_FOLDERS = ("dev", "home/bot", "mnt", "opt", "proc", "root", "run", "tmp", "usr", "var", "workspace")
_SCRATCH = ("/tmp", HOME)  # noqa: S108 - not the host's

SCRIPT = f"""\
umask 022
ulimit -c 0
ulimit -f 8388608
ulimit -n 4096 2>/dev/null
options=$1 merged=$2 stays=$3
shift 3
[ -z "$options" ] || mount -t overlay -o "$options" overlay "$merged" || exit {NO_OVERLAY}
[ "$stays" = yes ] || exec "$@"
"$@"
exit $?
"""
"""No core dumps, 4 GiB a file (in blocks of 512 bytes), 4096 open files if one may have so many.

Its arguments: options of the overlay or nothing, where to mount it, whether to stay, a command. As root it stays: the
signal that comes when the parent dies is sent with the parent's rights (kernel/exit.c), and the first bubblewrap has
given up its right to end another user's process.
"""
_COUNTED = 'ulimit -u "$1" 2>/dev/null || ulimit -p "$1" 2>/dev/null; shift; exec "$@"'
"""The number of processes is `-u` in bash and `-p` in dash."""


@dataclass(frozen=True)
class Shape:
    """All that a sandbox is made from."""

    template: Template
    workspace: Workspace
    toolchain: Toolchain
    folder: Path
    """The sandbox's own: `channel`, `etc`, `nothing` (an empty file) and `merged` lie in it."""
    command: tuple[str, ...]
    """What runs inside."""
    counted: bool = False
    """Whether a control group counts the processes."""
    caches: Mapping[str, str] | None = None
    """Folder on this machine of every cache, by its name."""
    root: bool = False
    """Whether we are root, so that somebody else has to be the task's user."""


@dataclass(frozen=True)
class Files:
    """Numbers of open files that are passed on."""

    outer: int
    """Arguments of the bubblewrap that puts the file system together."""
    inner: int
    """Arguments of the one that shuts the task in."""


def launch_arguments(shape: Shape, files: Files) -> tuple[str, ...]:
    """What to start; both bubblewraps read their own arguments from a file, so that no process shows them."""
    overlay = shape.workspace.overlay_options() if shape.workspace.kind == "overlay" else ""
    namespaces: tuple[str, ...] = ()
    become: tuple[str, ...] = ()
    if shape.root:
        namespaces = ("bwrap", "--args", str(files.outer), "--")
        # A change of user forgets which signal comes when the parent dies.
        become = ("setpriv", f"--reuid={shape.workspace.uid}", f"--regid={shape.workspace.gid}")
        become = (*become, "--clear-groups", "--pdeathsig", "KILL", "--")
    elif overlay:
        namespaces = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "--")
    merged = f"{_STAGE}/workspace" if shape.root else str(shape.folder / "merged")
    command = shape.command
    if not shape.counted:
        command = ("/bin/sh", "-c", _COUNTED, "sh", str(shape.template.limits.pids), *command)
    return (
        *namespaces,
        *("sh", "-c", SCRIPT, "sh", overlay, merged, "yes" if shape.root else "no"),
        *become,
        *("bwrap", "--args", str(files.inner), "--", *command),
    )


def outer_arguments(shape: Shape) -> tuple[str, ...]:
    """What SCRIPT needs of this machine, the sandbox's file system at /tree, what it may write at /stage. For root."""
    workspace, tmpfs, caches = shape.workspace, shape.template.tmpfs, tuple(_caches(shape))
    if workspace.kind == "overlay":
        places = {str(workspace.checkout): str(workspace.checkout), str(shape.folder): str(shape.folder)}
    else:
        places = {f"{_STAGE}/workspace": str(workspace.changed)}
    places |= {f"{_STAGE}/{name}": source for name, source, _ in caches}
    return (
        *("--die-with-parent", "--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev"),
        *("--symlink", f"{_TREE}/usr", "/usr", *_links("")),
        *_made("/tmp", f"{_STAGE}/workspace"),  # noqa: S108 - bubblewrap's own, inside
        *_tree(shape, _TREE, (*_FOLDERS, *(path.lstrip("/") for path in tmpfs), *(path for _, _, path in caches))),
        *_made(*(str(PurePosixPath(place).parent) for place in places)),
        # One may lie in the other.
        *(word for place in sorted(places, key=len) for word in ("--bind", places[place], place)),
    )


def inner_arguments(shape: Shape, seccomp: int, info: int, gate: int) -> tuple[str, ...]:
    """Everything apart from the host, every right given up."""
    template, workspace = shape.template, shape.workspace
    private = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup")
    staged = ("--ro-bind", _TREE, "/")
    tree = staged if shape.root else tuple(_tree(shape, "", _FOLDERS))
    if shape.root:
        where = f"{_STAGE}/workspace"
    else:
        where = str(shape.folder / "merged" if workspace.kind == "overlay" else workspace.changed)
    return (
        *private,
        *(() if template.network.mode == "bridge" else ("--unshare-net",)),
        *("--uid", str(workspace.uid), "--gid", str(workspace.gid), "--hostname", "sandbox"),
        *("--cap-drop", "ALL", "--new-session", "--seccomp", str(seccomp), "--info-fd", str(info)),
        *("--block-fd", str(gate), "--die-with-parent"),
        *("--clearenv", "--setenv", "PATH", shape.toolchain.path, "--setenv", "HOME", HOME),
        *tree,
        *("--ro-bind" if template.read_only else "--bind", where, workspace.root),
        *("--proc", "/proc", *_devices(template)),
        *_memory(template),
        *_cached(shape),
        *("--remount-ro", "/", "--chdir", "/"),
    )


def base_environment(toolchain: Toolchain) -> dict[str, str]:
    """The environment of every command."""
    base = {"HOME": HOME, "USER": "bot", "LOGNAME": "bot", "LANG": "C.UTF-8", "TERM": "dumb", "TMPDIR": "/tmp"}  # noqa: S108
    return {**base, "PATH": toolchain.path}


def _tree(shape: Shape, prefix: str, folders: Iterable[str]) -> Iterator[str]:
    """What the sandbox sees and can't write, below a folder."""
    workspace, toolchain = shape.workspace, shape.toolchain
    binds = {"/etc": str(shape.folder / "etc")}  # with a place for each mount below it
    binds |= {mount: mount for mount in toolchain.mounts}
    binds |= {"/sbin": "/sbin"} if Path("/sbin").is_dir() and not Path("/sbin").is_symlink() else {}
    binds |= dict.fromkeys(toolchain.hidden, str(shape.folder / "nothing"))
    binds |= {f"{OBJECTS}/{number}": str(folder) for number, folder in enumerate(workspace.objects)}
    binds |= {INSIDE: str(shape.folder / "channel")}
    # Made first: a folder that bubblewrap makes for a mount is nobody else's to enter.
    yield from _made(*(f"{prefix}/{folder}" for folder in folders))
    yield from _made(*(f"{prefix}{PurePosixPath(target).parent}" for target in binds if not _below(target, "/etc")))
    yield from _links(prefix)
    yield from ("--symlink", "../tmp", f"{prefix}/var/tmp")  # noqa: S108 - not the host's
    for target, source in binds.items():
        yield from ("--ro-bind", source, f"{prefix}{target}")


def etc_places(toolchain: Toolchain) -> Iterator[tuple[str, bool]]:
    """(path below /etc, whether it is a folder) of all that is mounted there."""
    for mount in toolchain.mounts:
        if _below(mount, "/etc"):
            yield mount.removeprefix("/etc/"), Path(mount).is_dir()


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _made(*folders: str) -> Iterator[str]:
    for folder in dict.fromkeys(folders):
        if folder.rstrip("/"):
            yield from ("--dir", folder)


def _links(prefix: str) -> Iterator[str]:
    """A merged /usr as this machine has it."""
    for name in (*LINKS, "sbin"):
        if Path(f"/{name}").is_symlink():
            yield from ("--symlink", os.readlink(f"/{name}").lstrip("/"), f"{prefix}/{name}")  # noqa: PTH115


def _devices(template: Template) -> Sequence[str]:
    """Null, zero, full, random, urandom, tty and terminals of its own; nothing else can be put there."""
    shared = min(64, template.limits.memory_mb // 4)
    return ("--dev", "/dev", *_sized("/dev/shm", shared, "1777"), "--remount-ro", "/dev")  # noqa: S108


def _memory(template: Template) -> Iterator[str]:
    scratch = max(16, template.limits.memory_mb // 2)
    modes = {_SCRATCH[0]: (scratch, "1777"), _SCRATCH[1]: (scratch, "0700")}
    modes |= {path: (size, modes.get(path, (0, "0700"))[1]) for path, size in template.tmpfs.items()}
    for path, (size, mode) in modes.items():
        yield from _sized(path, size, mode)


def _sized(path: str, size_mb: int, mode: str) -> tuple[str, ...]:
    return ("--size", str(size_mb * _MIB), "--perms", mode, "--tmpfs", path)


def _caches(shape: Shape) -> Iterator[tuple[str, str, str]]:
    """(name of its place on the stage, folder on this machine, path inside) of every cache that there is."""
    for number, cache in enumerate(shape.template.caches):
        if folder := (shape.caches or {}).get(cache.name):
            yield f"cache{number}", folder, cache.path


def _cached(shape: Shape) -> Iterator[str]:
    writable = {cache.path for cache in shape.template.caches if cache.writable}
    for name, folder, path in _caches(shape):
        yield from ("--dir", str(PurePosixPath(path).parent))
        source = f"{_STAGE}/{name}" if shape.root else folder
        yield from ("--bind" if path in writable else "--ro-bind", source, path)

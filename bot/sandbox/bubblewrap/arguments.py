"""The shape of a sandbox -> the arguments of bubblewrap, and of what comes before it. Pure.

Bubblewrap runs as the task's user, in whose user namespace nobody is anybody else. Where we are root, the file system
has been put together before (see stage.py): the task's user can't look into our folders, and must not.

Source: bwrap(1).
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from bot.sandbox.bubblewrap.tree import HOME, Shape, Tree, tree_of
from bot.types.sandbox import Template

NO_OVERLAY = 97
"""Exit code of SCRIPT: something could not be mounted."""
TREE, STAGE = "/tree", "/stage"
"""Where root has the sandbox's file system, and what the sandbox may write in it."""
_SCRATCH = ("/tmp", HOME)  # noqa: S108 - not the host's

SCRIPT = f"""\
while [ "$1" != -- ]; do
	mount -t overlay -o "$1" overlay "$2" || exit {NO_OVERLAY}
	shift 2
done
shift
exec "$@"
"""
"""Its arguments: options of an overlay and where to mount it, once or several times; `--`; a command."""


def launch_arguments(shape: Shape, words: int) -> tuple[str, ...]:
    """What to start. Bubblewrap reads its arguments from the open file `words`, so that no process shows them."""
    bubblewrap = ("bwrap", "--args", str(words), "--", *shape.command)
    if shape.root:
        # A change of user forgets which signal comes when the parent dies.
        become = ("setpriv", f"--reuid={shape.workspace.uid}", f"--regid={shape.workspace.gid}", "--clear-groups")
        return (*become, "--pdeathsig", "KILL", "--", *bubblewrap)
    overlays = [word for options, place in _overlays(shape) for word in (options, place)]
    if not overlays:
        return bubblewrap
    namespaces = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "--")
    return (*namespaces, "sh", "-c", SCRIPT, "sh", *overlays, "--", *bubblewrap)


def _overlays(shape: Shape) -> Iterator[tuple[str, str]]:
    """(options, folder) of what has to be mounted where we are not root."""
    if shape.workspace_options:
        yield shape.workspace_options, str(shape.folder / "merged")
    for number, cache in enumerate(shape.caches):
        if cache.options:
            yield cache.options, str(view_of(shape, number))


def view_of(shape: Shape, number: int) -> PurePosixPath:
    """Folder on which a cache's overlay is mounted where we are not root."""
    return PurePosixPath(shape.folder) / "views" / str(number) / "merged"


def inner_arguments(shape: Shape, seccomp: int, info: int, gate: int) -> tuple[str, ...]:
    """Everything apart from the host, every right given up."""
    template, workspace = shape.template, shape.workspace
    private = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup")
    return (
        *private,
        *(() if template.network.mode == "bridge" else ("--unshare-net",)),
        *("--uid", str(workspace.uid), "--gid", str(workspace.gid), "--hostname", "sandbox"),
        *("--cap-drop", "ALL", "--new-session", "--seccomp", str(seccomp), "--info-fd", str(info)),
        *("--block-fd", str(gate), "--die-with-parent"),
        *("--clearenv", "--setenv", "PATH", shape.toolchain.path, "--setenv", "HOME", HOME),
        *(("--ro-bind", TREE, "/") if shape.root else _tree(tree_of(shape))),
        *("--ro-bind" if template.read_only else "--bind", _workspace(shape), workspace.root),
        *("--proc", "/proc", *_devices(template)),
        *_memory(template),
        *_cached(shape),
        *("--remount-ro", "/", "--chdir", "/"),
    )


def _workspace(shape: Shape) -> str:
    if shape.root:
        return f"{STAGE}/workspace"
    return str(shape.folder / "merged" if shape.workspace.kind == "overlay" else shape.workspace.changed)


def _tree(tree: Tree) -> Iterator[str]:
    # Made first: a folder that bubblewrap makes for a mount is nobody else's to enter.
    for folder in tree.folders:
        if folder != "/":
            yield from ("--dir", folder)
    for leads, path in tree.links:
        yield from ("--symlink", leads, path)
    for source, path in tree.mounts:
        yield from ("--ro-bind", source, path)


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
    return ("--size", str(size_mb << 20), "--perms", mode, "--tmpfs", path)


def _cached(shape: Shape) -> Iterator[str]:
    for number, cache in enumerate(shape.caches):
        source = cache.source if not cache.options else str(view_of(shape, number))
        if shape.root:
            source = f"{STAGE}/cache{number}"
        yield from ("--dir", str(PurePosixPath(cache.path).parent))
        yield from ("--bind" if cache.writable else "--ro-bind", source, cache.path)


def base_environment(path: str) -> dict[str, str]:
    """The environment of every command."""
    base = {"HOME": HOME, "USER": "bot", "LOGNAME": "bot", "LANG": "C.UTF-8", "TERM": "dumb", "TMPDIR": "/tmp"}  # noqa: S108
    return {**base, "PATH": path}

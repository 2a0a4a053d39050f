"""A checkout's lock files -> folders of downloaded packages that outlive sandboxes, and what points the tools at them.

A cache belongs to one repository and one state of its lock file. A run that a writer of the repository started may
write it, one at a time; everybody else gets a view of it whose writes die with the sandbox. So a stranger's code can't
leave anything there for a later run, and no tool meets a folder that it may not write, at which some (uv) stop.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Self

from bot.errors import SandboxError
from bot.sandbox.checkoutfile import open_inside
from bot.types.sandbox import Cache, Template

HOME = "/home/bot"
_LOCK_BYTES = 64_000_000
"""The largest lock file; a repository with a larger one has no cache."""
_DIGITS = 16
MOST_BYTES = 20_000_000_000
"""What all caches of a machine may take together, looked at when one was written."""
_GONE = ".gone-"
_PATH = "{path}"


@dataclass(frozen=True)
class _Tool:
    """A package manager."""

    name: str
    locks: tuple[str, ...]
    """Files at the top of a checkout that pin what is downloaded; any of them is enough."""
    env: Mapping[str, str]
    """Variables that point it at its cache."""
    offline: Mapping[str, str] = field(default_factory=dict)
    """Variables by which it asks no network for what the cache has."""


_TOOLS = (
    _Tool(
        "pip",
        ("requirements.txt", "requirements-dev.txt", "Pipfile.lock", "pdm.lock"),
        {"PIP_CACHE_DIR": _PATH, "PIPENV_CACHE_DIR": f"{_PATH}/pipenv", "PDM_CACHE_DIR": f"{_PATH}/pdm"},
    ),
    # A cache is another mount than the workspace, so that uv could not link from one to the other.
    _Tool("uv", ("uv.lock",), {"UV_CACHE_DIR": _PATH, "UV_LINK_MODE": "copy"}, {"UV_OFFLINE": "1"}),
    _Tool("poetry", ("poetry.lock",), {"POETRY_CACHE_DIR": _PATH}),
    _Tool(
        "npm",
        ("package-lock.json", "npm-shrinkwrap.json"),
        {"npm_config_cache": _PATH, "npm_config_prefer_offline": "true"},
        {"npm_config_offline": "true"},
    ),
    _Tool(
        "yarn",
        ("yarn.lock",),
        {"YARN_CACHE_FOLDER": _PATH, "YARN_GLOBAL_FOLDER": f"{_PATH}/berry"},
        {"YARN_ENABLE_NETWORK": "0"},
    ),
    _Tool(
        "pnpm",
        ("pnpm-lock.yaml",),
        {"npm_config_store_dir": f"{_PATH}/store", "pnpm_config_store_dir": f"{_PATH}/store"},
        {"npm_config_offline": "true"},
    ),
    _Tool("cargo", ("Cargo.lock",), {"CARGO_HOME": _PATH}, {"CARGO_NET_OFFLINE": "true"}),
    _Tool("go", ("go.sum",), {"GOMODCACHE": _PATH}, {"GOPROXY": "off"}),
    _Tool("nuget", ("packages.lock.json",), {"NUGET_PACKAGES": _PATH}),
    _Tool("maven", ("pom.xml",), {"MAVEN_OPTS": f"-Dmaven.repo.local={_PATH}"}, {"MAVEN_ARGS": "--offline"}),
    _Tool(
        "gradle",
        ("gradle.lockfile", "gradle/verification-metadata.xml", "build.gradle", "build.gradle.kts"),
        {"GRADLE_USER_HOME": _PATH},
    ),
    _Tool("bundler", ("Gemfile.lock",), {"BUNDLE_USER_CACHE": _PATH, "BUNDLE_GLOBAL_GEM_CACHE": "true"}),
)


def caches_of(checkout: Path, *, trusted: bool, scope: str, home: str = HOME) -> tuple[Cache, ...]:
    """Caches for what the checkout locks. `trusted`: a writer started the run, on the repository's own code.

    `scope` names the repository, by an id that no other one gets: a fork has the same lock files and another owner.
    """
    found = []
    for tool in _TOOLS:
        digest = _digest(checkout, tool, scope)
        if digest is not None:
            # Right below the home, for the engine makes folders on the way to a mount as root's.
            path = f"{home}/.{tool.name}-cache"
            found.append(Cache(name=f"{tool.name}-{digest[:_DIGITS]}", path=path, writable=trusted))
    return tuple(found)


def _digest(checkout: Path, tool: _Tool, scope: str) -> str | None:
    """None when the checkout has no lock file of this tool's."""
    digest, locks = hashlib.sha256(f"{scope}\0{tool.name}\0".encode()), 0
    for name in tool.locks:
        opened = open_inside(checkout, name)
        if opened is None:
            continue
        with opened as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > _LOCK_BYTES:
                return None
            digest.update(f"{name}\0{size}\0".encode())
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        locks += 1
    return digest.hexdigest() if locks else None


def cache_env(caches: Sequence[Cache], *, offline: bool = False) -> dict[str, str]:
    """Environment of every command. `offline` (a sandbox without a network): what is cached is used unasked.

    pip, poetry, NuGet, Gradle and Bundler have no such variable: pip can't do without its index at all.
    """
    tools = {tool.name: tool for tool in _TOOLS}
    env: dict[str, str] = {}
    for cache in caches:
        tool = tools.get(cache.name.rpartition("-")[0])
        if tool is not None:
            env |= {name: value.replace(_PATH, cache.path) for name, value in tool.env.items()}
            env |= tool.offline if offline else {}
    return env


@dataclass(frozen=True)
class OpenCache:
    """A cache in use, until it is closed or the process ends; close it when the sandbox is gone."""

    cache: Cache
    folder: Path
    """What is mounted at the cache's path."""
    mode: Literal["write", "view"]
    """`write`: mounted as it is. `view`: through `view_options`, or read-only where no overlay can be mounted."""
    _locks: tuple[int, ...]

    @classmethod
    def open(cls, root: Path, cache: Cache, *, uid: int, gid: int) -> Self:
        """The folder below `root`, made where there is none, owned by the task's user.

        Raises SandboxError `cache_failed`. A cache has one writer at a time, as Gradle, Maven and NuGet don't know of
        those in other sandboxes: the next one gets a view.
        """
        folder = root / cache.name
        locks: list[int] = []
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            locks.append(_use(folder))
            (folder / "data").mkdir(exist_ok=True)
            if (folder / "data").stat().st_uid != uid:
                os.chown(folder / "data", uid, gid)
            writer = _lock(folder / "writer", fcntl.LOCK_EX) if cache.writable else None
            locks += [] if writer is None else [writer]
            os.utime(folder / "used")
        except OSError as error:
            for lock in locks:
                os.close(lock)
            raise SandboxError(
                "cache_failed",
                f"the cache {cache.name} can't be used: {error}",
                hint=f"see who owns {root}; `sandpiper sandbox cache clear` starts anew",
            ) from error
        return cls(cache, folder / "data", "view" if writer is None else "write", tuple(locks))

    def close(self) -> None:
        """Let others write and clear it. Once."""
        for lock in self._locks:
            os.close(lock)


@dataclass(frozen=True)
class OpenCaches:
    """All caches of one sandbox, until they are closed."""

    each: tuple[OpenCache, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """For every command."""

    @property
    def written(self) -> bool:
        """Whether the sandbox could add to one of them."""
        return any(each.mode == "write" for each in self.each)

    def close(self) -> None:
        """When the sandbox is gone."""
        for each in self.each:
            each.close()


def open_caches(root: Path, template: Template, *, uid: int, gid: int) -> OpenCaches:
    """Those that a template names and those of what its checkout locks. Raises SandboxError: then none is open."""
    caches = template.caches
    if template.cache_scope and template.checkout:
        caches += caches_of(Path(template.checkout), trusted=template.trusted, scope=template.cache_scope)
    with contextlib.ExitStack() as undo:
        opened = []
        for cache in caches:
            opened.append(OpenCache.open(root, cache, uid=uid, gid=gid))
            undo.callback(opened[-1].close)
        undo.pop_all()
    env = cache_env(caches, offline=template.network.mode in ("none", "isolated"))
    return OpenCaches(tuple(opened), env)


def _use(folder: Path) -> int:
    """Make the folder and hold it, so that it is not cleared."""
    while True:
        with contextlib.suppress(FileExistsError):  # it was there, and was cleared before it could be looked at
            folder.mkdir(mode=0o711, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # cleared between two of these lines
            lock = _lock(folder / "used", fcntl.LOCK_SH)
            if lock is not None:
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lock), (folder / "used").stat()):
                        return lock
                os.close(lock)
        time.sleep(0.01)


def _lock(file: Path, kind: int) -> int | None:
    """A descriptor that holds the lock; None when somebody else does."""
    opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(opened, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    return opened


def view_options(folder: Path, private: Path, *, uid: int, gid: int) -> str | None:
    """Options of an overlay mount: the cache below, and on top what the sandbox writes, in `private`, made here.

    None when a path can't stand in mount options: then the cache is mounted read-only. Someone may write the cache
    meanwhile, whose files the view may or may not see.
    """
    if any(char in ':,\\"' or char.isspace() for char in f"{folder}{private}"):
        return None
    for name in ("upper", "work"):
        (private / name).mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(private / name, uid, gid)
    return f"lowerdir={folder},upperdir={private}/upper,workdir={private}/work,nosuid,nodev"


@dataclass(frozen=True)
class StoredCache:
    """A cache that lies on this machine."""

    name: str
    bytes: int
    """On the disk."""
    used_at: datetime
    """When a sandbox had it last."""


def stored(root: Path) -> tuple[StoredCache, ...]:
    """All of them, the one that was used longest ago first."""
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        with contextlib.suppress(OSError):  # it is being made, or being cleared
            used = datetime.fromtimestamp((folder / "used").stat().st_mtime, UTC)
            if not folder.name.startswith(_GONE):
                found.append(StoredCache(folder.name, _size(folder / "data"), used))
    return tuple(sorted(found, key=lambda each: each.used_at))


def clear(root: Path, *, older_than: timedelta = timedelta(0), now: datetime | None = None) -> tuple[str, ...]:
    """Remove caches that nobody used for so long, and leftovers of earlier removals; one in use stays. Their names."""
    before = (now or datetime.now(UTC)) - older_than
    gone = tuple(each.name for each in stored(root) if each.used_at <= before and _remove(root / each.name))
    for leftover in root.glob(f"{_GONE}*"):
        _rm(leftover)
    return gone


def trim(root: Path, max_bytes: int = MOST_BYTES) -> tuple[str, ...]:
    """Remove caches until all together have no more bytes, those first that were used longest ago. Their names."""
    caches = stored(root)
    total, gone = sum(each.bytes for each in caches), []
    for each in caches:
        if total <= max_bytes:
            break
        if _remove(root / each.name):
            total -= each.bytes
            gone.append(each.name)
    return tuple(gone)


def _remove(folder: Path) -> bool:
    """Whether it went; one that a sandbox has does not."""
    try:
        lock = _lock(folder / "used", fcntl.LOCK_EX)
    except OSError:
        return False
    if lock is None:
        return False
    try:
        doomed = folder.with_name(f"{_GONE}{secrets.token_hex(8)}")
        folder.rename(doomed)  # so that the next sandbox can make a new one at once
    except OSError:
        return False
    finally:
        os.close(lock)
    _rm(doomed)
    return True


def _rm(folder: Path) -> None:
    # Go makes its folders read-only. Neither program follows a link, nor has a limit of depth.
    for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf", "--one-file-system"]):
        subprocess.run([*command, "--", str(folder)], capture_output=True, check=False)


def _size(folder: Path) -> int:
    return sum(_blocks(folder)) * 512


def _blocks(folder: Path) -> Iterator[int]:
    """Of everything below, no link followed; what can't be looked at counts nothing."""
    folders = [os.fspath(folder)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                yield entry.stat(follow_symlinks=False).st_blocks
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)

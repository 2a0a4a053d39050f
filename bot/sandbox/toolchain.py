"""This machine's PATH -> the folders that make up its toolchain, mounted read-only into sandboxes of `image: host`.

The sandbox has exactly the tools that were set up on the machine, and of /etc only what programs can't run without.
/home and /root stay empty but for the language roots that PATH names.
"""

import os
import stat
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LINKS = ("bin", "lib", "lib32", "lib64", "libx32")
"""What a merged /usr has links for."""
_ETC = ("alternatives", "ld.so.cache", "ssl/certs", "ssl/openssl.cnf")
_SYSTEM = tuple(f"/{folder}" for folder in ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"))
_HOMES = (Path("/home"), Path("/root"))
_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "": ("pip.conf",),
    "etc": ("pip.conf", "npmrc", "gitconfig"),
    "lib/node_modules/npm": ("npmrc",),
    "bundle": ("config",),
    "cargo": ("config.toml", "config", "credentials.toml", "credentials"),
}
"""Where tools keep, below the folder that they are installed in, which registry they use and the password for it."""
_CACHE_DEPTH = 3
"""Folders between the tool cache and a tool: its name, its version, its architecture."""
_CACHE_FOLDERS = 2_000
"""Folders of the tool cache that are looked into."""
_SETTLED = 50_000_000
"""Nanoseconds after which a folder's time surely tells a change: file systems' clocks tick slower than ours."""
_VERSIONED = ("shims", "versions", "version")
"""pyenv, rbenv and nodenv: `shims` on PATH find the tools of the versions named in `version` below `versions`."""


@dataclass(frozen=True)
class Toolchain:
    """What of the machine a sandbox sees."""

    path: str
    """PATH inside: the machine's, without what is not mounted."""
    mounts: tuple[str, ...]
    """Files and folders, mounted read-only at their own path."""
    hidden: tuple[str, ...] = ()
    """Files in them that may hold a password; without a network nobody misses them."""


class Toolchains:
    """The machine's tools, looked for again only when something that they were found from has changed.

    One for each provider. Asked at every start of a sandbox, which it must not make slower.
    """

    def __init__(self) -> None:
        self._known: tuple[_Key, _Stamps, Toolchain] | None = None

    def of(self, environ: Mapping[str, str]) -> Toolchain:
        """As `host_toolchain`. Safe from several threads."""
        key = tuple(environ.get(name) for name in ("PATH", "HOME", "RUNNER_TOOL_CACHE"))
        known = self._known
        if known and known[0] == key and all(_stamp(path) == stamp for path, stamp in known[1].items()):
            return known[2]
        asked: _Stamps = {}
        toolchain = _find(environ, asked)
        newest = max((stamp[2] for stamp in asked.values() if stamp), default=0)
        settled = newest < time.time_ns() - _SETTLED
        self._known = (key, asked, toolchain) if settled else None
        return toolchain


_Key = tuple[str | None, ...]
_Stamp = tuple[int, int, int] | None
_Stamps = dict[str, _Stamp]


def _stamp(path: str) -> _Stamp:
    """What changes when another file has this name, or a folder gets or loses an entry; None if there is nothing."""
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time of Path's, hundreds of times at every start
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def host_toolchain(environ: Mapping[str, str]) -> Toolchain:
    """The machine's tools, as its PATH names them."""
    return _find(environ, {})


def _find(environ: Mapping[str, str], asked: _Stamps) -> Toolchain:
    """The tools; `asked` gets a stamp of everything that the answer depends on, taken before it was looked at."""
    mounts = ["/usr", *(f"/etc/{name}" for name in _ETC)]
    mounts += [f"/{name}" for name in LINKS if Path(f"/{name}").is_dir() and not Path(f"/{name}").is_symlink()]
    home = Path(environ.get("HOME", "/nonexistent"))
    cache = Path(environ.get("RUNNER_TOOL_CACHE") or "/opt/hostedtoolcache")
    path = environ.get("PATH", "").split(":")
    asked.update((each, _stamp(each)) for each in _witnesses(path, home))
    if cache.is_absolute() and not home.is_relative_to(cache):
        mounts.append(str(cache))  # set-up actions put languages there, and nothing else
    entries: list[str] = []
    for entry in path:
        try:
            found = [(entry, str(cache))] if _inside(entry, cache, home) else list(_tools(entry, home))
        except PermissionError:  # somebody else's, who may be on PATH all the same
            continue
        for folder, root in found:
            entries.append(folder)
            mounts.append(root)
    entries += _SYSTEM
    asked.update((each, _stamp(each)) for each in mounts)
    present = [mount for mount in dict.fromkeys(mounts) if Path(mount).exists() and ":" not in mount]
    roots = tuple(_outermost(present))
    installed = [*roots, "/usr/local"]
    if str(cache) in roots:
        installed += _folders(str(cache), asked)
    hidden = sorted(set(_passwords(installed, roots, asked)))
    return Toolchain(":".join(dict.fromkeys(entries)), roots, tuple(hidden))


def _witnesses(path: Sequence[str], home: Path) -> Iterator[str]:
    """What `_tools` looks at to judge the entries of PATH."""
    yield from (f"/{name}" for name in LINKS)
    yield from (str(home / ".rustup" / name) for name in ("settings.toml", "toolchains"))
    for entry in path:
        parent = os.path.dirname(entry)  # noqa: PTH120 - of a text that may be no path at all
        yield from (entry, f"{entry}/python", f"{parent}/pyvenv.cfg", f"{parent}/versions", f"{parent}/version")


def _folders(cache: str, asked: _Stamps) -> list[str]:
    """Folders of the tool cache in which a tool may be installed, down to where set-up actions put them."""
    found: list[str] = []
    level = [cache]
    for _ in range(_CACHE_DEPTH):
        below: list[str] = []
        for folder in level:
            asked[folder] = _stamp(folder)
            try:
                with os.scandir(folder) as entries:
                    below += [each.path for each in entries if each.is_dir(follow_symlinks=False)]
            except OSError:  # nobody who may not look inside can have a password from there either
                continue
        level = sorted(below)[: _CACHE_FOLDERS - len(found)]
        found += level
    return found


def _passwords(installed: Sequence[str], roots: Sequence[str], asked: _Stamps) -> Iterator[str]:
    """Files of `installed` in which a tool keeps its registry, as far as they are mounted."""
    for root in installed:
        for below, names in _SETTINGS.items():
            folder = _deepest(root, below, asked)
            for name in names if folder else ():
                if (mode := _mode(f"{folder}/{name}")) is None:
                    continue
                if stat.S_ISLNK(mode):  # its end may come and go without a trace in this folder
                    asked[f"{folder}/{name}"] = _stamp(f"{folder}/{name}")
                file = Path(f"{folder}/{name}").resolve()  # a link is mounted over where it leads
                # os.path, because Path raises for what may not be looked at.
                if os.path.isfile(file) and any(file.is_relative_to(each) for each in roots):  # noqa: PTH113
                    yield str(file)


def _deepest(root: str, below: str, asked: _Stamps) -> str | None:
    """The folder `below` a root; None if it is not there, which the last folder on the way to it will tell."""
    folder = root
    for part in ("", *filter(None, below.split("/"))):
        folder = f"{folder}/{part}" if part else folder
        stamp = asked[folder] if folder in asked else _stamp(folder)
        if stamp is not None or _mode(folder) is not None:
            asked[folder] = stamp
        if stamp is None:
            return None
    return folder


def _mode(path: str) -> int | None:
    try:
        return os.lstat(path).st_mode
    except (OSError, ValueError):
        return None


def _inside(entry: str, cache: Path, home: Path) -> bool:
    folder = Path(entry)
    return folder.is_relative_to(cache) and ".." not in folder.parts and not home.is_relative_to(cache)


def _tools(entry: str, home: Path) -> Iterator[tuple[str, str]]:
    """(folder for PATH, root to mount) of one entry of PATH; nothing when its root may hold more than tools."""
    folder = Path(entry)
    if not folder.is_absolute() or ".." in folder.parts or not folder.is_dir():
        return
    if entry in _SYSTEM or folder.parts[1] == "usr":
        yield entry, "/usr"
    elif folder.name == _VERSIONED[0] and (folder.parent / _VERSIONED[1]).is_dir():
        for version in _chosen(folder.parent / _VERSIONED[2]):
            root = folder.parent / _VERSIONED[1] / version
            if (root / "bin").is_dir():
                yield str(root / "bin"), str(root)
    elif folder.match("*/.cargo/bin"):
        # rustup's proxies need rustup's own folder; the toolchain behind them needs nothing.
        root = home / ".rustup" / "toolchains" / _rust_toolchain(home / ".rustup" / "settings.toml")
        if (root / "bin").is_dir():
            yield str(root / "bin"), str(root)
    elif (folder.parent / "pyvenv.cfg").is_file():
        yield entry, str(folder.parent)
        base = (folder / "python").resolve().parent.parent  # the interpreter that the environment was made from
        if base.parts[1:2] != ("usr",) and (not _private(base) or "versions" in base.parts):
            yield entry, str(base)
    elif folder.name == "bin" and "versions" in folder.parts:  # nvm, asdf, pyenv: one version of one language
        yield entry, str(folder.parent)
    elif folder.parts[1] == "opt" and len(folder.parts) > 2:
        yield entry, str(folder.parent if folder.name == "bin" and len(folder.parts) > 3 else folder)


def _chosen(file: Path) -> tuple[str, ...]:
    """Names of the versions that are active everywhere on the machine."""
    try:
        return tuple(word for word in file.read_text().split() if "/" not in word and word not in (".", ".."))
    except (OSError, UnicodeDecodeError):
        return ()


def _rust_toolchain(settings: Path) -> str:
    try:
        name = str(tomllib.loads(settings.read_text()).get("default_toolchain", ""))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return "none"
    return name if name and "/" not in name and name not in (".", "..") else "none"


def _private(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in _HOMES)


def _outermost(mounts: list[str]) -> Iterator[str]:
    for mount in mounts:
        if not any(mount != other and Path(mount).is_relative_to(other) for other in mounts):
            yield mount

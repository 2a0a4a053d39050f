"""This machine's PATH -> the folders that make up its toolchain, mounted read-only into sandboxes of `image: host`.

The sandbox has exactly the tools that were set up on the machine, and of /etc only what programs can't run without.
/home and /root stay empty but for the language roots that PATH names.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LINKS = ("bin", "lib", "lib32", "lib64", "libx32")
"""What a merged /usr has links for."""
_ETC = ("alternatives", "ld.so.cache", "ssl/certs", "ssl/openssl.cnf")
_SYSTEM = tuple(f"/{folder}" for folder in ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"))
_HOMES = (Path("/home"), Path("/root"))
_SETTINGS = (
    *("pip.conf", "etc/pip.conf", "etc/npmrc", "etc/gitconfig", "lib/node_modules/npm/npmrc", "bundle/config"),
    *("cargo/config.toml", "cargo/config", "cargo/credentials.toml", "cargo/credentials"),
)
"""Where tools keep, below the folder that they are installed in, which registry they use and the password for it."""
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


def host_toolchain(environ: Mapping[str, str]) -> Toolchain:
    """The machine's tools, as its PATH names them."""
    mounts = ["/usr", *(f"/etc/{name}" for name in _ETC)]
    mounts += [f"/{name}" for name in LINKS if Path(f"/{name}").is_dir() and not Path(f"/{name}").is_symlink()]
    home = Path(environ.get("HOME", "/nonexistent"))
    cache = Path(environ.get("RUNNER_TOOL_CACHE") or "/opt/hostedtoolcache")
    if cache.is_absolute() and not home.is_relative_to(cache):
        mounts.append(str(cache))  # set-up actions put languages there, and nothing else
    entries: list[str] = []
    for entry in environ.get("PATH", "").split(":"):
        try:
            found = [(entry, str(cache))] if _inside(entry, cache, home) else list(_tools(entry, home))
        except PermissionError:  # somebody else's, who may be on PATH all the same
            continue
        for folder, root in found:
            entries.append(folder)
            mounts.append(root)
    entries += _SYSTEM
    present = [mount for mount in dict.fromkeys(mounts) if Path(mount).exists() and ":" not in mount]
    roots = tuple(_outermost(present))
    return Toolchain(":".join(dict.fromkeys(entries)), roots, tuple(sorted(set(_passwords(roots)))))


def _passwords(roots: Sequence[str]) -> Iterator[str]:
    for root in (*roots, "/usr/local"):
        for name in _SETTINGS:
            file = (Path(root) / name).resolve()  # a link is mounted over where it leads
            # os.path, because Path raises for what may not be looked at.
            if os.path.isfile(file) and any(file.is_relative_to(each) for each in roots):  # noqa: PTH113
                yield str(file)


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

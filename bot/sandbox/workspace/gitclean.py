"""A checkout -> what must be hidden or replaced so that the sandbox sees its history and no credential.

Git's own folder goes through an allow-list: what carries history stays, everything else (hooks, credentials, reflogs
with URLs, worktrees, settings of other tools) is hidden, and the configuration is written anew.
"""

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pydantic import BeforeValidator, ConfigDict, PlainSerializer

from bot.sandbox.workspace.gitindex import Tracked, git_folder

OBJECTS = "/git-objects"
"""Where object folders that lie outside of the checkout are mounted."""
_KEPT = {
    *(
        "HEAD",
        "ORIG_HEAD",
        "MERGE_HEAD",
        "index",
        "objects",
        "refs",
        "packed-refs",
        "reftable",
        "shallow",
        "description",
    ),
}
_KEPT_INFO = {"exclude", "attributes", "sparse-checkout", "refs", "grafts"}
_CREDENTIALS = re.compile(
    r"\.netrc|_netrc|\.git-credentials|\.pypirc|\.npmrc|\.yarnrc\.yml|\.env|\.env\..*|\.dockercfg|\.vault-token|\.gitconfig"
    r"|\.pgpass|\.my\.cnf|\.boto|\.s3cfg|\.terraformrc|gha-creds-.*\.json|id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?",
    re.DOTALL,
)
"""Files that people and workflow steps leave in a checkout; hidden unless git tracks them (then they are public)."""
_BEGINNINGS = (".", "_", "gha-creds-", "id_")
"""Of their names: most files have none of these."""
_REPOSITORY = ("HEAD", "config", "objects", "refs")
"""What a folder holds that is a repository by another name."""
_IN_FOLDER = {
    ".docker": ("config.json",),
    "gh": ("hosts.yml", "config.yml"),
    "git": ("credentials", "config"),
    ".aws": ("credentials", "config"),
    ".kube": ("config",),
    ".cargo": ("credentials", "credentials.toml"),
    ".gem": ("credentials",),
    ".bundle": ("config",),
    ".m2": ("settings.xml", "settings-security.xml"),
    ".gradle": ("gradle.properties",),
}
"""Likewise, by the folder that they lie in."""
_PRIVATE = frozenset((".ssh", ".gnupg", ".azure"))
"""Folders whose every file is one."""
_DEPTH = 4
"""Slashes in the name of a submodule."""
_SETTING = re.compile(
    r"^\s*(?:\[\s*(?P<section>[A-Za-z]+)\s*\]\s*)?(?:(?P<key>[A-Za-z]+)\s*=\s*(?P<value>[A-Za-z0-9]+)\s*)?$"
)
_CONFIG = {
    "core": ("repositoryformatversion", "filemode", "ignorecase", "symlinks", "precomposeunicode"),
    "extensions": ("objectformat", "refstorage"),
}


PathText = Annotated[
    str,
    PlainSerializer(lambda path: quote_from_bytes(os.fsencode(path)), when_used="json"),
    BeforeValidator(lambda text: os.fsdecode(unquote_to_bytes(text))),
]
"""A path that may be written down as JSON, whatever bytes it is made of."""


@dataclass
class Cleaning:
    """What to change, by path relative to the checkout."""

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    files: dict[PathText, bytes] = field(default_factory=dict)
    """Contents that replace or add a file."""
    folders: list[PathText] = field(default_factory=list)
    """Folders that have to exist."""
    hidden: list[PathText] = field(default_factory=list)
    """Paths that must not be seen."""
    bare: list[PathText] = field(default_factory=list)
    """Folders that are repositories by another name than `.git`."""
    objects: list[Path] = field(default_factory=list)
    """Object folders outside of the checkout; the n-th is mounted at OBJECTS/n."""


def plan(checkout: Path, tracked: Callable[[], Tracked | None], *, pristine: bool = False) -> Cleaning:
    """Look at a checkout, change nothing.

    `pristine`: nothing but what git tracks lies in it, for sure. Without that every folder has to be looked through.
    """
    cleaning = Cleaning()
    folder, entry = git_folder(checkout), checkout / ".git"
    if folder == entry:
        _git(cleaning, entry, ".git")
    elif folder is not None:
        _worktree(cleaning, folder)
    elif entry.is_symlink() or entry.exists():
        cleaning.hidden.append(".git")
    if not pristine:
        suspects = list(_search(cleaning, checkout))
        known = tracked() if suspects else None
        cleaning.hidden += sorted(path for path in suspects if known is None or os.fsencode(path) not in known)
        for path in sorted(cleaning.bare):
            if known is None or os.fsencode(f"{path}/config") not in known:
                _git(cleaning, checkout / path, path)
    return cleaning


def _search(cleaning: Cleaning, checkout: Path) -> Iterator[str]:
    """Repositories below the checkout are cleaned; files that look like credentials are given back."""
    folders = [""]
    while folders:
        prefix = folders.pop()
        try:
            entries = os.scandir(checkout / prefix)
        except (PermissionError, FileNotFoundError):  # what we can't read, the sandbox's user can't either
            continue
        with entries:
            yield from _look(cleaning, checkout, prefix, entries, folders)


def _look(
    cleaning: Cleaning, checkout: Path, prefix: str, entries: Iterator[os.DirEntry[str]], folders: list[str]
) -> Iterator[str]:
    here = prefix.rstrip("/").rpartition("/")[2]
    inner, private, repository = _IN_FOLDER.get(here, ()), here in _PRIVATE, set(_REPOSITORY)
    for entry in entries:
        name = entry.name
        if entry.is_dir(follow_symlinks=False):
            if name != ".git":
                folders.append(f"{prefix}{name}/")
            elif prefix:
                _git(cleaning, checkout / prefix / ".git", f"{prefix}.git")
        elif private or name in inner or (name.startswith(_BEGINNINGS) and _CREDENTIALS.fullmatch(name)):
            yield prefix + name
        repository.discard(name)
    if prefix and not repository:
        cleaning.bare.append(prefix[:-1])


def _git(cleaning: Cleaning, folder: Path, prefix: str) -> None:
    """A repository's own folder, and those of its submodules."""
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        path = f"{prefix}/{entry.name}"
        if entry.name == "modules" and entry.is_dir(follow_symlinks=False):
            _modules(cleaning, Path(entry.path), path, depth=0)
        elif entry.name == "info" and entry.is_dir(follow_symlinks=False):
            cleaning.hidden += [f"{path}/{name}" for name in sorted(os.listdir(entry.path)) if name not in _KEPT_INFO]  # noqa: PTH208
        elif entry.name not in _KEPT and not entry.name.startswith("sharedindex.") and entry.name != "config":
            cleaning.hidden.append(path)
    cleaning.files[f"{prefix}/config"] = _config(folder / "config")
    if (folder / "objects" / "info" / "alternates").is_file():
        _alternates(cleaning, f"{prefix}/objects/info/alternates", _foreign(folder / "objects"))


def _modules(cleaning: Cleaning, folder: Path, prefix: str, depth: int) -> None:
    """`modules` holds repositories, by names that may contain slashes."""
    if (folder / "HEAD").is_file():
        _git(cleaning, folder, prefix)
    elif depth > _DEPTH:
        cleaning.hidden.append(prefix)
    else:
        for entry in sorted(os.scandir(folder), key=lambda each: each.name):
            if entry.is_dir(follow_symlinks=False):
                _modules(cleaning, Path(entry.path), f"{prefix}/{entry.name}", depth + 1)
            else:
                cleaning.hidden.append(f"{prefix}/{entry.name}")


def _worktree(cleaning: Cleaning, folder: Path) -> None:
    """A linked worktree, whose history lies elsewhere: a repository of its own that borrows the objects."""
    common = folder
    with contextlib.suppress(OSError):
        common = folder / (folder / "commondir").read_text().strip()
    cleaning.hidden.append(".git")
    cleaning.folders += [".git/refs/heads", ".git/objects/info"]
    for name, source in (("HEAD", folder), ("index", folder), ("packed-refs", common), ("shallow", common)):
        if (source / name).is_file():
            cleaning.files[f".git/{name}"] = (source / name).read_bytes()
    for file in sorted((common / "refs").rglob("*")):
        if file.is_file() and not file.is_symlink():
            cleaning.files[f".git/refs/{file.relative_to(common / 'refs').as_posix()}"] = file.read_bytes()
    cleaning.files[".git/config"] = _config(common / "config")
    _alternates(cleaning, ".git/objects/info/alternates", [common / "objects", *_foreign(common / "objects")])


def _alternates(cleaning: Cleaning, path: str, folders: list[Path]) -> None:
    lines = []
    for folder in folders:
        if folder not in cleaning.objects:
            cleaning.objects.append(folder)
        lines.append(f"{OBJECTS}/{cleaning.objects.index(folder)}\n")
    cleaning.files[path] = "".join(lines).encode()


def _foreign(objects: Path) -> list[Path]:
    """Object folders that an object folder borrows from, directly or through others (git follows five)."""
    found: list[Path] = []
    queue = [objects]
    for _ in range(16):
        if not queue:
            break
        current = queue.pop(0)
        with contextlib.suppress(OSError):
            for line in (current / "info" / "alternates").read_bytes().splitlines():
                target = (current / os.fsdecode(line)).resolve()
                if line and not line.startswith(b"#") and target.is_dir() and target not in found:
                    found.append(target)
                    queue.append(target)
    return found


def _config(file: Path) -> bytes:
    """The settings without which git can't read the repository; no remote, include, helper, filter or hook."""
    kept: dict[str, dict[str, str]] = {"core": {"repositoryformatversion": "0"}}
    section = ""
    with contextlib.suppress(OSError):
        for line in file.read_bytes().decode("utf-8", "replace").splitlines():
            match = _SETTING.match(line)
            section = (match["section"] or section).lower() if match else ("" if "[" in line else section)
            if match and match["key"] and match["key"].lower() in _CONFIG.get(section, ()):
                kept.setdefault(section, {})[match["key"].lower()] = match["value"]
    kept["core"]["bare"] = "false"
    kept["gc"] = {"auto": "0"}
    return "".join(
        f"[{name}]\n" + "".join(f"\t{k} = {v}\n" for k, v in each.items()) for name, each in kept.items()
    ).encode()


def clean_layer(cleaning: Cleaning, layer: Path, checkout: Path) -> None:
    """Make the overlay's layer that lies on top of the checkout: a whiteout for everything hidden."""
    first: Path | None = None
    for path in cleaning.hidden:
        if not any(file.startswith(f"{path}/") for file in cleaning.files):
            (layer / path).parent.mkdir(parents=True, exist_ok=True)
            if first is None or not _linked(first, layer / path):
                _whiteout(layer / path, checkout / path)
                first = layer / path
    _write(cleaning, layer)


def clean_copy(cleaning: Cleaning, copy: Path) -> None:
    """The same in a copy of the checkout, by removing."""
    for path in cleaning.hidden:
        target = copy / path
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
    _write(cleaning, copy)


def _write(cleaning: Cleaning, root: Path) -> None:
    for path in cleaning.folders:
        (root / path).mkdir(parents=True, exist_ok=True)
    for path, data in cleaning.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).unlink(missing_ok=True)
        (root / path).write_bytes(data)
        (root / path).chmod(0o644)


def _linked(whiteout: Path, path: Path) -> bool:
    """One whiteout is as good as another, and a link is cheaper than a device."""
    try:
        if stat.S_ISCHR(whiteout.lstat().st_mode):
            os.link(whiteout, path, follow_symlinks=False)
            return True
    except OSError:  # a file can't have that many names
        pass
    return False


def _whiteout(path: Path, source: Path) -> None:
    """Hide a path of the layer below; by empty files where the kernel (< 5.8) gives whiteouts to root only."""
    try:
        os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
    except PermissionError:
        for relative in _files(source):
            (path / relative).parent.mkdir(parents=True, exist_ok=True)
            (path / relative).write_bytes(b"")


def _files(source: Path) -> Iterator[str]:
    if source.is_dir() and not source.is_symlink():
        yield from (file.relative_to(source).as_posix() for file in source.rglob("*") if not file.is_dir())
    else:
        yield "."

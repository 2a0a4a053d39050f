"""Git objects and refs of one bare repository: bytes in, SHA-1 out, written as loose objects without forking git."""

import hashlib
import os
import re
import subprocess
import zlib
from pathlib import Path

CONFIG = """[core]
\trepositoryformatversion = 0
\tbare = true
[gc]
\tauto = 0
[receive]
\tautogc = false
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
"""
SHA = re.compile(r"[0-9a-f]{40}")
BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|\.$|/$|^-|/-")
CACHED = 256 * 1024


class GitStore:
    """A bare repository on disk; its lifetime is that of the folder."""

    def __init__(self, path: Path, default_branch: str, shared: "GitStore | None" = None) -> None:
        """`shared`: the repository that this one is a fork of; a network shares its objects, as on GitHub."""
        self.path = path
        self.cache: dict[str, tuple[str, bytes]] = {} if shared is None else shared.cache
        for folder in ("refs/heads", "refs/tags", "info"):
            (path / folder).mkdir(parents=True)
        (path / "HEAD").write_text(f"ref: refs/heads/{default_branch}\n")
        (path / "config").write_text(CONFIG)
        if shared is None:
            (path / "objects" / "info").mkdir(parents=True)
            (path / "objects" / "pack").mkdir()
        else:
            (path / "objects").symlink_to((shared.path / "objects").resolve(), target_is_directory=True)

    def write(self, kind: str, data: bytes) -> str:
        """Store an object, return its name."""
        raw = f"{kind} {len(data)}\0".encode() + data
        sha = hashlib.sha1(raw).hexdigest()
        target = self.path / "objects" / sha[:2] / sha[2:]
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            partial = target.with_name(f"{target.name}.{os.getpid()}.{id(raw)}")
            partial.write_bytes(zlib.compress(raw, 1))
            partial.rename(target)
        if len(data) <= CACHED:
            self.cache[sha] = (kind, data)
        return sha

    def read(self, sha: str) -> tuple[str, bytes]:
        """Kind and content; KeyError when there is no such object."""
        if sha in self.cache:
            return self.cache[sha]
        if not SHA.fullmatch(sha):
            raise KeyError(sha)
        try:
            raw = zlib.decompress((self.path / "objects" / sha[:2] / sha[2:]).read_bytes())
            header, _, data = raw.partition(b"\0")
            found = (header.split()[0].decode(), data)
        except FileNotFoundError:
            found = self._packed(sha)
        if len(found[1]) <= CACHED:
            self.cache[sha] = found
        return found

    def _packed(self, sha: str) -> tuple[str, bytes]:
        """An object that a push left in a pack."""
        out = self.git("cat-file", "--batch", stdin=f"{sha}\n".encode())
        header, _, rest = out.partition(b"\n")
        words = header.split()
        if len(words) != 3:
            raise KeyError(sha)
        return words[1].decode(), rest[: int(words[2])]

    def has(self, sha: str, kind: str | None = None) -> bool:
        """Whether the object is there (and of that kind)."""
        try:
            found, _ = self.read(sha)
        except KeyError:
            return False
        return kind in (None, found)

    def refs(self, prefix: str = "refs/") -> dict[str, str]:
        """Name -> SHA of the refs whose full name starts so, sorted."""
        found: dict[str, str] = {}
        packed = self.path / "packed-refs"
        if packed.exists():
            rows = (line.split() for line in packed.read_text().splitlines() if line[:1] not in ("#", "^"))
            found = {name: sha for sha, name in rows}
        for folder, _, names in os.walk(self.path / "refs"):
            for name in names:
                file = Path(folder, name)
                found[file.relative_to(self.path).as_posix()] = file.read_text().strip()
        return {name: found[name] for name in sorted(found) if name.startswith(prefix)}

    def ref(self, name: str) -> str | None:
        """SHA of one ref by its full name."""
        file = self.path / name
        if name.startswith("refs/") and valid_ref(name) and file.is_file():
            return file.read_text().strip()
        return self.refs().get(name)

    def set_ref(self, name: str, sha: str | None) -> None:
        """Point a ref somewhere, or delete it (None). ValueError where a folder and a file would collide."""
        file = self.path / name
        if sha is None:
            if (self.path / "packed-refs").exists():
                self.git("update-ref", "-d", name)
            file.unlink(missing_ok=True)
            return
        others = [other for other in self.refs() if other != name]
        if any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in others):
            raise ValueError(name)
        if file.is_dir():  # empty folders of refs that are gone
            for folder, _, _ in os.walk(file, topdown=False):
                Path(folder).rmdir()
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.lock")
        partial.write_text(f"{sha}\n")
        partial.rename(file)

    def git(self, *argv: str, stdin: bytes = b"") -> bytes:
        """Standard output of a git command in this repository; CalledProcessError when it fails."""
        command = ["git", *argv]
        done = subprocess.run(
            command, cwd=self.path, env=git_environment(), input=stdin, capture_output=True, check=True
        )
        return done.stdout


def git_environment() -> dict[str, str]:
    """An environment in which only our own files steer git."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "LC_ALL": "C",
    }


def valid_ref(name: str) -> bool:
    """The rules of git-check-ref-format for a full name."""
    return name.count("/") >= 2 and name.isprintable() and not BAD_REF.search(name) and not name.startswith("/")

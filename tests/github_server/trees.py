"""Flat path edits <-> nested git trees, and commits <-> their fields."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .objects import GitStore

KINDS = {"040000": "tree", "160000": "commit"}
IDENTITY = re.compile(r"(?P<name>.*?) ?<(?P<email>[^>]*)> (?P<seconds>\d+) (?P<zone>[+-]\d{4})")

File = bytes | str | tuple[str, bytes] | None
"""What a seeded path becomes: content, (mode, content), or None to delete it."""


@dataclass(frozen=True)
class Entry:
    """One line of a tree; the mode has six digits as in the API."""

    mode: str
    sha: str

    @property
    def kind(self) -> str:
        """blob, tree or commit (a submodule)."""
        return KINDS.get(self.mode, "blob")


@dataclass(frozen=True)
class Identity:
    """Author or committer."""

    name: str
    email: str
    date: datetime

    def line(self) -> str:
        """As a commit object spells it."""
        return f"{self.name} <{self.email}> {int(self.date.timestamp())} +0000"


@dataclass(frozen=True)
class Commit:
    """The fields of a commit object."""

    sha: str
    tree: str
    parents: list[str]
    author: Identity
    committer: Identity
    message: str
    signature: str | None = None


def read_tree(store: GitStore, sha: str) -> dict[str, Entry]:
    """Name -> entry of one level; KeyError when there is no such tree."""
    kind, data = store.read(sha)
    if kind != "tree":
        raise KeyError(sha)
    out: dict[str, Entry] = {}
    at = 0
    while at < len(data):
        space, end = data.index(b" ", at), data.index(b"\0", at)
        name = data[space + 1 : end].decode("utf-8", "surrogateescape")
        out[name] = Entry(data[at:space].decode().zfill(6), data[end + 1 : end + 21].hex())
        at = end + 21
    return out


def write_tree(store: GitStore, level: Mapping[str, Entry]) -> str:
    """Store one level in git's order (folders sort as if they ended in a slash)."""

    def key(name: str) -> bytes:
        return (name + "/" * (level[name].kind == "tree")).encode("utf-8", "surrogateescape")

    rows = (
        level[name].mode.lstrip("0").encode()
        + b" "
        + name.encode("utf-8", "surrogateescape")
        + b"\0"
        + bytes.fromhex(level[name].sha)
        for name in sorted(level, key=key)
    )
    return store.write("tree", b"".join(rows))


def walk(store: GitStore, sha: str, prefix: str = "") -> Iterator[tuple[str, Entry]]:
    """Every path below a tree, folders before what is in them."""
    for name, entry in read_tree(store, sha).items():
        yield prefix + name, entry
        if entry.kind == "tree":
            yield from walk(store, entry.sha, f"{prefix}{name}/")


def edit_tree(store: GitStore, base: str | None, edits: Mapping[str, Entry | None]) -> str:
    """Apply path edits (None deletes) on a tree; only the folders on the way are rewritten.

    KeyError when a path to delete is not there.
    """
    level = dict(read_tree(store, base)) if base else {}
    below: dict[str, dict[str, Entry | None]] = {}
    for path, entry in edits.items():
        head, slash, rest = path.partition("/")
        if slash:
            below.setdefault(head, {})[rest] = entry
        elif entry is not None:
            level[head] = entry
        else:
            del level[head]
    for name, inner in below.items():
        old = level.get(name)
        sha = edit_tree(store, old.sha if old is not None and old.kind == "tree" else None, inner)
        level[name] = Entry("040000", sha)
        if not read_tree(store, sha):  # git knows no empty folders
            del level[name]
    return write_tree(store, level)


def find(store: GitStore, tree: str, path: str) -> Entry | None:
    """The entry at a path; the tree itself for the empty path."""
    entry = Entry("040000", tree)
    for name in filter(None, path.split("/")):
        level = read_tree(store, entry.sha) if entry.kind == "tree" else {}
        if name not in level:
            return None
        entry = level[name]
    return entry


def files_of(store: GitStore, revision: str) -> dict[str, bytes]:
    """Path -> content of every file of a commit."""
    tree = read_commit(store, revision).tree
    return {path: store.read(entry.sha)[1] for path, entry in walk(store, tree) if entry.kind == "blob"}


def blob_edits(store: GitStore, files: Mapping[str, File]) -> dict[str, Entry | None]:
    """Seeded files as tree edits, their contents stored."""
    edits: dict[str, Entry | None] = {}
    for path, value in files.items():
        if value is None:
            edits[path] = None
            continue
        mode, content = value if isinstance(value, tuple) else ("100644", value)
        edits[path] = Entry(mode, store.write("blob", content.encode() if isinstance(content, str) else content))
    return edits


def write_commit(
    store: GitStore,
    tree: str,
    parents: list[str],
    author: Identity,
    committer: Identity,
    message: str,
    signature: str | None = None,
) -> str:
    """Store a commit object."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {author.line()}", f"committer {committer.line()}"]
    if signature is not None:
        lines.append("gpgsig " + signature.strip("\n").replace("\n", "\n "))
    return store.write("commit", ("\n".join(lines) + f"\n\n{message}").encode())


def read_commit(store: GitStore, sha: str) -> Commit:
    """The fields of a commit; KeyError when the object is not one."""
    kind, data = store.read(sha)
    if kind != "commit":
        raise KeyError(sha)
    head, _, message = data.decode("utf-8", "replace").partition("\n\n")
    fields: dict[str, list[str]] = {}
    for line in head.replace("\n ", "\0").split("\n"):
        name, _, value = line.partition(" ")
        fields.setdefault(name, []).append(value.replace("\0", "\n"))
    return Commit(
        sha=sha,
        tree=fields["tree"][0],
        parents=fields.get("parent", []),
        author=identity(fields["author"][0]),
        committer=identity(fields["committer"][0]),
        message=message,
        signature=fields["gpgsig"][0] if "gpgsig" in fields else None,
    )


def identity(line: str) -> Identity:
    """`name <email> seconds zone` in UTC."""
    found = IDENTITY.fullmatch(line)
    if found is None:
        raise ValueError(line)
    return Identity(found["name"], found["email"], datetime.fromtimestamp(int(found["seconds"]), UTC))

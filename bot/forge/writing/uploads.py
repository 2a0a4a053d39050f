"""Validated changes -> blobs and a tree on GitHub: large contents side by side, small texts inside the tree's requests.

Nobody sees these objects until a ref points to them, and their names are the hashes of what they hold: making one
again after a lost answer or a crash does no harm. At no time is more than a few files' contents in memory.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bot.blobs import read_blob
from bot.errors import ForgeError
from bot.forge.client.client import Client, shaped
from bot.forge.writing.trees import Entry, object_name
from bot.types.output import Commit
from bot.types.sandbox import FileChange

INLINE_FILE = 500_000
"""Bytes of a text that travels inside the tree; a larger file becomes a blob of its own first."""
INLINE_TREE = 2_000_000
"""Bytes of texts in one request."""
BATCH = 500
"""Entries in one request: GitHub gives up on trees that take too long."""
THREADS = 8
"""Blobs on their way at once. GitHub bears 100 requests at once; the client keeps its pace."""
SHARE = 2_000_000
"""A file counts as one more upload for each so many bytes: of THREADS shares none is left for others while a large
file is on its way, which keeps memory bounded."""


class Piece(NamedTuple):
    """One changed file, ready to be sent."""

    file: FileChange
    entry: Entry | None
    """What git will call it; None where it is deleted."""
    text: bool
    """Whether its contents can travel inside the tree."""


def pieces_of(output: Commit, blobs: Path) -> tuple[Piece, ...]:
    """What has to be sent, file by file. Raises TaskError `blob_missing`, `blob_damaged`."""
    return tuple(_piece(file, blobs, len(output.parent)) for file in output.files)


def _piece(file: FileChange, blobs: Path, length: int) -> Piece:
    if file.new is None:
        return Piece(file, None, False)
    data = read_blob(blobs, file.new)
    text = len(data) <= INLINE_FILE and _text(data) is not None
    return Piece(file, Entry(file.new.mode, object_name("blob", data, length)), text)


def make_tree(client: Client, path: str, base: str, pieces: Sequence[Piece], blobs: Path, known: set[str]) -> str:
    """A tree on top of `base` with these files. `known`: blobs that GitHub has; what is sent is added to it.

    Raises ForgeError `tree_differs` where GitHub stores other bytes than were sent.
    """
    _send_blobs(client, path, pieces, blobs, known)
    tree = base
    for batch in _batches(_not_implied(pieces), known):
        rows = [_row(piece, blobs, known) for piece in batch]
        made = client.repeat("POST", f"{path}/git/trees", {"base_tree": tree, "tree": rows})
        tree = shaped(sha_of, made)
        known.update(piece.entry.sha for piece in batch if piece.entry)
    return tree


def sha_of(data: Any) -> str:
    """The name of the object in an answer."""
    return str(data["sha"])


def _send_blobs(client: Client, path: str, pieces: Iterable[Piece], blobs: Path, known: set[str]) -> None:
    """All contents that can't travel inside a tree, each once."""
    todo = {each.entry.sha: each for each in pieces if each.entry and not each.text and each.entry.sha not in known}
    shares, broken = threading.Semaphore(THREADS), threading.Event()

    def send(piece: Piece, taken: int) -> None:
        try:
            if not broken.is_set():
                _send_blob(client, path, piece, blobs)
        except BaseException:
            broken.set()
            raise
        finally:
            shares.release(taken)

    sent: list[Future[None]] = []
    with ThreadPoolExecutor(THREADS, thread_name_prefix="upload") as pool:
        for piece in todo.values():
            taken = min(THREADS, 1 + (piece.file.new.size if piece.file.new else 0) // SHARE)
            for _ in range(taken):  # by this thread alone, so that nobody waits for somebody who waits
                shares.acquire()
            if broken.is_set():
                break
            sent.append(pool.submit(send, piece, taken))
    for each in sent:
        each.result()
    known.update(todo)


def _send_blob(client: Client, path: str, piece: Piece, blobs: Path) -> None:
    if piece.file.new is None or piece.entry is None:
        return
    body = {"content": base64.b64encode(read_blob(blobs, piece.file.new)).decode(), "encoding": "base64"}
    made = shaped(sha_of, client.repeat("POST", f"{path}/git/blobs", body))
    if made != piece.entry.sha:
        raise ForgeError("tree_differs", f"GitHub stored other bytes than were sent for {piece.file.path!r}")


def _row(piece: Piece, blobs: Path, known: set[str]) -> dict[str, Any]:
    """One entry of a tree's request."""
    file = piece.file
    if file.new is None or piece.entry is None:
        return {"path": file.path, "mode": file.old.mode if file.old else "100644", "type": "blob", "sha": None}
    row: dict[str, Any] = {"path": file.path, "mode": file.new.mode, "type": "blob"}
    if piece.entry.sha in known:
        return row | {"sha": piece.entry.sha}
    return row | {"content": read_blob(blobs, file.new).decode()}


def _batches(pieces: Iterable[Piece], known: set[str]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        inline = piece.file.new.size if piece.file.new and piece.entry and piece.entry.sha not in known else 0
        if batch and (len(batch) >= BATCH or size + inline > INLINE_TREE):
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += inline
    if batch:
        yield batch


def _not_implied(pieces: Sequence[Piece]) -> list[Piece]:
    """Leave out deletions that follow from an addition: a file where its folder was, or a folder where the file was.

    Git's index would do both in either order; a tree that is asked for both at once is refused.
    """
    added = {each.file.path for each in pieces if each.entry}
    folders = {up for path in added for up in _above(path)}
    return [
        each
        for each in pieces
        if each.entry or not (each.file.path in folders or any(up in added for up in _above(each.file.path)))
    ]


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:at]) for at in range(1, len(parts))]


def _text(data: bytes) -> str | None:
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None

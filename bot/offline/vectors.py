"""Texts -> their vectors, computed once and kept in a file as half floats, 1,536 bytes a text (768 for each view)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bot.errors import ConfigurationError
from bot.offline.encoder import views
from bot.offline.kept import keep, read_ours
from bot.offline.tensors import read_tensors, write_tensors
from bot.offline.weights import WIDTH, Floats

MOST = 20_000
"""Texts that are kept, the latest used; 31 MB."""
BLOCK = 1000
"""Texts whose layers are held at once; 11 MB."""
VIEWS = 2
VERSION = "views-1"
"""Changes with the meaning of the views."""
KEY = 16
"""Bytes of a text's digest: enough to tell texts apart, and nobody gains by making two alike."""
log = logging.getLogger(__name__)


class Encodes(Protocol):
    """What is needed of an encoder."""

    name: str
    digest: str

    def layers(self, texts: Sequence[str], *, done: Callable[[int], None] = ...) -> Floats: ...


class VectorCache:
    """An encoder that remembers. Without a path nothing outlives the process."""

    def __init__(self, path: Path | None, encoder: Encodes, *, most: int = MOST) -> None:
        self.name = encoder.name
        self.mark = f"{encoder.name} {encoder.digest} {VERSION}"
        """Which encoder the vectors are by: others can't be compared with them."""
        self._path, self._encoder, self._most = path, encoder, most
        self._known: dict[bytes, NDArray[np.float16]] = {}
        """In the order of their last use."""
        self._changed = False
        if path is not None:
            self._load(path)

    @property
    def kept(self) -> int:
        """How many texts it remembers."""
        return len(self._known)

    def views(self, texts: Sequence[str], *, done: Callable[[int], None] = lambda count: None) -> Floats:
        """(n, 2, 384), each of length 1 up to half floats' rounding. Texts seen before cost nothing.

        `done` hears how many more texts are ready.
        """
        keys = [self._key(each) for each in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        done(len(keys) - len(new))
        for some in _blocks(list(new)):
            layers = self._encoder.layers([new[key] for key in some], done=done)
            self._known |= zip(some, views(layers).astype(np.float16), strict=True)
            self._changed = True
        result = np.empty((len(texts), VIEWS, WIDTH), np.float32)
        for number, key in enumerate(keys):
            result[number] = self._known[key]
        for key in dict.fromkeys(keys):
            self._known[key] = self._known.pop(key)
        self._forget()
        return result

    def save(self) -> None:
        """Write the file if there is something new; a folder that can't be written to is no error."""
        if self._path is None or not self._changed:
            return
        keys = np.frombuffer(b"".join(self._known), np.uint8).reshape(-1, KEY)
        vectors = np.array(list(self._known.values()), np.float16).reshape(-1, VIEWS, WIDTH)
        if keep(
            self._path,
            write_tensors({"encoder": np.frombuffer(self.mark.encode(), np.uint8), "keys": keys, "vectors": vectors}),
        ):
            self._changed = False
        else:
            log.warning("the vectors can't be kept in %s: they will be computed again", self._path)

    def _load(self, path: Path) -> None:
        """What the file holds, if it is whole and by the same weights; else nothing, and computing anew mends it."""
        data = read_ours(path, self._most * (KEY + VIEWS * WIDTH * 2) + 1_000_000)
        if data is None:
            if path.exists():
                log.warning("%s can't be read or is too large: its vectors are computed again", path)
            return
        try:
            found = read_tensors(data)
            mark, keys, vectors = (found[each] for each in ("encoder", "keys", "vectors"))
            shapes = keys.shape == (len(vectors), KEY) and vectors.shape[1:] == (VIEWS, WIDTH)
            if not shapes or keys.dtype != np.uint8 or vectors.dtype != np.float16:
                raise ValueError("its arrays have other shapes")
            if not np.isfinite(vectors).all():
                raise ValueError("it holds what is no number")
        except (ConfigurationError, KeyError, ValueError) as error:
            log.warning("%s is damaged (%s): its vectors are computed again", path, error)
            return
        if mark.tobytes() == self.mark.encode():
            self._known = {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}
            self._forget()

    def _forget(self) -> None:
        for key in list(self._known)[: max(0, len(self._known) - self._most)]:
            del self._known[key]

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY]


def _blocks(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    yield from (keys[start : start + BLOCK] for start in range(0, len(keys), BLOCK))

"""Answers that carried an ETag or a date -> conditions for the next request, so that what did not change costs nothing.

A 304 does not count against the rate limit (GitHub's page "Best practices for using the REST API"). The server is asked
each time: what comes from here was confirmed by it a moment ago.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from bot.forge.client.failures import Answer

ENTRIES = 256
BYTES = 16_000_000
"""Characters of all texts together, at the most."""
LARGEST = 1_000_000
"""Characters of one text: what is larger is asked once in a run."""

LASTING = ("etag", "last-modified", "link", "content-type")
"""Headers that describe the body."""

Key = tuple[str, str, tuple[tuple[str, str], ...], str]


class Kept(NamedTuple):
    """An answer that may be confirmed."""

    answer: Answer

    @property
    def conditions(self) -> dict[str, str]:
        """Headers of the next request; the ETag says more than the date."""
        if tag := self.answer.headers.get("etag"):
            return {"If-None-Match": tag}
        return {"If-Modified-Since": self.answer.headers["last-modified"]}

    def confirmed(self, headers: Mapping[str, str]) -> Answer:
        """The answer with the newer headers of a 304, which leave out what describes the body."""
        return self.answer._replace(headers={**self.answer.headers, **headers})


class Cache:
    """Answers of one process, the longest unused dropped first. May be used by many threads."""

    def __init__(self, *, entries: int = ENTRIES, size: int = BYTES) -> None:
        self._entries, self._size = entries, size
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    def find(self, token: str, path: str, query: Mapping[str, Any], media: str) -> Kept | None:
        """What this very credential was answered before."""
        key = _key(token, path, query, media)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, token: str, path: str, query: Mapping[str, Any], media: str, answer: Answer) -> None:
        """Keep it if it can be asked for again under a condition."""
        key, size = _key(token, path, query, media), len(answer.text)
        with self._lock:
            self._drop(key)
            if size > min(LARGEST, self._size) or not {"etag", "last-modified"} & set(answer.headers):
                return
            # What is left of a rate limit was true then; a 304 brings its own.
            lasting = {name: answer.headers[name] for name in LASTING if name in answer.headers}
            self._kept[key] = Kept(answer._replace(headers=lasting))
            self._used += size
            while len(self._kept) > self._entries or self._used > self._size:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        if old := self._kept.pop(key, None):
            self._used -= len(old.answer.text)


def _key(token: str, path: str, query: Mapping[str, Any], media: str) -> Key:
    """The credential is in the key, not in the clear: nobody is served what another was answered."""
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
    return digest, path, tuple(sorted((name, str(value)) for name, value in query.items())), media

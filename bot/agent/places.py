"""Names of files as test reports and stack traces spell them -> files of the checkout, or none where it is in doubt."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from bot.types.sandbox import WORKSPACE

_NEAR = 200
"""Files of one name among which the right one is looked for."""
_NESTED = 8
"""Names at the end of a test's class that may be classes within each other, and not the file's."""
_LOOKS = 5_000
"""Names of one run that are looked for among several files; a report of nothing else must not cost minutes."""
_FRAMES = (
    re.compile(r"\(([^()\s:]{1,400}):(\d{1,7})(?::\d{1,7})?\)"),  # at place(File.java:15), at f (/app/a.test.js:5:20)
    re.compile(r"panicked at (?:'[^'\n]{0,2000}', )?([^\s:,']{1,400}):(\d{1,7}):\d{1,7}"),  # Rust
    re.compile(r"^[ \t]*(?:at )?([^\s:()]{1,400}):(\d{1,7})(?::\d{1,7})?:?(?=\s|$)", re.MULTILINE),  # Go, JavaScript
)


class Places:
    """The files of a checkout, found by the ends of their paths."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = frozenset(known)
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        self._looked: dict[tuple[str, str], str | None] = {}
        for path in known:
            name = posixpath.basename(path)
            for index, key in ((self._by_name, name), (self._by_stem, name.partition(".")[0])):
                index.setdefault(key, []).append(path)

    def file(self, name: str, near: str = "") -> str | None:
        """The file that ends with `name`; of several, the one whose folders `near` (a class or package) names."""
        path = posixpath.normpath(name.strip().replace("\\", "/").removeprefix(f"{WORKSPACE}/"))
        if path in self.known:
            return path
        if path.startswith("/"):
            return None
        asked = (path, near)
        if asked not in self._looked:
            if len(self._looked) >= _LOOKS:
                return None
            self._looked[asked] = self._nearest(path, near)
        return self._looked[asked]

    def _nearest(self, path: str, near: str) -> str | None:
        ends = [each for each in self._by_name.get(posixpath.basename(path), ())[:_NEAR] if _ends(each, path)]
        wanted = [*re.split(r"[./:\\]+", near), *path.split("/")]
        return _only_best(ends, [wanted, [*re.split(r"[./:\\]+", near)[:-1], *path.split("/")]])

    def of_class(self, classname: str) -> str | None:
        """The file that a test's class or module is in, by the convention that they are called alike."""
        parts = [part for part in re.split(r"[./:\\$]+", classname) if part]
        for end in range(len(parts), max(len(parts) - _NESTED, 0), -1):
            stem = "/".join(parts[:end])
            found = [
                each
                for each in self._by_stem.get(parts[end - 1], ())[:_NEAR]
                if _ends(posixpath.join(posixpath.dirname(each), parts[end - 1]), stem)
            ]
            if len(found) == 1:
                return found[0]
        return None

    def frames(self, text: str, near: str = "") -> Iterator[tuple[str, int]]:
        """Places in the checkout that a stack trace names, the innermost first."""
        for pattern in _FRAMES:
            for match in pattern.finditer(text):
                path = self.file(match[1], near)
                if path is not None and int(match[2]) >= 1:
                    yield path, int(match[2])


def _ends(path: str, end: str) -> bool:
    return path == end or path.endswith(f"/{end}")


def _only_best(paths: Sequence[str], wanted: Sequence[Sequence[str]]) -> str | None:
    """The path that agrees with the wanted parts furthest from its end; None where two do so alike."""
    if len(paths) < 2:
        return paths[0] if paths else None
    scores = [max(_alike(path.split("/"), each) for each in wanted) for path in paths]
    best = max(scores)
    return paths[scores.index(best)] if scores.count(best) == 1 else None


def _alike(path: Sequence[str], wanted: Sequence[str]) -> int:
    count = 0
    for mine, theirs in zip(reversed(path), reversed(wanted), strict=False):
        if mine != theirs:
            break
        count += 1
    return count

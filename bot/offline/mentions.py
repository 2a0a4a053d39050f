"""A question and a repository's paths -> the files that it names: by path, by name, by module, or in a stack trace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

QUESTION = 20_000
"""Characters of a question that are read."""
MOST = 200
"""Names that are looked up."""
LENGTH = 300
"""Characters of the longest name that is looked up."""
_BETWEEN = re.compile(r"[\s\"'`()<>\[\]{},;|*=#?&!]+")
"""What stands between names: no place of the text is looked at twice."""


class Names:
    """Where the names of a repository's files lead."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(tuple(path.lower().split("/")) for path in paths)
        self._names: dict[str, list[int]] = {}
        self._stems: dict[str, list[int]] = {}
        for row, parts in enumerate(self._paths):
            self._names.setdefault(parts[-1], []).append(row)
            named = _stemmed(parts)
            self._stems.setdefault(named[-1] if named else "", []).append(row)

    def mentioned(self, title: str, body: str, exists: Callable[[int], bool]) -> Mapping[int, float]:
        """Row -> how plainly the question names that file, up to 1; of the rows that `exists` is true for."""
        found: dict[int, float] = {}
        names = _names(f"{title[:500]}\n{body[:QUESTION]}")
        for row, strength in (*self._by_path(names, exists), *self._by_module(names, exists)):
            found[row] = max(found.get(row, 0.0), strength)
        return found

    def _by_path(self, names: Iterable[str], exists: Callable[[int], bool]) -> Iterator[tuple[int, float]]:
        """`a/b.py`, `b.py:12`, `C:\\a\\b.py`: of what colons part, each may be a path."""
        for text in dict.fromkeys(piece for name in names for piece in name.split(":")):
            parts = [each for each in text.replace("\\", "/").split("/") if each not in ("", ".", "..")]
            rows = list(filter(exists, self._names.get(parts[-1], ()))) if parts else []
            yield from _best(rows, [_common(self._paths[row], parts) for row in rows])

    def _by_module(self, names: Iterable[str], exists: Callable[[int], bool]) -> Iterator[tuple[int, float]]:
        """`pkg.module.Class.method`: of the dotted parts, one may be a file and those before it its folders."""
        for text in names:
            parts = text.replace("::", ".").replace("\\", ".").split(".")[:12]
            for last in range(len(parts) - 1, 0, -1):
                rows = list(filter(exists, self._stems.get(parts[last], ())))
                common = [_common(_stemmed(self._paths[row]), parts[: last + 1]) for row in rows]
                if rows and max(common) >= 2:
                    yield from _best(rows, common)
                    break


def _best(rows: Sequence[int], common: Sequence[int]) -> Iterator[tuple[int, float]]:
    """Those that agree in most parts; the more there are of them, the less it says of each."""
    most = max(common, default=0)
    best = [row for row, agree in zip(rows, common, strict=True) if agree == most]
    if best and len(best) <= 20:
        strength = (0.7 if most < 2 else 1.0) / len(best)
        yield from ((row, strength) for row in best)


def _common(path: Sequence[str], parts: Sequence[str]) -> int:
    """Parts in which both agree, counted from the end."""
    count = 0
    for mine, theirs in zip(reversed(path), reversed(parts), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _stemmed(path: Sequence[str]) -> Sequence[str]:
    stem = path[-1].partition(".")[0]
    return path[:-1] if stem in ("__init__", "index", "mod") else (*path[:-1], stem)


def _names(text: str) -> list[str]:
    """What may be the name of a file or module: it has a point or a slash inside."""
    found: dict[str, None] = {}
    for each in _BETWEEN.split(text.lower()):
        name = each.strip(".:/\\")
        if len(name) <= LENGTH and any(sign in name for sign in "./\\:") and len(found) < MOST:
            found[name] = None
    return list(found)

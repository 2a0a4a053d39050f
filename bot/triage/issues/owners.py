"""A CODEOWNERS file and paths -> who owns them, most files first.

Source: GitHub Docs, "About code owners": patterns as in `.gitignore`, but `!`, `[ ]` and `\\#` do not work; case
counts; the last line that matches decides; a line without an owner leaves its paths to nobody; a line with a mistake
is skipped. Matching takes time proportional to the product of a pattern's and a path's length.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

LIMIT = 3_000_000
"""Bytes from which on GitHub does not read the file."""
LINES = 20_000
"""Lines that are read."""
PATTERN_LENGTH = 500
"""Characters of the longest pattern that is read."""
PATHS = 50
"""Paths that are looked up."""
OWNERS = 10
"""Most owners that are named."""
_OWNER = re.compile(
    r"@[A-Za-z0-9][A-Za-z0-9_-]{0,99}(?:/[A-Za-z0-9._-]{1,100})?|[^\s@,;<>()\[\]]{1,64}@[A-Za-z0-9.-]{1,190}"
)
_SIGN = re.compile(r"\\.|.", re.DOTALL)
_WORD = re.compile(r"(?:\\.|[^\s\\])+|\\")


class Line(NamedTuple):
    """One rule."""

    pattern: tuple[str, ...]
    """The pattern's parts between slashes; `**` stands for any number of them."""
    owners: tuple[str, ...]
    """Owners as they are written, without `@`."""


def owners_of(text: str, paths: Sequence[str]) -> tuple[str, ...]:
    """Owners of the paths without `@`, who owns most of them first, at most 10. Never raises."""
    rules = rules_of(text)
    counts: Counter[str] = Counter()
    for path in dict.fromkeys(paths[:PATHS]):
        counts.update(dict.fromkeys(owners_of_path(rules, path), 1))
    return tuple(owner for owner, _ in counts.most_common(OWNERS))


def owners_of_path(rules: Sequence[Line], path: str) -> tuple[str, ...]:
    """Owners of one path: those of the last rule that matches it, maybe none."""
    parts = tuple(path.strip("/").split("/"))
    return next((rule.owners for rule in reversed(rules) if matches(rule.pattern, parts)), ())


def rules_of(text: str) -> tuple[Line, ...]:
    """The file's rules in their order; lines with a mistake are left out, as GitHub does."""
    if len(text) > LIMIT:
        return ()
    return tuple(rule for rule in map(_rule, text.removeprefix("\ufeff").split("\n")[:LINES]) if rule is not None)


def matches(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a pattern's parts match a path's, or those of a folder above it.

    A pattern that ends in `/*` matches what is directly in that folder, and not what is below (GitHub Docs' `docs/*`).
    """
    reached = {0}
    for at, each in enumerate(pattern):
        last = at == len(pattern) - 1
        if each == "**":
            # At the end it stands for everything inside: at least one part.
            reached = set(range(min(reached) + last, len(parts) + 1))
        else:
            reached = {start + 1 for start in reached if start < len(parts) and _part_matches(each, parts[start])}
        if not reached:
            return False
    return len(parts) in reached if pattern[-1] == "*" else True


def _rule(line: str) -> Line | None:
    words = _WORD.findall(line)
    if not words or words[0].startswith("#"):
        return None
    pattern, owners = words[0], list[str]()
    for word in words[1:]:
        if word.startswith("#"):
            break
        if not _OWNER.fullmatch(word):
            return None
        owners.append(word.removeprefix("@"))
    parts = _parts(pattern)
    return Line(parts, tuple(owners)) if parts else None


def _parts(pattern: str) -> tuple[str, ...]:
    """The pattern's parts from the root on, none for what is no pattern; a folder's ends in `**`."""
    if len(pattern) > PATTERN_LENGTH or pattern.startswith(("!", "\\#")) or "[" in pattern or "]" in pattern:
        return ()
    anchored = "/" in pattern[:-1]
    parts = [each for each in pattern.split("/") if each]
    if not parts:
        return ()
    if not anchored:
        parts.insert(0, "**")
    if pattern.endswith("/") and parts[-1] != "**":
        parts.append("**")
    return tuple(parts)


def _part_matches(pattern: str, text: str) -> bool:
    """`*` stands for any characters, `?` for one, a backslash takes the next one literally."""
    signs = _SIGN.findall(pattern)
    at = place = mark = 0
    after_star = -1
    while at < len(text):
        sign = signs[place] if place < len(signs) else ""
        if sign == "*":
            after_star, mark = place + 1, at
            place += 1
        elif sign == "?" or (sign and sign[-1] == text[at]):
            place, at = place + 1, at + 1
        elif after_star >= 0:
            mark += 1
            place, at = after_star, mark
        else:
            return False
    return all(sign == "*" for sign in signs[place:])

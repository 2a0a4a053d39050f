"""A pull request's unified diff -> for each file of the head the lines on which a comment may stand, hunk by hunk."""

from __future__ import annotations

from collections.abc import Mapping

from bot.diffs import files_of

Hunks = tuple[range, ...]
"""Lines of the head that each hunk shows: unchanged and added ones, which follow each other without a gap."""


def anchors(diff: str) -> Mapping[str, Hunks]:
    """Path in the head -> its hunks. Files without any are left out: deleted, binary, only renamed, unreadable."""
    found: dict[str, Hunks] = {}
    for file in files_of(diff):
        hunks = tuple(each.head for each in file.hunks if each.head)
        if file.path and not file.deleted and hunks:
            found[file.path] = found.get(file.path, ()) + hunks
    return found

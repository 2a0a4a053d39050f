"""Symbolic links that were collected -> those that lead to something in the repository; names alone decide."""

from __future__ import annotations

import os
import stat
from typing import Final

from bot.links import Place, link_fault
from bot.sandbox.collect.findings import Findings
from bot.sandbox.collect.tree import folder_in, link_in, status_in
from bot.sandbox.workspace.overlay import Workspace

LINK: Final = "120000"


def drop_bad_links(found: Findings, workspace: Workspace, lower: int) -> None:
    """Take back the links that lead out of the repository, into git's own folder, nowhere or in a circle."""
    files = found.files
    folders = {up for path, change in files.items() if change.new for up in _above(path)}
    targets = {
        path: (found.blobs / change.new.digest).read_bytes()
        for path, change in files.items()
        if change.new and change.new.mode == LINK
    }

    def look(path: str) -> Place:
        change = files.get(path)
        if path in folders:
            return "folder"
        if change is not None:
            return "nothing" if change.new is None else targets.get(path, "file")
        if workspace.tracked is not None:
            known = os.fsencode(path)
            if known not in workspace.tracked and not workspace.tracked.below(known):
                return "nothing"
        return _in_checkout(lower, path.split("/"))

    bad = {path: fault for path, target in targets.items() if (fault := link_fault(path, target, look))}
    for path, fault in bad.items():
        found.drop(path, f"symlink that {fault}")


def _in_checkout(folder: int | None, parts: list[str]) -> Place:
    """What the checkout has at a path, reached one folder at a time."""
    name, *rest = parts
    if rest:
        with folder_in(folder, name) as inner:
            return "nothing" if inner is None else _in_checkout(inner, rest)
    status, target = status_in(folder, name), link_in(folder, name)
    if status is None:
        return "nothing"
    return target if target is not None else "folder" if stat.S_ISDIR(status.st_mode) else "file"


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:at]) for at in range(1, len(parts))]

"""A symbolic link as a proposal has it, and what lies around it -> why it must not be followed. Nothing is opened.

Worked out on names alone, by whoever knows what lies at a path: the guard knows the proposal, the collector the
checkout as well. For git a symbolic link is a file of mode 120000 whose contents are the target; how one is followed:
path_resolution(7).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Literal

MODE = "120000"
LONGEST = 4095
"""Bytes of a target, Linux's limit."""
HOPS = 40
"""Links on the way, Linux's limit."""

Place = Literal["file", "folder", "nothing", "unknown"] | bytes
"""What lies at a path; a link as its target. `unknown` is taken for something that is there."""

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_GIT = re.compile(r"\.git|gi[0-9a-z]{0,4}~\d+")


def link_fault(path: str, target: bytes, look: Callable[[str], Place]) -> str:
    """What is wrong with a link at a path of the repository, as the end of a sentence; empty when nothing is.

    It must be relative, stay in the repository, also by way of other links, and lead to something that is there.
    """
    here, todo, hops = path.split("/")[:-1], [target], 0
    while todo:
        parts = _parts(todo.pop())
        if isinstance(parts, str):
            return parts
        while parts:
            part = parts.pop(0)
            if part == "..":
                if not here:
                    return "leads out of the repository"
                here.pop()
                continue
            if _GIT.fullmatch(_folded(part)):
                return "leads into git's own folder"
            here.append(part)
            found = look("/".join(here))
            if found == "nothing" or (found == "file" and parts):
                return "leads nowhere"
            if isinstance(found, bytes):
                hops += 1
                if hops > HOPS:
                    return "leads in a circle"
                here.pop()
                # What is left of the way comes after the link's own.
                todo += ["/".join(parts).encode(), found] if parts else [found]
                break
    return ""


def _parts(target: bytes) -> list[str] | str:
    """The names on the way, or what is wrong with them."""
    try:
        text = target.decode()
    except UnicodeDecodeError:
        return "has a target that is no text"
    if not text or len(target) > LONGEST or any(unicodedata.category(char) in _UNSEEN for char in text):
        return "has a target that can't be read"
    if text.startswith("/") or "\\" in text or re.match(r"[A-Za-z]:", text):
        return "has an absolute target"
    return [part for part in text.split("/") if part not in ("", ".")]


def _folded(part: str) -> str:
    """As the most forgiving file system reads it."""
    text = unicodedata.normalize("NFKC", part).casefold()
    return unicodedata.normalize("NFKC", text).partition(":")[0].strip().rstrip(". ")

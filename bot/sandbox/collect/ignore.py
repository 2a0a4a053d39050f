"""The `.gitignore` files of a pristine checkout -> what the repository leaves out.

Source: gitignore(5). Within a file the last match decides, the file nearest to a path before those above it, and
below a folder that is left out nothing can be brought back.
"""

import os
import re
import stat
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

_FILE = ".gitignore"
_BYTES = 200_000
_LINES = 5_000
_STARS = re.compile(r"\*+")
_STARS_MAX = 4
"""Wildcards of a pattern. Each multiplies the steps of a match by the length of a name; strangers write patterns."""


@dataclass(frozen=True)
class Ignore:
    """The rules that hold in one folder."""

    files: tuple[tuple[str, GitIgnoreSpec], ...] = ()
    """(folder with a slash at its end, or nothing for the root; its patterns), the outermost first."""
    everything: bool = False
    """A folder above is left out."""

    def inside(self, prefix: str, folder: int | None, *, left_out: bool) -> "Ignore":
        """The rules below a folder of the checkout, which is open as `folder` (None: it is not in the checkout)."""
        if self.everything or left_out:
            return Ignore(everything=True)
        patterns = None if folder is None else _read(folder)
        return self if patterns is None else Ignore((*self.files, (prefix, patterns)))

    def matches(self, path: str, *, is_folder: bool) -> bool:
        """Whether the repository leaves the path out."""
        if self.everything:
            return True
        for prefix, patterns in reversed(self.files):
            include = patterns.check_file(path.removeprefix(prefix) + ("/" if is_folder else "")).include
            if include is not None:
                return include
        return False


def _read(folder: int) -> GitIgnoreSpec | None:
    """Patterns of a folder's file, those that could be slow to match left out: then more is shown, never less."""
    try:
        file = os.open(_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    with open(file, "rb") as stream:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        lines = stream.read(_BYTES).decode("utf-8", "replace").splitlines()[:_LINES]
    patterns = []
    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:  # git skips what it can't read
            continue
        if len(_STARS.findall(line)) <= _STARS_MAX and len(line) <= 1000:
            patterns.append(line)
    return GitIgnoreSpec.from_lines(patterns)

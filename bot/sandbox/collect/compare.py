"""A dead sandbox's workspace -> Changes.

Everything here was chosen by somebody who may want the host to follow a link, wait for a FIFO, fill the disk or never
end. So: one component at a time from an open folder, nothing but regular files opened, and never without bounds.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from bot.sandbox.collect.findings import WHOLE_ENTRIES, WHOLE_SECONDS, Cut, Findings
from bot.sandbox.collect.ignore import Ignore
from bot.sandbox.collect.links import LINK, drop_bad_links
from bot.sandbox.collect.tree import (
    file_in,
    folder_in,
    is_folder,
    is_opaque,
    is_whiteout,
    link_in,
    mode_of,
    root_folder,
    speakable,
    status_in,
)
from bot.sandbox.workspace.overlay import Workspace
from bot.types.sandbox import Blob, Changes, FileChange
from bot.types.task import Limits

_DEPTH = 64
_OLD_MAX = 100_000_000
"""Bytes of one file of the checkout: what GitHub takes at the most."""
_KINDS = {
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def collect(workspace: Workspace, limits: Limits, blobs: Path, *, links: bool = False) -> Changes:
    """What differs from the checkout; of symbolic links, with `links`, those that lead to something in it.

    The sandbox must be dead.
    """
    blobs.mkdir(parents=True, exist_ok=True)
    whole = workspace.kind != "overlay"
    found = Findings(limits, blobs, WHOLE_ENTRIES, WHOLE_SECONDS) if whole else Findings(limits, blobs)
    comparison = _Comparison(workspace, found, links)
    with root_folder(workspace.changed) as upper, root_folder(workspace.checkout) as lower:
        try:
            rules = Ignore().inside("", lower, left_out=False)
            comparison.walk(upper, lower, "", rules, whole=whole)
        except Cut as cut:
            found.skip("stopped", str(cut), complete=False)
        if links:
            drop_bad_links(found, workspace, lower)
    return found.changes()


@dataclass(frozen=True)
class _Comparison:
    """The upper tree (what the sandbox wrote) against the lower one (the checkout), folder by folder."""

    workspace: Workspace
    found: Findings
    links: bool

    def walk(self, upper: int, lower: int | None, prefix: str, rules: Ignore, *, whole: bool) -> None:
        """One folder; `whole` when all that it holds is there, so that what is missing was deleted."""
        if prefix.count("/") > _DEPTH:
            self.found.skip(prefix, "too deep", complete=False)
            return
        seen = set()
        with os.scandir(upper) as entries:
            for entry in entries:
                self.found.count()
                seen.add(entry.name)
                self._entry(upper, lower, prefix, entry.name, rules, whole)
        if whole and lower is not None:
            with os.scandir(lower) as entries:
                for entry in entries:
                    self.found.count()
                    if entry.name not in seen:
                        self._deleted(lower, prefix, entry.name, rules)

    def _entry(self, upper: int, lower: int | None, prefix: str, name: str, rules: Ignore, whole: bool) -> None:
        path, status = prefix + name, status_in(upper, name)
        if name.lower() == ".git":
            if prefix and status_in(lower, name) is None:
                self.found.skip(path, "git's own")
        elif not speakable(name):
            self.found.skip(path, "name")
        elif status is None:
            self.found.skip(path, "unreadable")
        elif is_whiteout(status) and self.workspace.kind == "overlay":
            self._deleted(lower, prefix, name, rules)
        elif stat.S_ISDIR(status.st_mode):
            self._folder(upper, lower, prefix, name, rules, whole)
        elif self._wanted(path, rules, in_checkout=status_in(lower, name) is not None):
            if stat.S_ISREG(status.st_mode):
                self._file(upper, lower, prefix, name, rules)
            elif stat.S_ISLNK(status.st_mode) and link_in(upper, name) == link_in(lower, name):
                return
            elif stat.S_ISLNK(status.st_mode) and self.links:
                self._link(upper, lower, prefix, name, rules)
            else:
                self.found.skip(path, _KINDS.get(stat.S_IFMT(status.st_mode), "unknown kind"))

    def _folder(self, upper: int, lower: int | None, prefix: str, name: str, rules: Ignore, whole: bool) -> None:
        path, below_is_folder = prefix + name, is_folder(lower, name)
        if below_is_folder and self._is_submodule(path):
            if not whole:
                self.found.skip(path, "submodule")
            return
        if not below_is_folder:
            self._deleted(lower, prefix, name, rules)  # a folder in place of a file
        left_out = rules.matches(path, is_folder=True)
        tracked = self.workspace.tracked
        if left_out and (tracked is None or not tracked.below(os.fsencode(path))):
            return
        with folder_in(upper, name) as above, folder_in(lower, name) as below:
            if above is None:
                self.found.skip(path, "unreadable")
                return
            inner = rules.inside(path + "/", below, left_out=left_out)
            self.walk(above, below, path + "/", inner, whole=whole or is_opaque(above, self.workspace.attributes))

    def _file(self, upper: int, lower: int | None, prefix: str, name: str, rules: Ignore) -> None:
        path = prefix + name
        if is_folder(lower, name):
            self._deleted(lower, prefix, name, rules)  # a file in place of a folder
        with file_in(upper, name) as source:
            if source is None:
                self.found.skip(path, "unreadable")
                return
            if self._same(source, lower, name):
                return
            status = os.fstat(source)
            if status.st_size > self.found.room():
                self.found.skip(path, "too large", complete=False)
                return
            new = self.found.keep(self.found.chunks(source), mode_of(status))
            self.found.add(FileChange(path=path, old=self._old(lower, path, name), new=new))

    def _link(self, upper: int, lower: int | None, prefix: str, name: str, rules: Ignore) -> None:
        path, target = prefix + name, link_in(upper, name) or b""
        if is_folder(lower, name):
            self._deleted(lower, prefix, name, rules)  # a link in place of a folder
        self.found.add(FileChange(path=path, old=self._old(lower, path, name), new=self.found.keep((target,), LINK)))

    def _same(self, source: int, lower: int | None, name: str) -> bool:
        """Whether the checkout has the same bytes with the same mode."""
        with file_in(lower, name) as other:
            if other is None:
                return False
            mine, theirs = os.fstat(source), os.fstat(other)
            if mine.st_size != theirs.st_size or mode_of(mine) != mode_of(theirs):
                return False
            pairs = zip(self.found.chunks(source), self.found.chunks(other), strict=False)
            return all(left == right for left, right in pairs)

    def _deleted(self, lower: int | None, prefix: str, name: str, rules: Ignore) -> None:
        """Everything that the checkout has under a name."""
        path, status = prefix + name, status_in(lower, name)
        if status is None or name.lower() == ".git" or path in self.workspace.hidden:
            return
        if not speakable(name):
            self.found.skip(path, "name")
        elif self._is_submodule(path) and stat.S_ISDIR(status.st_mode):
            self.found.skip(path, "submodule")
        elif stat.S_ISDIR(status.st_mode):
            with folder_in(lower, name) as folder:
                inner = rules.inside(path + "/", folder, left_out=rules.matches(path, is_folder=True))
                for each in [] if folder is None else sorted(os.listdir(folder)):  # noqa: PTH208 - an open folder
                    self.found.count()
                    self._deleted(folder, path + "/", each, inner)
        elif self._wanted(path, rules, in_checkout=True) and (old := self._old(lower, path, name)) is not None:
            self.found.add(FileChange(path=path, old=old))

    def _old(self, lower: int | None, path: str, name: str) -> Blob | None:
        """The checkout's version; None when git does not know the path."""
        tracked = self.workspace.tracked
        if tracked is not None and os.fsencode(path) not in tracked:
            return None
        target = link_in(lower, name)
        if target is not None:
            return self.found.keep((target,), LINK)
        with file_in(lower, name) as source:
            if source is None:
                return None
            status = os.fstat(source)
            if status.st_size > _OLD_MAX:
                raise Cut(f"{path!a} is too large in the checkout")
            self.found.take_old(status.st_size)
            return self.found.keep(self.found.chunks(source), mode_of(status))

    def _wanted(self, path: str, rules: Ignore, *, in_checkout: bool) -> bool:
        """Tracked, or not left out by the repository."""
        tracked = self.workspace.tracked
        known = in_checkout if tracked is None else os.fsencode(path) in tracked
        return known or not rules.matches(path, is_folder=False)

    def _is_submodule(self, path: str) -> bool:
        """Git tracks files and, of a folder, only a submodule's commit."""
        return self.workspace.tracked is not None and os.fsencode(path) in self.workspace.tracked

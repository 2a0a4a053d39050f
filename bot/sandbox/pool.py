"""A SandboxProvider -> the same one, whose sandboxes were started before anybody asked for them.

Every sandbox that it gives is new: one that was used is closed and never comes back (bot.sandbox.burst is something
else). What waits belongs to no run: it is in no inventory, its wall clock stands still, and after a crash it goes with
the next sweep. Whoever takes one has it as if it had been made for him, with his run, his limits and his time.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from bot.errors import SandpiperError
from bot.protocols import Sandbox, SandboxProvider
from bot.sandbox.stock import Spare, Stock
from bot.types.sandbox import SandboxInfo, Template
from bot.types.task import Limits

_NOBODYS = "0" * 16
_LINK = "gitdir: "


@runtime_checkable
class Poolable(Protocol):
    """A provider whose sandboxes can be made before their run is known."""

    def prepare(self, template: Template) -> Spare | None:
        """One that waits; its run does not matter. None where such a one can't. Raises SandboxError as `create`."""


class WarmPool:
    """A SandboxProvider around another one; one that is not Poolable is left as it is.

    `minimum` sandboxes are kept ready of every template that was asked for within `age` seconds (0: only of those that
    `warm` names, and those always), `maximum` of all together. Those that are older than `age` are replaced.
    """

    def __init__(self, provider: SandboxProvider, *, minimum: int = 1, maximum: int = 4, age: float = 600) -> None:
        self._provider, self._minimum = provider, min(minimum, maximum)
        self._maximum, self._usual = maximum, 0.0
        self._stock: Stock | None = None
        if isinstance(provider, Poolable):
            self._stock = Stock(partial(_prepared, provider, provider), most=maximum, age=age)
            weakref.finalize(self, self._stock.close)  # also at the end of a process that forgot to close

    def create(self, template: Template) -> Sandbox:
        """See the Protocol: one that waits, the next one where that is dead, a new one where there is none."""
        if self._stock is None:
            return self._provider.create(template)
        key = shape_of(template)
        while (spare := self._stock.take(key, self._usual)) is not None:
            made = None
            try:
                if (made := adopted(spare, template)) is not None:
                    break
            finally:  # also after an interrupt
                if made is None:
                    self._stock.discard(spare)
        else:
            began = time.monotonic()
            made = self._provider.create(template)
            self._usual = time.monotonic() - began  # nobody waits longer than that for one that is coming
        self._stock.want(key, template, self._minimum, pinned=False)
        return made

    def warm(self, template: Template, count: int = 1) -> None:
        """See the Protocol: so many are kept from now on, as far as `maximum` allows."""
        if self._stock is None:
            self._provider.warm(template, count)
        else:
            self._stock.want(shape_of(template), template, min(count, self._maximum), pinned=True)

    def ready(self, template: Template) -> int:
        """How many wait that would do for it."""
        return 0 if self._stock is None else self._stock.ready(shape_of(template))

    def healthy(self) -> str | None:
        """See the Protocol."""
        return self._provider.healthy()

    def sweep(self, run_id: str | None = None) -> int:
        """See the Protocol; what waits is no leftover."""
        return self._provider.sweep(run_id)

    def list(self) -> tuple[SandboxInfo, ...]:
        """See the Protocol; what waits is not shown."""
        return self._provider.list()

    def get(self, sandbox_id: str) -> Sandbox | None:
        """See the Protocol."""
        return self._provider.get(sandbox_id)

    def capacity(self, limits: Limits) -> int:
        """See the Protocol."""
        return self._provider.capacity(limits)

    def close(self) -> None:
        """See the Protocol."""
        if self._stock is not None:
            self._stock.close()
        self._provider.close()


def _prepared(maker: Poolable, provider: SandboxProvider, template: Template) -> Spare | None:
    """One that waits; where none can, at least what the provider itself makes ahead."""
    spare = maker.prepare(template)
    if spare is None:
        provider.warm(template)
    return spare


def adopted(spare: Spare, template: Template) -> Sandbox | None:
    """The sandbox of that run; None when it is dead, and has to be closed."""
    with contextlib.suppress(SandpiperError):
        if spare.alive():
            return spare.adopt(template)
    return None


def shape_of(template: Template) -> Hashable:
    """What two templates have in common when a sandbox for one is one for the other.

    All but the run, and those limits that it is told when it is taken. A checkout counts as another one when its commit
    or its index changed; nobody writes into a checkout otherwise while sandboxes are above it. An image counts by its
    name: a tag that moved is noticed when those that wait have reached their age.
    """
    limits = template.limits
    plain = Limits(memory_mb=limits.memory_mb, cpus=limits.cpus, pids=limits.pids, disk_mb=limits.disk_mb)
    same = template.changed(run_id=_NOBODYS, detached=False, limits=plain)
    return same.model_dump_json(), revision_of(Path(template.checkout)) if template.checkout else ""


def revision_of(checkout: Path) -> str:
    """What changes when another commit is checked out; for a folder without git, when its own entries change."""
    git = checkout / ".git"
    try:
        if git.is_file():  # a further work tree, or a submodule
            git = checkout / git.read_text().removeprefix(_LINK).strip()
        head = (git / "HEAD").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return _stamp(checkout)
    return " ".join((_stamp(checkout), head, _commit(git, head), _stamp(git / "HEAD"), _stamp(git / "index")))


def _commit(git: Path, head: str) -> str:
    """The commit of a branch, or when that was last noted somewhere."""
    if not head.startswith("ref: "):
        return head
    with contextlib.suppress(OSError, UnicodeDecodeError):
        git = git / (git / "commondir").read_text().strip()
    try:
        return (git / head.removeprefix("ref: ")).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return _stamp(git / "packed-refs")


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "-"
    return f"{status.st_dev}:{status.st_ino}:{status.st_mtime_ns}:{status.st_size}"

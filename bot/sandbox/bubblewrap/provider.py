"""Templates -> sandboxes without any daemon, each shut in by bubblewrap with a workspace of its own."""

from __future__ import annotations

import os
from pathlib import Path

from bot.errors import SandboxError
from bot.sandbox import processes
from bot.sandbox.bubblewrap import cgroup
from bot.sandbox.bubblewrap.body import Parts, parts_of, remove
from bot.sandbox.bubblewrap.workshop import PROVIDER, Workshop
from bot.sandbox.capacity import capacity
from bot.sandbox.egress.inside import OnEgress
from bot.sandbox.folder import info_of, notes
from bot.sandbox.keeper import PATH
from bot.sandbox.living import LivingSandbox
from bot.types.sandbox import ExecRequest, SandboxInfo, SandboxState, Template
from bot.types.task import Limits

_TRIAL = Template(run_id="0" * 16, limits=Limits(minutes=1, memory_mb=64, pids=32, disk_mb=16))


class BubblewrapProvider:
    """A SandboxProvider over bubblewrap: unprivileged namespaces, a filter of system calls, control groups if any.

    `cap` bounds how many sandboxes it says the machine bears. `on_egress` is told, in the proxy's thread, what
    restricted sandboxes asked for: (sandbox's id, run, record). `path` is where bwrap, setpriv, unshare and mount are.
    """

    def __init__(
        self, *, work: Path, cap: int | None = None, on_egress: OnEgress | None = None, path: str = PATH
    ) -> None:
        self._workshop, self._cap, self._tried = Workshop(work, on_egress, path), cap, False

    def create(self, template: Template) -> LivingSandbox:
        """See the Protocol. Codes: `bubblewrap_unavailable`, `sandbox_failed`, `image_unsupported` and others."""
        return LivingSandbox(self._workshop.make(template))

    def warm(self, template: Template, count: int = 1) -> None:
        """See the Protocol: a start takes milliseconds, so nothing is made ahead."""

    def healthy(self) -> str | None:
        """See the Protocol. It tries, because a kernel may have everything and forbid it."""
        if self._tried:
            return None
        try:
            sandbox = self.create(_TRIAL)
        except SandboxError as error:
            return str(error)
        except OSError as error:
            return f"no sandbox can be made: {error}\n  hint: see the work folder's rights and room"
        try:
            done = sandbox.exec(ExecRequest(argv=("true",), seconds=10))
        except SandboxError as error:
            return str(error)
        finally:
            sandbox.close()
        self._tried = done.ok
        return None if done.ok else f"`true` failed in a sandbox: {done.ending}\n  hint: see the kernel's log"

    def sweep(self, run_id: str | None = None) -> int:
        """See the Protocol."""
        count = 0
        for folder, note in notes(self._workshop.work, PROVIDER):
            if note.run_id == run_id if run_id is not None else note.orphan:
                parts = parts_of(note)
                count += parts.end() and remove(folder, parts)
        return count

    def list(self) -> tuple[SandboxInfo, ...]:
        """See the Protocol."""
        found = notes(self._workshop.work, PROVIDER)
        return tuple(info_of(folder.name, note, _state(parts_of(note))) for folder, note in found)

    def get(self, sandbox_id: str) -> LivingSandbox | None:
        """See the Protocol."""
        known = [each for each in notes(self._workshop.work, PROVIDER) if each[0].name.startswith(sandbox_id)]
        if len(known) != 1 or (state := _state(parts_of(known[0][1]))) == "stopped":
            return None
        body = self._workshop.found(*known[0])
        return LivingSandbox(body, paused=state == "paused") if body is not None else None

    def capacity(self, limits: Limits) -> int:
        """See the Protocol."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return capacity(memory >> 20, len(os.sched_getaffinity(0)), limits, self._cap)

    def close(self) -> None:
        """See the Protocol: nothing was made ahead."""


def _state(parts: Parts) -> SandboxState:
    if not processes.alive(parts.init):
        return "stopped"
    return "paused" if cgroup.frozen(parts.groups) or processes.halted(parts.init) else "running"

"""The processes of one sandbox -> what a LivingSandbox needs of them: freezing, reviving, ending, nothing left."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bot.errors import SandboxError
from bot.sandbox import processes
from bot.sandbox.bubblewrap import cgroup
from bot.sandbox.bubblewrap.cgroup import Groups, read_groups
from bot.sandbox.bubblewrap.launch import Processes
from bot.sandbox.channel.pipes import Pipes
from bot.sandbox.folder import Note, read_note
from bot.sandbox.living import Facts
from bot.sandbox.removal import remove_folder

_LOG = logging.getLogger(__name__)
_PING = 0.25
"""Seconds between two looks at whether a sandbox that does not answer has ended."""
_START_SECONDS = 30.0


@dataclass(frozen=True)
class Parts:
    """What has to go before a sandbox is gone, as its note names it."""

    outer: str = ""
    init: str = ""
    groups: Groups = field(default_factory=Groups)
    forwarder: str = ""
    """Identity of the process that leads to the proxy, if there is one."""

    def written(self) -> dict[str, str]:
        """For the note."""
        return {"outer": self.outer, "init": self.init, "forwarder": self.forwarder, "groups": self.groups.written()}

    def end(self) -> bool:
        """Kill all that runs; True when all is dead."""
        with contextlib.suppress(OSError):
            cgroup.freeze(self.groups, False)  # what is frozen does not die in version 1
        cgroup.kill(self.groups)
        alive = [each for each in (self.init, self.outer, self.forwarder) if not processes.kill(each)]
        return not alive


def parts_of(note: Note) -> Parts:
    """What a note names."""
    extra = note.extra
    return Parts(
        outer=extra.get("outer", ""),
        init=extra.get("init", ""),
        groups=read_groups(extra.get("groups", "{}")),
        forwarder=extra.get("forwarder", ""),
    )


class BubblewrapBody:
    """A Body. Made by BubblewrapProvider."""

    def __init__(
        self, facts: Facts, folder: Path, pipes: Pipes, found: Processes, launch: Callable[[], Processes]
    ) -> None:
        self.facts = facts
        self._folder, self._pipes, self._found, self._launch = folder, pipes, found, launch
        self._lock, self._generation = threading.Lock(), 0
        self.farewell: Callable[[], None] = lambda: None
        """Called when it is disposed of."""

    def running(self) -> bool:
        """See the Protocol."""
        return self._found.running()

    def freeze(self, frozen: bool) -> None:
        """See the Protocol."""
        if not self.running():
            raise SandboxError("sandbox_lost", f"{self.facts.name} has ended", hint="make a new one")
        try:
            if not cgroup.freeze(self._parts().groups, frozen):
                processes.halt(self._found.init, frozen)
        except OSError as error:
            raise SandboxError("sandbox_failed", f"{self.facts.name} can't be paused: {error}", hint="retry") from error

    def revive(self) -> None:
        """See the Protocol."""
        generation = self._generation
        with self._lock:
            if generation != self._generation:  # another thread did, while this one waited
                return
            if not self._end():
                raise SandboxError("sandbox_lost", f"{self.facts.name} can't be killed", hint="make a new one")
            self._pipes.renew()
            try:
                self._found = self._launch()
                await_shell(self._pipes, self._found)
            except SandboxError:
                raise
            except Exception as error:
                text = f"{self.facts.name} does not start again: {error}"
                raise SandboxError("sandbox_lost", text, hint="make a new one") from error
            self._generation += 1

    def end(self) -> None:
        """See the Protocol."""
        with self._lock:
            if not self._end():
                raise SandboxError(
                    "sandbox_undead", f"{self.facts.name} could not be killed", hint="see the kernel's log"
                )

    def dispose(self) -> None:
        """See the Protocol."""
        with self._lock:
            parts, name = self._parts(), self.facts.name
            if not (self._end() and remove(self._folder, parts)):
                _LOG.warning("sandbox %s: not removed, the next sweep tries again", name)
        self.farewell()

    def _end(self) -> bool:
        dead = self._parts().end()
        return self._found.end() and dead

    def _parts(self) -> Parts:
        """As they are now: another process may have revived it."""
        note = read_note(self._folder)
        return parts_of(note) if note is not None else Parts(self._found.outer, self._found.init)


def await_shell(pipes: Pipes, found: Processes) -> None:
    """Return when the sandbox takes commands. Raises SandboxError with what it said when it ended instead."""
    for _ in range(int(_START_SECONDS / _PING)):
        if pipes.ping(_PING):
            found.settled()
            return
        if not found.running():
            break
    raise SandboxError(
        "sandbox_failed",
        f"no shell answers in the sandbox: {found.last_words() or 'it said nothing'}",
        hint="see the message; `sandpiper sandbox doctor` tries each part",
    )


def remove(folder: Path, parts: Parts) -> bool:
    """Remove what a dead sandbox leaves; True when nothing is left."""
    gone = cgroup.remove(parts.groups)
    return remove_folder(folder) and gone

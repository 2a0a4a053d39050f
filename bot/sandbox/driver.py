"""The processes of a sandbox -> the one that takes our commands, and whether it is still the same.

What runs as the same user may kill it and take its place, answer as it would, and be spared when all is killed. Where
the sandbox does not end with it, this machine has to look.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from bot.sandbox.channel.pipes import driver_argv
from bot.sandbox.folder import process_identity
from bot.sandbox.processes import alive

_WORDS = b"".join(word.encode() + b"\0" for word in driver_argv())


@dataclass
class Driver:
    """Known from its start, when nothing of the task's runs beside it."""

    group: Path | None = None
    """Control group of the sandbox's processes; None where nobody can tell who they are: then it is believed."""
    identity: str = ""

    def look(self) -> None:
        """It has just been started: remember who it is."""
        self.identity = ""
        if self.group is not None:
            with contextlib.suppress(OSError):
                for pid in map(int, (self.group / "cgroup.procs").read_text().split()):
                    with contextlib.suppress(OSError):
                        if Path(f"/proc/{pid}/cmdline").read_bytes() == _WORDS:
                            self.identity = process_identity(pid) or ""

    def same(self) -> bool:
        """Whether that one lives; of one that nobody ever saw, it is believed."""
        return not self.identity or alive(self.identity)

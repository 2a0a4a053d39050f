"""A block of a test -> what this process started and which files it changed, told by the interpreter itself."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVERS = ("process_request_thread", "serve_forever")
"""Threads of the servers that tests play."""
RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn")
CHANGES = (
    "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate",
    "shutil.rmtree", "shutil.move", "shutil.copyfile", "os.setxattr",
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Tripwire:
    """Hears the audit events of the interpreter (`sys.addaudithook`)."""

    def __init__(self, *allowed: Path) -> None:
        self.allowed = [str(path.resolve()) for path in allowed]
        self.executed: list[str] = []
        self.outside: list[str] = []
        here = threading.get_ident()
        self.others = frozenset(each.ident for each in threading.enumerate() if each.ident != here)
        """Threads that other tests left at work in this process."""

    def see(self, event: str, args: tuple[Any, ...]) -> None:
        """One event; the servers of the tests do not count."""
        thread = threading.current_thread()
        if thread.ident in self.others or any(word in thread.name for word in SERVERS):
            return
        if event in RUNS:
            self.executed.append(f"{event} {args[:2]!r}"[:300])
        elif event == "open" and isinstance(args[0], str | bytes) and args[2] & WRITING:
            self.touch(event, args[0])
        elif event in CHANGES:
            for path in args[:2]:
                if isinstance(path, str | bytes):
                    self.touch(event, path)

    def touch(self, event: str, path: str | bytes) -> None:
        """A file that is changed. A name alone is relative to a folder that was opened, and so was looked at."""
        name = os.fsdecode(path)
        if "/" not in name or "/__pycache__/" in name or name.startswith("/dev/"):
            return
        real = os.path.realpath(name)
        if not any(real == each or real.startswith(f"{each}/") for each in self.allowed):
            self.outside.append(f"{event} {name}")


_WIRES: list[Tripwire] = []
_HOOKED: list[bool] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    for wire in tuple(_WIRES):
        wire.see(event, args)


@contextmanager
def tripwire(*allowed: Path) -> Iterator[Tripwire]:
    """Watch this process while the block runs; only below `allowed` may files change."""
    if not _HOOKED:  # an audit hook can't be taken away again
        sys.addaudithook(_hook)
        _HOOKED.append(True)
    wire = Tripwire(*allowed)
    _WIRES.append(wire)
    try:
        yield wire
    finally:
        _WIRES.remove(wire)

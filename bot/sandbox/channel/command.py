"""What is asked of a channel, and what comes back, whatever carries it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bot.protocols import Cancelled, OnOutput

Stop = Literal["timed_out", "cancelled", "disk"]
POLL = 0.2
"""Seconds between two looks at what may end a command that goes on."""


@dataclass
class Command:
    """What to run, and who is told meanwhile."""

    argv: Sequence[str] = ()
    """Program and arguments; for a script of ours, what it is given as `$1`, `$2` and so on."""
    script: str = ""
    """A constant script of ours that the sandbox's shell runs in place of a program."""
    cwd: str = "/"
    """Folder inside the sandbox, absolute."""
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    seconds: float = 600
    output_bytes: int = 1_000_000
    on_output: OnOutput | None = None
    cancelled: Cancelled | None = None
    full: Callable[[], bool] | None = None
    """True once the workspace holds more than it may."""

    def asked_to_stop(self) -> Stop | None:
        """Why it has to end before its time-out, if it has to."""
        if self.cancelled and self.cancelled():
            return "cancelled"
        return "disk" if self.full and self.full() else None


@dataclass
class Raw:
    """What became of it; the caller makes an ending of it."""

    exit_code: int | None
    """None when it was stopped by us, or ended without saying how."""
    stop: Stop | None
    stdout: bytes
    stderr: bytes
    dropped: int
    seconds: float


class ChannelDown(Exception):
    """Nobody in the sandbox takes commands; this one was not begun."""


class Channel(Protocol):
    """A way into one sandbox."""

    def run(self, command: Command) -> Raw:
        """To its end or its time-out; whatever still runs is left to the caller. Raises ChannelDown, SandboxError."""

    def ping(self, seconds: float) -> bool:
        """Whether the sandbox answers in that time."""

    def end_commands(self) -> None:
        """Kill what the task started, daemons included, and nothing else. Raises ChannelDown, SandboxError."""

    def close(self) -> None:
        """Let go of it; a second call does nothing."""

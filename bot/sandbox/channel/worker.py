"""One shell inside a sandbox that runs one command at a time, and the bytes that move while it does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import shlex
import time
from collections.abc import Iterator

from bot.errors import SandboxError
from bot.protocols import Stream
from bot.sandbox.channel.command import POLL, ChannelDown, Command, Stop
from bot.sandbox.channel.output import HeadTail

CHUNK = 1 << 18
PIPE = 1 << 20
"""Bytes that a busy pipe may hold: what an unprivileged process may ask for."""
_SHELLS_OWN = frozenset(
    ("BASHOPTS", "BASH_VERSINFO", "EUID", "GROUPS", "IFS", "LINENO", "OPTIND", "PPID", "SHELLOPTS", "UID")
)
"""Variables that shells use themselves, or let nobody set: a program gets them from `env`."""
_LINE = 64
"""Bytes that a line of a worker's has at the most."""


class Worker:
    """A shell that runs one command at a time, and the files that it shares with us."""

    def __init__(self, folder: str) -> None:
        self.name = secrets.token_hex(8)
        self.path = f"{folder}/{self.name}"
        self.generation = 0
        self.token = b""
        self._round = 0
        self._turn = self.status = -1
        self.streams = self._next_streams()
        try:
            for suffix in ("turn", "status"):
                make_pipe(f"{self.path}.{suffix}")
            self._turn = open_pipe(f"{self.path}.turn", os.O_RDWR)
            self.status = open_pipe(f"{self.path}.status", os.O_RDONLY)
            self._make_streams()
        except SandboxError:
            self.close()
            raise

    def begin(self, command: Command) -> None:
        """Hand it a command. Raises ChannelDown when the task keeps it from being taken."""
        if command.stdin:
            write_file(f"{self.path}.stdin", command.stdin)
        self._remove(f"{self.name}.command")  # ext4 flushes a file that is cut to nothing and written again
        write_file(f"{self.path}.command", _script(self.name, self.streams, command).encode("utf-8", "surrogateescape"))
        self.token = secrets.token_hex(4).encode()
        try:
            os.write(self._turn, self.token + b"\n")
        except BlockingIOError:
            raise ChannelDown("a shell in the sandbox does not read") from None

    def dirty(self) -> bool:
        """Somebody still holds its streams: the next command gets others. Whether there can be others."""
        self._remove(*self.streams)
        self._round += 1
        self.streams = self._next_streams()
        with contextlib.suppress(SandboxError):
            self._make_streams()
            return True
        return False

    def dismiss(self) -> None:
        """It has nothing to do and shall end."""
        with contextlib.suppress(BlockingIOError):  # then the pipe's end tells it
            os.write(self._turn, b"end\n")
        self.close()

    def close(self) -> None:
        """Let go of it."""
        for file in {self._turn, self.status} - {-1}:
            os.close(file)
        self._remove(*self.streams, *(f"{self.name}.{each}" for each in ("turn", "status", "command", "stdin")))

    def _next_streams(self) -> tuple[str, str]:
        return f"{self.name}.out{self._round}", f"{self.name}.err{self._round}"

    def _make_streams(self) -> None:
        for name in self.streams:
            make_pipe(f"{self.path.removesuffix(self.name)}{name}")

    def _remove(self, *names: str) -> None:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path.removesuffix(self.name)}{name}")  # noqa: PTH108


class Exchange:
    """One command on a worker: the bytes that move while it runs."""

    def __init__(self, worker: Worker, command: Command) -> None:
        self.code: int | None = None
        self.buffers: dict[Stream, HeadTail] = {
            "stdout": HeadTail(command.output_bytes),
            "stderr": HeadTail(command.output_bytes),
        }
        self._worker, self._command = worker, command
        self._large: set[int] = set()
        self._said = b""
        # Opened anew for each command: a pipe whose writers have gone says so for ever to whoever saw them.
        folder = worker.path.removesuffix(worker.name)
        self._streams: dict[int, Stream] = {}
        try:
            for name, stream in zip(worker.streams, self.buffers, strict=True):
                self._streams[open_pipe(f"{folder}{name}", os.O_RDONLY)] = stream
        except SandboxError:
            for file in self._streams:
                os.close(file)
            raise

    def pump(self, deadline: float) -> Stop | None:
        """Start it, and move bytes until it ended (None) or has to be stopped (why)."""
        poll, status = select.poll(), self._worker.status
        for file in (*self._streams, status):
            poll.register(file, select.POLLIN)
        self._worker.begin(self._command)
        looked = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= deadline:
                return "timed_out"
            ready = dict(poll.poll(min(POLL, deadline - now) * 1000 + 1))
            for file in ready.keys() & self._streams.keys():
                if not self._read(file, CHUNK) and file not in self._streams:
                    poll.unregister(file)
                    os.close(file)
            if status in ready and self._ended(ready[status]):
                self._rest()
                return None
            if time.monotonic() - looked >= POLL:
                looked = time.monotonic()
                if stop := self._command.asked_to_stop():
                    return stop

    def _ended(self, event: int) -> bool:
        """Whether the worker said the exit code, or is gone."""
        with contextlib.suppress(BlockingIOError):
            *lines, rest = (self._said + os.read(self._worker.status, 4096)).split(b"\n")
            self._said = rest[-_LINE:]
            for line in lines:
                token, _, code = line.partition(b" ")
                if token == self._worker.token and code.isdigit() and int(code) < 256:
                    self.code = int(code)
        return self.code is not None or bool(event & select.POLLHUP)

    def end(self) -> tuple[bool, tuple[int, ...]]:
        """Whether the worker can be used again, and the streams that somebody still holds open."""
        streams = tuple(self._streams)
        usable = self.code is not None and (not streams or self._worker.dirty())
        if self._command.stdin:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._worker.path}.stdin")  # noqa: PTH108
        return usable, streams

    def _rest(self) -> None:
        """All that the command had written by its end is in the pipes now."""
        for file in tuple(self._streams):
            left = fcntl.fcntl(file, fcntl.F_GETPIPE_SZ)
            while left > 0 and (size := self._read(file, left)):
                left -= size
            if file not in self._streams:
                os.close(file)

    def _read(self, file: int, most: int) -> int:
        """Bytes taken from a stream: 0 when it is empty for now, or at its end, when it is a stream no more."""
        try:
            data = os.read(file, most)
        except BlockingIOError:
            return 0
        stream = self._streams[file]
        if not data:
            del self._streams[file]
            return 0
        if len(data) >= 1 << 16 and file not in self._large:
            self._large.add(file)
            with contextlib.suppress(OSError):  # more than this user may have: it stays as it is
                fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, PIPE)
        self.buffers[stream].add(data)
        if self._command.on_output:
            self._command.on_output(stream, data)
        return len(data)


def _script(name: str, streams: tuple[str, str], command: Command) -> str:
    """What the worker reads for one command."""
    stdin = f"./{name}.stdin" if command.stdin else "/dev/null"
    words = shlex.join(command.argv)
    own = [f"{key}={shlex.quote(value)}" for key, value in command.env.items() if key in _SHELLS_OWN]
    body = f"set -- {words}\n{command.script}" if command.script else f"exec {' '.join((*_given(own), words))}"
    exports = "".join(
        f"export {key}={shlex.quote(value)}\n" for key, value in command.env.items() if key not in _SHELLS_OWN
    )
    return (
        f"(\ncd {shlex.quote(command.cwd)} || exit 126\n{exports}{body}\n)"
        f" <{stdin} >./{streams[0]} 2>./{streams[1]} 7>&-\n"
    )


def _given(variables: list[str]) -> tuple[str, ...]:
    return ("env", "--", *variables) if variables else ()


def hung_up(file: int) -> bool:
    """Whether nobody writes into a pipe any more, or something is in it that nobody asked for."""
    poll = select.poll()
    poll.register(file, 0)
    return bool(poll.poll(0))


def open_pipe(path: str, flags: int) -> int:
    """Open without waiting for the other side. Raises SandboxError."""
    with _in_the_folder():
        return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def make_pipe(path: str) -> None:
    """A named pipe that the sandbox can read and write. Raises SandboxError."""
    with _in_the_folder():
        os.mkfifo(path)
        os.chmod(path, 0o666)  # noqa: PTH101, S103 - whatever the umask; nobody else gets into the folder


def write_file(path: str, data: bytes) -> None:
    """Write a file that the sandbox can read. Raises SandboxError."""
    with _in_the_folder():
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.fchmod(file, 0o644)
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
        finally:
            os.close(file)


@contextlib.contextmanager
def _in_the_folder() -> Iterator[None]:
    """What goes wrong there is this machine's fault, and nothing that the task can mend."""
    try:
        yield
    except OSError as error:
        text = f"the folder of the sandbox can't be used: {error.strerror}"
        hint = "see that it is there, that its disk has room, and how many files may be open (`ulimit -n`)"
        raise SandboxError("folder_failed", text, hint=hint) from error

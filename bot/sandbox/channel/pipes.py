"""Commands -> a shell inside a sandbox and back, through named pipes in a folder that both sides see.

No engine takes part: each stream of a command has a pipe of its own, so its bytes need no framing and can't be taken
for any, commands run beside each other, and a child that holds a stream open holds nobody up. The sandbox sees the
folder read-only: it can write into the pipes, and replace nothing. Needs `sh` inside, and nothing else.

One shell, the driver, starts others, the workers, and can kill all but itself. A worker runs one command at a time, in
the foreground: what a shell starts in the background ignores SIGINT for ever.

The pipes are the sandbox's to write, so nothing that comes through them is believed beyond what the task could do
anyway: an exit code is the word of the task's own processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import shlex
import threading
import time
from pathlib import Path

from bot.protocols import Stream
from bot.sandbox.channel.command import POLL, ChannelDown, Command, Raw, Stop
from bot.sandbox.channel.output import HeadTail

INSIDE = "/run/sandpiper"
"""Where containers see the folder."""
_CHUNK = 1 << 18
_PIPE = 1 << 20
"""Bytes that a busy pipe may hold: what an unprivileged process may ask for."""
_IDLE = 4
"""Workers that wait for the next command."""
_START = 10.0
"""Seconds in which a worker has to be there."""
_KEPT = 16
"""Pipes kept open for children that go on writing after their command ended; a closed one would kill them."""

_DRIVER = """\
cd {inside} || exit
exec 9<>control 8<>alive </dev/null >/dev/null 2>&1
trap : HUP INT QUIT TERM USR1 USR2
fresh=
setsid true && fresh=setsid
env --default-signal=INT,QUIT true && fresh="$fresh env --default-signal=INT,QUIT"
while :; do
	read -r word <&9 || continue
	case $word in
{kill}	p*) echo pong 1<>"${{word#p}}.status" ;;
	*) $fresh sh ./worker "$word" 9>&- 8>&- & ;;
	esac
	jobs
done
"""
"""A line is the name of a worker to start. `jobs` lets go of children that ended; `. ./name` looks nowhere else.

The traps do nothing, which is not ignoring: a command that signals its whole process group leaves this shell alone, and
its own children get the default. A worker is a session of its own where `setsid` can be had.
"""
_KILL = "\tk) kill -9 -1 ;;\n"
"""Everything of the task's user but this shell: a builtin, so that it works when no process can be started."""
_WORKER = """\
exec 9<>"$1.turn" 7<>"$1.status" </dev/null >/dev/null 2>&1
trap : HUP INT QUIT TERM USR1 USR2
echo ready >&7
while :; do
	read -r word <&9 || continue
	[ "$word" = end ] && exit 0
	. "./$1.command" 9>&-
	echo "$word $?" >&7
done
"""
"""A line starts what lies in the command's file, and comes back with the exit code: no other one is that command's."""


def make_channel(folder: Path, inside: str, *, kill: bool = True) -> None:
    """Fill a new folder; without `kill` the shell has no way to kill all that its user runs."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name in ("control", "alive"):
        _fifo(f"{folder}/{name}")
    driver = _DRIVER.format(inside=shlex.quote(inside), kill=_KILL if kill else "")
    _file(f"{folder}/driver", driver.encode())
    _file(f"{folder}/worker", _WORKER.encode())


def driver_argv(inside: str = INSIDE) -> tuple[str, ...]:
    """What takes the commands, as the task's user."""
    return ("/bin/sh", f"{inside}/driver")


class Pipes:
    """A Channel over a folder that make_channel filled. Any number of threads and processes may use the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = str(folder), threading.Lock()
        self._idle: list[_Worker] = []
        self._kept: list[int] = []
        self._generation = 0
        # Both ways, so that neither opening nor writing waits for the shell to be there.
        self._control = _open(f"{folder}/control", os.O_RDWR)
        self._alive = _open(f"{folder}/alive", os.O_RDONLY)
        self._closed = False

    def run(self, command: Command) -> Raw:
        """See the Protocol."""
        started = time.monotonic()
        self._drain_kept()
        worker = self._worker(min(_START, command.seconds))
        exchange = _Exchange(worker, command)
        try:
            stop = exchange.pump(started + command.seconds)
        finally:
            self._give_back(worker, *exchange.end())
        out, err = exchange.buffers["stdout"], exchange.buffers["stderr"]
        dropped = out.dropped + err.dropped
        return Raw(exchange.code, stop, out.value(), err.value(), dropped, time.monotonic() - started)

    def ping(self, seconds: float) -> bool:
        """See the Protocol."""
        name = secrets.token_hex(8)
        path = f"{self._folder}/{name}.status"
        _fifo(path)
        status = _open(path, os.O_RDONLY)
        try:
            self._tell(f"p{name}")
            return self._answered(status, seconds)
        except ChannelDown:
            return False
        finally:
            os.close(status)
            os.unlink(path)  # noqa: PTH108

    def end_commands(self) -> None:
        """See the Protocol."""
        self._tell("k")
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.close()

    def renew(self) -> None:
        """Forget what an earlier shell did not read, and the workers that it had."""
        with self._lock:
            self._generation += 1
            idle, self._idle = self._idle, []
            with contextlib.suppress(BlockingIOError):
                while os.read(self._control, _CHUNK):
                    pass
        for worker in idle:
            worker.close()

    def close(self) -> None:
        """See the Protocol."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for file in (self._control, self._alive, *self._kept):
                os.close(file)
            idle, self._idle, self._kept = self._idle, [], []
        for worker in idle:
            worker.dismiss()

    def _tell(self, line: str) -> int:
        """Send a line. Raises ChannelDown."""
        with self._lock:
            if self._closed or _hung_up(self._alive):
                raise ChannelDown("the shell in the sandbox is gone")
            try:
                os.write(self._control, f"{line}\n".encode())  # short enough to be written as a whole
            except BlockingIOError:
                raise ChannelDown("the shell in the sandbox does not read") from None
            return self._generation

    def _answered(self, status: int, seconds: float) -> bool:
        """Whether something comes through a pipe while the driver lives."""
        poll = select.poll()
        poll.register(status, select.POLLIN)
        poll.register(self._alive, 0)
        return any(file == status and event & select.POLLIN for file, event in poll.poll(seconds * 1000))

    def _worker(self, seconds: float) -> _Worker:
        """One that has nothing to do, or a new one. Raises ChannelDown."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                break
            if not _hung_up(worker.status):
                return worker
            worker.close()
        worker = _Worker(self._folder)
        try:
            worker.generation = self._tell(worker.name)
            if not self._answered(worker.status, seconds):
                raise ChannelDown("no shell could be started in the sandbox")
            os.read(worker.status, 64)
        except BaseException:
            worker.close()
            raise
        return worker

    def _give_back(self, worker: _Worker, idle: bool, open_streams: tuple[int, ...]) -> None:
        with self._lock:
            keep = idle and not self._closed and worker.generation == self._generation and len(self._idle) < _IDLE
            if keep:
                self._idle.append(worker)
            self._kept += open_streams
            while self._kept and (self._closed or len(self._kept) > _KEPT):
                os.close(self._kept.pop(0))
        if not keep:
            worker.dismiss() if idle else worker.close()

    def _drain_kept(self) -> None:
        """What children say after their command ended is nobody's, but must not make them wait for ever."""
        with self._lock:
            for file in tuple(self._kept):
                with contextlib.suppress(BlockingIOError):
                    if not os.read(file, _PIPE):
                        self._kept.remove(file)
                        os.close(file)


class _Worker:
    """A shell that runs one command at a time, and the files that it shares with us."""

    def __init__(self, folder: str) -> None:
        self.name = secrets.token_hex(8)
        self.path = f"{folder}/{self.name}"
        self.generation = 0
        self.token = b""
        self._round = 0
        for suffix in ("turn", "status"):
            _fifo(f"{self.path}.{suffix}")
        self._turn = _open(f"{self.path}.turn", os.O_RDWR)
        self.status = _open(f"{self.path}.status", os.O_RDONLY)
        self.streams = self._new_streams()

    def begin(self, command: Command) -> None:
        """Hand it a command."""
        if command.stdin:
            _file(f"{self.path}.stdin", command.stdin)
        _file(f"{self.path}.command", _script(self.name, self.streams, command).encode("utf-8", "surrogateescape"))
        self.token = secrets.token_hex(4).encode()
        os.write(self._turn, self.token + b"\n")

    def dirty(self) -> None:
        """Somebody still holds its streams: the next command gets others."""
        self._remove(*self.streams)
        self._round += 1
        self.streams = self._new_streams()

    def dismiss(self) -> None:
        """It has nothing to do and shall end."""
        os.write(self._turn, b"end\n")
        self.close()

    def close(self) -> None:
        """Let go of it."""
        for file in (self._turn, self.status):
            os.close(file)
        self._remove(*self.streams, *(f"{self.name}.{each}" for each in ("turn", "status", "command", "stdin")))

    def _new_streams(self) -> tuple[str, str]:
        names = (f"{self.name}.out{self._round}", f"{self.name}.err{self._round}")
        for name in names:
            _fifo(f"{self.path.removesuffix(self.name)}{name}")
        return names

    def _remove(self, *names: str) -> None:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path.removesuffix(self.name)}{name}")  # noqa: PTH108


class _Exchange:
    """One command on a worker: the bytes that move while it runs."""

    def __init__(self, worker: _Worker, command: Command) -> None:
        self.code: int | None = None
        self.buffers: dict[Stream, HeadTail] = {
            "stdout": HeadTail(command.output_bytes),
            "stderr": HeadTail(command.output_bytes),
        }
        self._worker, self._command = worker, command
        self._large: set[int] = set()
        # Opened anew for each command: a pipe whose writers have gone says so for ever to whoever saw them.
        folder = worker.path.removesuffix(worker.name)
        self._streams: dict[int, Stream] = {
            _open(f"{folder}{name}", os.O_RDONLY): stream
            for name, stream in zip(worker.streams, self.buffers, strict=True)
        }

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
                if not self._read(file, _CHUNK) and file not in self._streams:
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
            for line in os.read(self._worker.status, 4096).splitlines():
                token, _, code = line.partition(b" ")
                if token == self._worker.token and code.isdigit() and int(code) < 256:
                    self.code = int(code)
        return self.code is not None or bool(event & select.POLLHUP)

    def end(self) -> tuple[bool, tuple[int, ...]]:
        """Whether the worker can be used again, and the streams that somebody still holds open."""
        streams = tuple(self._streams)
        if self.code is not None and streams:
            self._worker.dirty()
        if self._command.stdin:
            os.unlink(f"{self._worker.path}.stdin")  # noqa: PTH108
        return self.code is not None, streams

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
                fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, _PIPE)
        self.buffers[stream].add(data)
        if self._command.on_output:
            self._command.on_output(stream, data)
        return len(data)


def _script(name: str, streams: tuple[str, str], command: Command) -> str:
    """What the worker reads for one command."""
    stdin = f"./{name}.stdin" if command.stdin else "/dev/null"
    words = shlex.join(command.argv)
    body = f"set -- {words}\n{command.script}" if command.script else f"exec {words}"
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in command.env.items())
    return (
        f"(\ncd {shlex.quote(command.cwd)} || exit 126\n{exports}{body}\n)"
        f" <{stdin} >./{streams[0]} 2>./{streams[1]} 7>&-\n"
    )


def _hung_up(file: int) -> bool:
    poll = select.poll()
    poll.register(file, 0)
    return bool(poll.poll(0))


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _fifo(path: str) -> None:
    os.mkfifo(path)
    os.chmod(path, 0o666)  # noqa: PTH101, S103 - whatever the umask; nobody else gets into the folder


def _file(path: str, data: bytes) -> None:
    """Write a file that the sandbox can read."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(file, 0o644)
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
    finally:
        os.close(file)

"""Commands -> a shell inside a sandbox and back, through named pipes in a folder that both sides see.

No engine takes part: each stream of a command has a pipe of its own, so its bytes need no framing and can't be taken
for any, commands run beside each other, and a child that holds a stream open holds nobody up. The sandbox sees the
folder read-only: it can write into the pipes, and replace nothing. Needs `sh` inside, and nothing else.

One shell, the driver, starts others, the workers, and can kill all but itself. A worker runs one command at a time, in
the foreground, so that signals are as ever.

The pipes are the sandbox's to write, so nothing that comes through them is believed beyond what the task could do
anyway: an exit code is the word of the task's own processes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shlex
import threading
import time
from pathlib import Path

from bot.sandbox.channel.command import POLL, ChannelDown, Command, Raw
from bot.sandbox.channel.worker import CHUNK, PIPE, Exchange, Worker, hung_up, make_pipe, open_pipe, write_file

INSIDE = "/run/sandpiper"
"""Where containers see the folder."""
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
command -v setsid && fresh=setsid
while :; do
	read -r word <&9 || continue
	case $word in
{kill}	p*) echo pong 1<>"${{word#p}}.status" ;;
	*) ($fresh sh ./worker "$word" $$ 9>&- 8>&-; :) ;;
	esac
done
"""
"""A line is the name of a worker to start.

It is started in the foreground of a subshell that it kills: what a shell starts in the background ignores SIGINT for
ever, and as nobody's child it is buried by whoever is the first process.

The traps do nothing, which is not ignoring: a command that signals its whole process group leaves this shell alone, and
its own children get the default. A worker is a session of its own where `setsid` can be had.
"""
_KILL = "\tk) kill -9 -1 ;;\n"
"""Everything of the task's user but this shell: a builtin, so that it works when no process can be started."""
_WORKER = """\
read -r line </proc/"$PPID"/stat
set -- "$1" "$2" $line
[ "$6" = "$2" ] && kill -9 "$PPID"
exec 9<"$1.turn" 7<>"$1.status" </dev/null >/dev/null 2>&1
trap : HUP INT QUIT TERM USR1 USR2
echo ready >&7
while read -r word <&9 || read -r word <&9 || read -r word <&9; do
	[ "$word" = end ] && exit 0
	. "./$1.command" 9>&-
	echo "
$word $?" >&7
done
"""
"""First it frees the driver of the subshell between them, if that is what its parent is: a child of the driver's.

A line starts what lies in the command's file, and comes back with the exit code: no other one is that command's.

When our side is gone for whatever reason, its end of the pipe is, and the worker goes too; a signal ends one `read`.
"""


def make_channel(folder: Path, inside: str, *, kill: bool = True) -> None:
    """Fill a new folder; without `kill` the shell has no way to kill all that its user runs."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name in ("control", "alive"):
        make_pipe(f"{folder}/{name}")
    driver = _DRIVER.format(inside=shlex.quote(inside), kill=_KILL if kill else "")
    write_file(f"{folder}/driver", driver.encode())
    write_file(f"{folder}/worker", _WORKER.encode())


def driver_argv(inside: str = INSIDE) -> tuple[str, ...]:
    """What takes the commands, as the task's user."""
    return ("/bin/sh", f"{inside}/driver")


class Pipes:
    """A Channel over a folder that make_channel filled. Any number of threads and processes may use the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = str(folder), threading.Lock()
        self._driver, self._kept = _Driver(self._folder), _Kept()
        self._idle: list[Worker] = []
        self._coming: list[Worker] = []
        self._generation = self._kills = 0
        self._closed = False

    def reserve(self) -> None:
        """Have a worker started as soon as there is a shell, for the first command. Raises ChannelDown."""
        worker = Worker(self._folder)
        with self._lock:
            self._driver.tell(worker.name)
            worker.generation = self._generation
            self._coming.append(worker)

    def run(self, command: Command) -> Raw:
        """See the Protocol."""
        started = time.monotonic()
        with self._lock:
            self._kept.drain()
        worker = self._worker(command.seconds)
        if worker is None:
            return Raw(None, "timed_out", b"", b"", 0, time.monotonic() - started)
        try:
            exchange = Exchange(worker, command)
        except BaseException:
            worker.close()
            raise
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
        make_pipe(path)
        try:
            status = open_pipe(path, os.O_RDONLY)
            try:
                with self._lock:
                    self._driver.tell(f"p{name}")
                return self._driver.answered(status, seconds)
            except ChannelDown:
                return False
            finally:
                os.close(status)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108

    def end_commands(self) -> None:
        """See the Protocol."""
        with self._lock:
            self._driver.tell("k")
            self._kills += 1
            idle, self._idle, self._coming = [*self._idle, *self._coming], [], []
        for worker in idle:
            worker.close()

    def renew(self) -> None:
        """Forget what an earlier shell did not read, and the workers that it had."""
        with self._lock:
            if self._closed:
                return
            self._generation += 1
            self._driver.renew()
            idle, self._idle, self._coming = [*self._idle, *self._coming], [], []
        for worker in idle:
            worker.close()

    def close(self) -> None:
        """See the Protocol."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._kept.close()
            self._driver.close()
            idle, self._idle, self._coming = [*self._idle, *self._coming], [], []
        for worker in idle:
            worker.dismiss()

    def _worker(self, seconds: float) -> Worker | None:
        """One that has nothing to do, or a new one; None when that took all the time. Raises ChannelDown."""
        while True:
            with self._lock:
                if self._driver.gone:  # a worker may outlive its driver by a moment
                    raise ChannelDown("the shell in the sandbox is gone")
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                break
            if not hung_up(worker.status):
                return worker
            worker.close()
        until = time.monotonic() + min(_START, seconds)
        while (left := until - time.monotonic()) > 0:
            if worker := self._new_worker(left):
                return worker
        if seconds < _START:
            return None
        raise ChannelDown("no shell could be started in the sandbox")

    def _new_worker(self, seconds: float) -> Worker | None:
        """None when it was not there in time, or was killed with the commands of others. Raises ChannelDown."""
        with self._lock:
            kills, worker = self._kills, self._coming.pop() if self._coming else None
        generation, until = worker.generation if worker else -1, time.monotonic() + seconds
        worker = worker or Worker(self._folder)
        try:
            if generation < 0:
                with self._lock:
                    self._driver.tell(worker.name)
                    worker.generation = generation = self._generation
            while not self._driver.answered(worker.status, min(POLL, max(0.0, until - time.monotonic()))):
                if self._driver.gone:
                    raise ChannelDown("the shell in the sandbox is gone")
                if time.monotonic() >= until or (kills, generation) != (self._kills, self._generation):
                    worker.close()
                    return None
            os.read(worker.status, 64)
        except BaseException:
            worker.close()
            raise
        return worker

    def _give_back(self, worker: Worker, idle: bool, open_streams: tuple[int, ...]) -> None:
        with self._lock:
            keep = idle and not self._closed and worker.generation == self._generation and len(self._idle) < _IDLE
            if keep:
                self._idle.append(worker)
            self._kept.add(open_streams)
            if self._closed:
                self._kept.close()
        if not keep:
            worker.dismiss() if idle else worker.close()


class _Driver:
    """Our side of the shell that starts workers."""

    def __init__(self, folder: str) -> None:
        self._folder, self._closed = folder, False
        # Both ways, so that neither opening nor writing waits for the shell to be there.
        self._control = open_pipe(f"{folder}/control", os.O_RDWR)
        self._alive = open_pipe(f"{folder}/alive", os.O_RDONLY)

    @property
    def gone(self) -> bool:
        return self._closed or hung_up(self._alive)

    def tell(self, line: str) -> None:
        """Raises ChannelDown."""
        if self.gone:
            raise ChannelDown("the shell in the sandbox is gone")
        try:
            os.write(self._control, f"{line}\n".encode())  # short enough to be written as a whole
        except BlockingIOError:
            raise ChannelDown("the shell in the sandbox does not read") from None

    def answered(self, status: int, seconds: float) -> bool:
        """Whether something comes through a pipe while the shell lives."""
        poll = select.poll()
        poll.register(status, select.POLLIN)
        poll.register(self._alive, 0)
        return any(file == status and event & select.POLLIN for file, event in poll.poll(seconds * 1000))

    def renew(self) -> None:
        """Forget what an earlier shell did not read."""
        fresh = open_pipe(f"{self._folder}/alive", os.O_RDONLY)
        os.dup2(fresh, self._alive, inheritable=False)  # the old one goes on saying that its writer is gone
        os.close(fresh)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._control, CHUNK):
                pass

    def close(self) -> None:
        self._closed = True
        for file in (self._control, self._alive):
            os.close(file)


class _Kept:
    """Streams that a child still holds after its command ended: what it says is nobody's, but it must not wait."""

    def __init__(self) -> None:
        self._files: list[int] = []

    def add(self, files: tuple[int, ...]) -> None:
        self._files += files
        while len(self._files) > _KEPT:
            os.close(self._files.pop(0))

    def drain(self) -> None:
        for file in tuple(self._files):
            with contextlib.suppress(BlockingIOError):
                if not os.read(file, PIPE):
                    self._files.remove(file)
                    os.close(file)

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())

"""A command for a container -> how it ended, with its two streams, over the engine's exec API.

Source: Docker Engine API, "Exec" (create, start, inspect) and "Attach to a container" for the frames of the stream.
"""

import contextlib
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import docker
from docker.errors import APIError, DockerException

from bot.errors import SandboxError
from bot.protocols import Cancelled, OnOutput, Stream

_CHUNK = 1 << 18
_POLL = 0.2
"""Seconds between two looks at whether a quiet command still runs."""
_LINGER = 0.1
"""Seconds that output may still come after the command ended, when something it started holds the stream open."""
_STREAMS: Mapping[int, Stream] = {1: "stdout", 2: "stderr"}
ENGINE_ERRORS = (DockerException, OSError)
"""What the SDK raises: its own errors, and those of the connection."""
Stop = Literal["timed_out", "cancelled", "disk"]


class HeadTail:
    """The first and the last bytes of a stream, in bounded memory."""

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._head_room, self._tail_room = limit - limit // 2, limit // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0

    def add(self, data: bytes) -> None:
        room = self._head_room - len(self._head)
        self._head += data[:room]
        rest = data[room:] if room > 0 else data
        if not rest:
            return
        self._tail.append(rest)
        self._tail_size += len(rest)
        while self._tail_size > self._tail_room:
            first, excess = self._tail.popleft(), self._tail_size - self._tail_room
            self.dropped += min(excess, len(first))
            self._tail_size -= min(excess, len(first))
            if excess < len(first):
                self._tail.appendleft(first[excess:])

    def value(self) -> bytes:
        return bytes(self._head) + b"".join(self._tail)


class Demultiplexer:
    """Bytes of the engine's stream -> (stream, data), in whatever pieces they come."""

    def __init__(self) -> None:
        self._header = b""
        self._stream: Stream | None = None
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[Stream, bytes]]:
        """Source: "Attach to a container", stream format: one byte for the stream, three zero, four for the size."""
        parts: list[tuple[Stream, bytes]] = []
        while data:
            if self._left == 0:
                missing = 8 - len(self._header)
                self._header, data = self._header + data[:missing], data[missing:]
                if len(self._header) < 8:
                    break
                self._stream = _STREAMS.get(self._header[0])
                self._left, self._header = int.from_bytes(self._header[4:8], "big"), b""
                continue
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            if self._stream is not None:
                parts.append((self._stream, piece))
        return parts


@dataclass
class Command:
    """What to run, and who is told meanwhile."""

    argv: Sequence[str]
    user: str
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    seconds: float = 600
    output_bytes: int = 1_000_000
    on_output: OnOutput | None = None
    cancelled: Cancelled | None = None
    full: Callable[[], bool] | None = None
    """True once the workspace holds more than it may."""


@dataclass
class Raw:
    """What the engine told; the caller makes an ending of it."""

    exit_code: int | None
    """None when the command was stopped by us."""
    stop: Stop | None
    stdout: bytes
    stderr: bytes
    dropped: int
    seconds: float


def run(api: docker.APIClient, container: str, command: Command) -> Raw:
    """Run to the end or to the time-out; whatever still runs is left to the caller. Raises SandboxError when lost."""
    started = time.monotonic()
    try:
        made = api.exec_create(
            container,
            list(command.argv),
            stdin=bool(command.stdin),
            user=command.user,
            workdir=command.cwd,
            environment=dict(command.env),
        )
        session = _Session(api, made["Id"], command, started)
        with contextlib.closing(session):
            stop = session.pump()
        code = None if stop else _exit_code(api, made["Id"])
    except ENGINE_ERRORS as error:
        raise lost(error) from error
    out, err = session.buffers["stdout"], session.buffers["stderr"]
    return Raw(code, stop, out.value(), err.value(), out.dropped + err.dropped, time.monotonic() - started)


def lost(error: Exception) -> SandboxError:
    """The engine's error as ours."""
    text = error.explanation if isinstance(error, APIError) and error.explanation else str(error)
    return SandboxError(
        "sandbox_lost", f"the sandbox is gone: {text}", hint="its wall clock ran out, or Docker stopped"
    )


def _exit_code(api: docker.APIClient, exec_id: str) -> int | None:
    """The engine may know of the end a moment after the stream closed."""
    code = api.exec_inspect(exec_id).get("ExitCode")
    return None if code is None else int(code)


class _Session:
    """One started exec and its connection."""

    def __init__(self, api: docker.APIClient, exec_id: str, command: Command, started: float) -> None:
        self.buffers: dict[Stream, HeadTail] = {
            "stdout": HeadTail(command.output_bytes),
            "stderr": HeadTail(command.output_bytes),
        }
        self._api, self._id, self._command = api, exec_id, command
        self._deadline = started + command.seconds
        self._frames = Demultiplexer()
        self._connection = api.exec_start(exec_id, socket=True)
        self._socket, early = _unwrap(self._connection)
        self._unsent = memoryview(command.stdin)
        self._take(early)

    def close(self) -> None:
        self._socket.close()
        self._connection.close()

    def pump(self) -> Stop | None:
        """Move bytes until the command ended (None) or has to be stopped (why)."""
        checked, quiet = time.monotonic(), 0.01
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0))
            while True:
                ready = selector.select(min(quiet, max(0.0, self._deadline - time.monotonic())))
                quiet = 0.01 if ready else min(_POLL, quiet * 2)
                for _, events in ready:
                    if events & selectors.EVENT_WRITE and self._send():
                        selector.modify(self._socket, selectors.EVENT_READ)
                    if events & selectors.EVENT_READ and not self._receive():
                        return self._await_end()
                now = time.monotonic()
                if now >= self._deadline:
                    return "timed_out"
                if now - checked >= _POLL:
                    checked = now
                    if stop := self._asked_to_stop():
                        return stop
                    if not ready and not self._running():
                        self._drain(selector)
                        return None

    def _asked_to_stop(self) -> Stop | None:
        if self._command.cancelled and self._command.cancelled():
            return "cancelled"
        return "disk" if self._command.full and self._command.full() else None

    def _running(self) -> bool:
        return bool(self._api.exec_inspect(self._id)["Running"])

    def _await_end(self) -> Stop | None:
        """Both streams are closed; the command itself may go on."""
        pause = 0.001
        while self._running():
            if time.monotonic() >= self._deadline:
                return "timed_out"
            if pause >= _POLL and (stop := self._asked_to_stop()):
                return stop
            time.sleep(pause)
            pause = min(_POLL, pause * 2)
        return None

    def _drain(self, selector: selectors.BaseSelector) -> None:
        until = time.monotonic() + _LINGER
        while time.monotonic() < until and selector.select(_LINGER / 4):
            if not self._receive():
                break

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return True
        self._take(data)
        return bool(data)

    def _take(self, data: bytes) -> None:
        for stream, piece in self._frames.feed(data):
            self.buffers[stream].add(piece)
            if self._command.on_output:
                self._command.on_output(stream, piece)

    def _send(self) -> bool:
        """Some of the standard input; True when nothing is left, and then the command sees its end."""
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent[:_CHUNK]) :]
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):  # it ended without reading all of it
            return True
        if not self._unsent:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        return not self._unsent


def _unwrap(connection: Any) -> tuple[socket.socket, bytes]:
    """The connection's socket, non-blocking, and the bytes that came along with the response's head.

    The SDK hands out the raw socket below http.client's buffer. On a loaded machine the first output is in that
    buffer by then, and would be lost.
    """
    raw: socket.socket = getattr(connection, "_sock", connection)
    raw.setblocking(False)
    response = getattr(connection, "_response", None)
    buffered = response.raw._fp.fp if response is not None else None
    early: bytes = (buffered.peek() or b"") if buffered is not None else b""
    return raw, early

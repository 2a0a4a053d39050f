"""A command for a container -> how it ended, with its two streams, over the engine's exec API.

Source: Docker Engine API, "Exec" (create, start, inspect) and "Attach to a container" for the frames of the stream.
"""

import contextlib
import selectors
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from bot.errors import SandboxError
from bot.protocols import Stream
from bot.sandbox.channel.command import POLL, Command, Raw, Stop
from bot.sandbox.channel.output import HeadTail

_CHUNK = 1 << 18
_LINGER = 0.1
"""Seconds that output may still come after the command ended, when something it started holds the stream open."""
_STREAMS: Mapping[int, Stream] = {1: "stdout", 2: "stderr"}
_KILL_SECONDS = 30
ENGINE_ERRORS = (DockerException, OSError)
"""What the SDK raises: its own errors, and those of the connection."""


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


def has_image(api: docker.APIClient, name: str) -> bool:
    """Whether the engine has an image of that name. Raises ENGINE_ERRORS."""
    try:
        api.inspect_image(name)  # type: ignore[no-untyped-call]
    except ImageNotFound:
        return False
    return True


class EngineChannel:
    """A Channel for containers whose files this machine does not share: one exec of the engine a command."""

    def __init__(self, api: docker.APIClient, container: str, user: str) -> None:
        self._api, self._container, self._user = api, container, user

    def run(self, command: Command) -> Raw:
        """See the Protocol."""
        return run(self._api, self._container, self._user, command)

    def ping(self, seconds: float) -> bool:
        """See the Protocol."""
        try:
            return self.run(Command(script=":", seconds=seconds)).exit_code == 0
        except SandboxError:
            return False

    def end_commands(self) -> None:
        """See the Protocol."""
        try:
            if self.run(Command(script="kill -9 -1", seconds=_KILL_SECONDS)).exit_code in (0, 1):  # 1: nothing left
                return
        except SandboxError:
            check_running(self._api, self._container)
        # No room for one more process: a fresh start ends everything too.
        try:
            self._api.restart(self._container, timeout=0)
        except ENGINE_ERRORS as error:
            raise lost(error) from error

    def close(self) -> None:
        """See the Protocol."""


def check_running(api: docker.APIClient, container: str) -> None:
    """Raises SandboxError when the container ended."""
    try:
        running = api.inspect_container(container)["State"]["Running"]
    except ENGINE_ERRORS as error:
        raise lost(error) from error
    if not running:
        raise lost(RuntimeError("its container ended"))


def run(api: docker.APIClient, container: str, user: str, command: Command) -> Raw:
    """Run to the end or to the time-out; whatever still runs is left to the caller. Raises SandboxError when lost."""
    started = time.monotonic()
    argv = ["/bin/sh", "-c", command.script, "sh", *command.argv] if command.script else list(command.argv)
    try:
        made = api.exec_create(
            container,
            argv,
            stdin=bool(command.stdin),
            user=user,
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
    raw = Raw(code, stop, out.value(), err.value(), out.dropped + err.dropped, time.monotonic() - started)
    return _as_shells_say_it(raw)


def _as_shells_say_it(raw: Raw) -> Raw:
    """The engine tells on the wrong stream that it could not start a program."""
    if raw.exit_code in (126, 127) and raw.stdout.startswith(b"OCI runtime exec failed"):
        code = 127 if b"not found" in raw.stdout else raw.exit_code
        return replace(raw, exit_code=code, stdout=b"", stderr=raw.stdout.strip() + b"\n")
    return raw


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
                quiet = 0.01 if ready else min(POLL, quiet * 2)
                for _, events in ready:
                    if events & selectors.EVENT_WRITE and self._send():
                        selector.modify(self._socket, selectors.EVENT_READ)
                    if events & selectors.EVENT_READ and not self._receive():
                        return self._await_end()
                now = time.monotonic()
                if now >= self._deadline:
                    return "timed_out"
                if now - checked >= POLL:
                    checked = now
                    if stop := self._command.asked_to_stop():
                        return stop
                    if not ready and not self._running():
                        self._drain(selector)
                        return None

    def _running(self) -> bool:
        return bool(self._api.exec_inspect(self._id)["Running"])

    def _await_end(self) -> Stop | None:
        """Both streams are closed; the command itself may go on."""
        pause = 0.001
        while self._running():
            if time.monotonic() >= self._deadline:
                return "timed_out"
            if pause >= POLL and (stop := self._command.asked_to_stop()):
                return stop
            time.sleep(pause)
            pause = min(POLL, pause * 2)
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

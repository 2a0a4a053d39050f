"""A network's rules and the path of a unix socket -> a proxy behind that socket, from `start` until `close`."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from bot.errors import SandboxError
from bot.sandbox.egress.budget import budget_of
from bot.sandbox.egress.dial import Address, Connector, Ways, connect
from bot.sandbox.egress.exchange import Desk, serve
from bot.sandbox.egress.names import Names, Resolver, resolve
from bot.sandbox.egress.traffic import Clocks
from bot.types.network import EgressRecord, Network

_LOG = logging.getLogger(__name__)
_CONNECTIONS = 256
"""At most that many at once; further ones wait in the kernel's queue."""
_PATH_BYTES = 107
"""Longest path that the address of a unix socket holds."""


class EgressProxy:
    """One run's way to the network. It judges by `network`'s lists and budgets whatever its mode is.

    `on_record` is called in the proxy's thread, once a request, when the request has ended; it must be quick.
    A name in `routes` (lower case) is led by plain HTTP, `http://name/`, to a service of ours on a fixed address.
    Budgets are the run's: they go on where they were when the proxy is closed and started again.
    """

    def __init__(
        self,
        path: Path,
        network: Network,
        on_record: Callable[[EgressRecord], None],
        *,
        routes: Mapping[str, Address] | None = None,
        resolver: Resolver = resolve,
        connector: Connector = connect,
        clocks: Clocks | None = None,
    ) -> None:
        self.path = path
        ways = Ways(dict(routes or {}), Names(resolver), connector)
        self._desk = Desk(network, budget_of(network), ways, clocks or Clocks(), on_record)
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Listen. Whoever may enter the socket's folder may connect. Raises SandboxError `egress_socket`."""
        listener, identity = _listen(self.path)
        ready: Future[Callable[[], None]] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(listener, identity, ready), name="egress-proxy", daemon=True
        )
        self._thread.start()
        self._stop = ready.result()

    def close(self) -> None:
        """End every connection and remove the socket. What was under way is recorded. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop()
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, listener: socket.socket, identity: tuple[int, int], ready: Future[Callable[[], None]]) -> None:
        try:
            asyncio.run(self._work(listener, ready))
        except Exception as error:  # noqa: BLE001 - nobody is above this thread; `start` raises it where it still can
            if not ready.done():
                ready.set_exception(error)
            _LOG.exception("the egress proxy has ended")
        finally:
            self._desk.ways.names.close()
            listener.close()
            _remove(self.path, identity)

    async def _work(self, listener: socket.socket, ready: Future[Callable[[], None]]) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        accepting = asyncio.create_task(_accept(listener, self._desk))

        def stop() -> None:
            with suppress(RuntimeError):  # It has ended by itself.
                loop.call_soon_threadsafe(ended.set)

        ready.set_result(stop)
        await ended.wait()
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)


async def _accept(listener: socket.socket, desk: Desk) -> None:
    """Serve each connection in a task of its own; when this is cancelled, so are they."""
    loop, slots = asyncio.get_running_loop(), asyncio.Semaphore(_CONNECTIONS)

    async def serve_one(connection: socket.socket) -> None:
        try:
            await serve(connection, desk)
        except Exception:  # noqa: BLE001 - a mistake of ours in one connection must not end the others
            _LOG.exception("a connection of the egress proxy was given up")
        finally:
            connection.close()
            slots.release()

    async with asyncio.TaskGroup() as tasks:
        while True:
            await slots.acquire()
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                # Out of file descriptors, mostly: some will be free soon.
                _LOG.warning("the egress proxy could not accept a connection: %s", error)
                slots.release()
                await asyncio.sleep(0.1)
                continue
            tasks.create_task(serve_one(connection))


def _listen(path: Path) -> tuple[socket.socket, tuple[int, int]]:
    """Return a socket that listens at `path`, and what tells the file from another one of that name."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        # A socket that a killed process left behind refuses connections; anything else at this path is not ours.
        if stat.S_ISSOCK(_mode(path)):
            path.unlink()
        _bind(listener, path)
        path.chmod(0o666)
        listener.listen(socket.SOMAXCONN)
        found = path.lstat()
    except OSError as error:
        listener.close()
        raise SandboxError(
            "egress_socket",
            f"the egress proxy can't listen at {path}: {error.strerror or error}",
            hint="its folder must exist and be writable, and nothing but an old socket may be at this path",
        ) from error
    return listener, (found.st_dev, found.st_ino)


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


def _bind(listener: socket.socket, path: Path) -> None:
    if len(os.fsencode(path)) <= _PATH_BYTES:
        listener.bind(str(path))
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _remove(path: Path, identity: tuple[int, int]) -> None:
    with suppress(OSError):
        found = path.lstat()
        if (found.st_dev, found.st_ino) == identity:
            path.unlink()

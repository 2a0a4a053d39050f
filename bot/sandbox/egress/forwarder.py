"""Connections to a port of the loopback -> the same connections to a unix socket, where the proxy listens.

A program of its own: `python3 -I -S forwarder.py SOCKET PORT`, in a network namespace that has nothing but a loopback.
Python 3.8 and its standard library. It decides nothing. It prints `ready` when it listens, and ends on SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import socket
import sys
import time

PIECE = 131072
PAIRS = 512
"""Connections at once, at most; further ones wait in the kernel's queue."""
PAUSE = 0.01
"""Seconds until it is tried again to connect or to accept, where the kernel had no room."""
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class End:
    """One end of a forwarded connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.other = self
        self.pending = memoryview(b"")
        """What the other end has sent and this one has not taken yet; nothing more is read while there is any."""
        self.ended = False
        """It has sent all it had."""
        self.closed = False


class Forwarder:
    """Listening sockets and the connections that came in through them, from `listen` until the process ends."""

    def __init__(self, path: str, port: int) -> None:
        self.path = path
        self.port = port
        self.pairs = 0
        self.most = max(1, min(PAIRS, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 16) // 2))
        self.selector = selectors.DefaultSelector()
        self.listeners: list[socket.socket] = []
        self.waiting: list[socket.socket] = []
        self.accept_after = 0.0
        self.admitting = False
        self.scratch = bytearray(PIECE)

    def listen(self) -> None:
        """Listen on the loopback: IPv4, and IPv6 where there is one."""
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            listener = None
            try:
                listener = socket.socket(family, socket.SOCK_STREAM)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, self.port))
                listener.listen(1024)
                listener.setblocking(False)
            except OSError:
                if listener is not None:
                    listener.close()
                if family == socket.AF_INET:
                    raise
                continue
            self.listeners.append(listener)

    def turn(self) -> None:
        """Wait for events and serve them."""
        pausing = bool(self.waiting) or self.accept_after > time.monotonic()
        self.admit(not pausing and self.pairs < self.most)
        for key, events in self.selector.select(PAUSE if pausing else None):
            if not isinstance(key.data, End):
                self.accept(key.data)
                continue
            if events & WRITE and not key.data.closed:
                self.flush(key.data)
            if events & READ and not key.data.closed:
                self.read(key.data)
        waiting, self.waiting = self.waiting, []
        for client in waiting:
            self.connect(client)

    def admit(self, wanted: bool) -> None:
        """Watch the listening sockets, or leave what comes in to the kernel's queue."""
        if wanted != self.admitting:
            self.admitting = wanted
            for each in self.listeners:
                if wanted:
                    self.selector.register(each, READ, each)
                else:
                    self.selector.unregister(each)

    def accept(self, listener: socket.socket) -> None:
        """Take in what waits at a listener."""
        for _ in range(64):
            if self.pairs >= self.most or self.waiting:
                return
            try:
                client, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError:
                self.accept_after = time.monotonic() + PAUSE
                return
            client.setblocking(False)
            with contextlib.suppress(OSError):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pairs += 1
            self.connect(client)

    def connect(self, client: socket.socket) -> None:
        """Connect a client to the proxy; without a proxy it is hung up on."""
        proxy = None
        try:
            proxy = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            proxy.setblocking(False)
            proxy.connect(self.path)
        except OSError as error:
            if proxy is not None:
                proxy.close()
            if isinstance(error, BlockingIOError):
                # The proxy's queue is full: a unix socket does not tell when it no longer is.
                self.waiting.append(client)
                return
            client.close()
            self.pairs -= 1
            return
        near, far = End(client), End(proxy)
        near.other, far.other = far, near
        self.watch(near)
        self.watch(far)

    def read(self, end: End) -> None:
        """Pass on what an end has sent."""
        sink = end.other
        try:
            count = end.socket.recv_into(self.scratch)
            if not count:
                end.ended = True
                sink.socket.shutdown(socket.SHUT_WR)
            else:
                taken = send(sink.socket, memoryview(self.scratch)[:count])
                if taken < count:
                    sink.pending = memoryview(bytes(self.scratch[taken:count]))
        except BlockingIOError:
            return
        except OSError:
            self.close(end)
            return
        if end.ended and sink.ended:
            self.close(end)
        elif end.ended or sink.pending:
            self.watch(end)
            self.watch(sink)

    def flush(self, end: End) -> None:
        """Write what waits for an end; when all of it is taken, its other end is read again."""
        try:
            end.pending = end.pending[send(end.socket, end.pending) :]
        except OSError:
            self.close(end)
            return
        if not end.pending:
            self.watch(end)
            self.watch(end.other)

    def watch(self, end: End) -> None:
        """Wait for exactly those events of an end that something can be done about."""
        wanted = (0 if end.ended or end.other.pending else READ) | (WRITE if end.pending else 0)
        try:
            current = self.selector.get_key(end.socket).events
        except KeyError:
            current = 0
        if wanted and current and wanted != current:
            self.selector.modify(end.socket, wanted, end)
        elif wanted and not current:
            self.selector.register(end.socket, wanted, end)
        elif current and not wanted:
            self.selector.unregister(end.socket)

    def close(self, end: End) -> None:
        """Close a connection on both sides."""
        for each in (end, end.other):
            each.closed = True
            with contextlib.suppress(KeyError):
                self.selector.unregister(each.socket)
            each.socket.close()
        self.pairs -= 1


def send(sink: socket.socket, data: memoryview) -> int:
    """Send as much as is taken at once, and return how much that is."""
    try:
        return sink.send(data)
    except BlockingIOError:
        return 0


def main(arguments: list[str]) -> int:
    """Forward until the process is ended."""
    if len(arguments) != 2 or not arguments[1].isdigit() or not 0 < int(arguments[1]) < 65536:
        sys.stderr.write("usage: forwarder.py SOCKET PORT\n")
        return 2
    # The first process of a container has no default action for signals. An exception could be lost in a destructor.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    forwarder = Forwarder(arguments[0], int(arguments[1]))
    try:
        forwarder.listen()
    except OSError as error:
        sys.stderr.write(f"forwarder: port {arguments[1]}: {error}\n")
        return 1
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        forwarder.turn()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Loopback servers with real TLS, the real proxy and the real forwarder in front of it -> a world to send requests in.

Names lead to public addresses that only the tests know, and those lead to servers on the loopback.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.egress import forwarder
from bot.sandbox.egress.dial import connect
from bot.sandbox.egress.proxy import EgressProxy
from bot.sandbox.egress.traffic import Clocks
from bot.types.network import EgressRecord, Network

Handler = Callable[[socket.socket], None]


class Origin:
    """A server on the loopback, one thread a connection, until `close`."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self.listener.getsockname()[1]
        self.accepted = 0
        self.handler = handler
        self.context = context
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.accepted += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that breaks off is what many of the tests are about.
        with suppress(OSError), connection:
            connection.settimeout(30)
            if self.context is None:
                self.handler(connection)
            else:
                with self.context.wrap_socket(connection, server_side=True) as inside:
                    self.handler(inside)


class World:
    """Names, servers, a proxy and a forwarder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.names: dict[str, list[list[str]]] = {}
        """Name -> its addresses at the first question, the second one, ..."""
        self.places: dict[str, int] = {}
        """Address -> port on the loopback."""
        self.resolved: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.records: list[EgressRecord] = []
        self.port = 0

    def serve(self, handler: Handler, *names: str, address: str = "93.184.216.34", tls: Any = None) -> Origin:
        origin = Origin(handler, tls)
        self.stack.callback(origin.close)
        self.places[address] = origin.port
        for name in names:
            self.names[name] = [[address]]
        return origin

    def resolve(self, host: str, port: int) -> list[str]:
        self.resolved.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        answers = self.names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def connect(self, address: str, port: int) -> socket.socket:
        self.connected.append((address, port))
        if address not in self.places:
            raise ConnectionRefusedError(address)
        return await connect("127.0.0.1", self.places[address])

    def start(self, *allow: str, clocks: Clocks | None = None, routes: Any = None, **network: Any) -> EgressProxy:
        """Start a proxy, and a forwarder before it."""
        proxy = EgressProxy(
            self.folder / "egress.sock",
            Network(mode="restricted", allow=allow, **network),
            self.records.append,
            routes=routes,
            resolver=self.resolve,
            connector=self.connect,
            clocks=clocks,
        )
        self.stack.enter_context(proxy)
        if not self.port:
            self.port = self.stack.enter_context(forwarding(proxy.path))
        return proxy

    def dial(self) -> socket.socket:
        """Connect as a sandbox does."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        return self.stack.enter_context(closing(connection))

    def tunnel(self, target: str) -> tuple[int, socket.socket]:
        """Ask for a tunnel; return the status and the connection."""
        connection = self.dial()
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode("latin-1"))
        return int(head(connection).split()[1]), connection

    def ask(self, request: str | bytes) -> bytes:
        """Send bytes, and return all that comes until the proxy closes."""
        with self.dial() as connection, suppress(ConnectionError):
            connection.sendall(request.encode("latin-1") if isinstance(request, str) else request)
            return drain(connection)
        return b""

    def codes(self, count: int) -> list[str]:
        """Return what became of `count` requests once all of them have ended."""
        eventually(lambda: len(self.records) >= count)
        return [each.code or each.verdict for each in self.records]


def head(connection: socket.socket) -> bytes:
    """Read a message's head and no byte more."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            break
        data += byte
    return data


def drain(connection: socket.socket) -> bytes:
    """Read until the other side ends, in whatever way it does."""
    data = bytearray()
    with suppress(ConnectionError):
        while piece := connection.recv(65_536):
            data += piece
    return bytes(data)


def eventually(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something that is under way in another thread has come true."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.005)


@contextmanager
def forwarding(path: Path) -> Iterator[int]:
    """Run the forwarder as a donor does; yield its port."""
    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        argv = [sys.executable, "-I", "-S", forwarder.__file__, str(path), str(port)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                continue  # Somebody else was given the port in between.
            try:
                yield port
            finally:
                process.terminate()
            return
    raise AssertionError("no port was free")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `*.example.org` and its key, in one file, made for this run."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=example", "-addext", "subjectAltName=DNS:*.example.org,DNS:example.org"),
            *("-keyout", str(path.with_suffix(".key")), "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + path.with_suffix(".key").read_text())
    return path


@pytest.fixture(scope="session")
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture(scope="session")
def client_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificate)
    return context


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def readable(connection: socket.socket, seconds: float) -> bool:
    """Whether bytes or an end come within some seconds."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(seconds))

"""Connections to the forwarder, run as a donor runs it -> the same bytes at a unix socket."""

from __future__ import annotations

import ast
import hashlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from bot.sandbox.egress import forwarder
from tests.egress_fixtures import drain, eventually, forwarding


class Desk:
    """A unix socket whose connections a test handles itself."""

    def __init__(self, path: Path, backlog: int) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(backlog)
        self.listener.settimeout(30)

    def accept(self) -> socket.socket:
        connection, _ = self.listener.accept()
        connection.settimeout(30)
        return connection


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def desk(tmp_path: Path, stack: ExitStack) -> Desk:
    desk = Desk(tmp_path / "s", 512)
    stack.callback(desk.listener.close)
    return desk


@pytest.fixture
def port(tmp_path: Path, stack: ExitStack) -> int:
    return stack.enter_context(forwarding(tmp_path / "s"))


def dial(port: int, stack: ExitStack, host: str = "127.0.0.1") -> socket.socket:
    return stack.enter_context(closing(socket.create_connection((host, port), timeout=30)))


def test_both_ways_and_each_end_on_its_own(desk: Desk, port: int, stack: ExitStack) -> None:
    client, proxy = dial(port, stack), stack.enter_context(desk.accept())
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert drain(proxy) == b"question"
    proxy.sendall(b"answer")
    proxy.shutdown(socket.SHUT_WR)
    assert drain(client) == b"answer"


def test_an_end_on_the_proxys_side_leaves_the_other_way_open(desk: Desk, port: int, stack: ExitStack) -> None:
    client, proxy = dial(port, stack), stack.enter_context(desk.accept())
    proxy.sendall(b"first")
    proxy.shutdown(socket.SHUT_WR)
    assert drain(client) == b"first"
    client.sendall(b"still here")
    client.close()
    assert drain(proxy) == b"still here"


def test_large_streams_in_both_directions_at_once(desk: Desk, port: int, stack: ExitStack) -> None:
    """Far more than any buffer holds, in pieces that fit none of them, against a reader that is late."""
    client, proxy = dial(port, stack), stack.enter_context(desk.accept())
    up, down = b"u" * 12_345_678, bytes(range(251)) * 50_000
    senders = [threading.Thread(target=send_all, args=each) for each in ((client, up), (proxy, down))]
    for each in senders:
        each.start()
    got: dict[str, bytes] = {}
    reader = threading.Thread(target=lambda: got.update(down=drain(client)))
    reader.start()
    got["up"] = drain(proxy)
    reader.join()
    for each in senders:
        each.join()
    assert [hashlib.sha256(got[key]).digest() for key in ("up", "down")] == [
        hashlib.sha256(each).digest() for each in (up, down)
    ]


def send_all(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def test_a_reader_that_stalls_holds_up_the_sender_and_nobody_else(desk: Desk, port: int, stack: ExitStack) -> None:
    client, proxy = dial(port, stack), stack.enter_context(desk.accept())
    client.settimeout(1)
    sent = 0
    with suppress(TimeoutError):
        while sent < 200_000_000:
            sent += client.send(b"x" * 65_536)
    assert sent < 50_000_000, "nobody reads, so what is not taken must be left with the sender"
    other, desk_side = dial(port, stack), stack.enter_context(desk.accept())
    other.sendall(b"x")
    assert desk_side.recv(1) == b"x"
    client.close()
    assert len(drain(proxy)) >= sent - 65_536


@pytest.mark.parametrize("first", ["client", "proxy"])
def test_when_one_side_is_gone_so_is_the_other(desk: Desk, port: int, stack: ExitStack, first: str) -> None:
    for _ in range(20):
        sides = {"client": dial(port, stack), "proxy": stack.enter_context(desk.accept())}
        gone = sides.pop(first)
        (left,) = sides.values()
        gone.close()
        assert drain(left) == b""
        left.close()


def test_a_thousand_connections_in_turn(desk: Desk, port: int, stack: ExitStack) -> None:
    def answer() -> None:
        for _ in range(1_000):
            with desk.accept() as connection:
                connection.sendall(connection.recv(10))

    answering = threading.Thread(target=answer)
    answering.start()
    for nth in range(1_000):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"%d" % nth)
            assert client.recv(10) == b"%d" % nth
    answering.join()


def test_more_than_the_limit_at_once_wait(desk: Desk, port: int, stack: ExitStack) -> None:
    count = forwarder.PAIRS + 50
    clients = [dial(port, stack) for _ in range(count)]
    proxies = [desk.accept() for _ in range(forwarder.PAIRS)]
    desk.listener.settimeout(0.2)
    with pytest.raises(TimeoutError):
        desk.accept()
    desk.listener.settimeout(30)
    for each in proxies[:50]:
        each.close()
    for client in clients[:50]:
        client.close()
    proxies += [desk.accept() for _ in range(50)]
    clients[-1].sendall(b"last")
    for each in proxies:
        each.close()
    assert drain(clients[-2]) == b""


def test_a_full_queue_of_the_proxy_is_waited_for(tmp_path: Path, port: int, stack: ExitStack) -> None:
    desk = Desk(tmp_path / "s", 1)
    stack.callback(desk.listener.close)
    clients = [dial(port, stack) for _ in range(10)]
    for client in clients:
        client.sendall(b"x")
    for _ in clients:
        with desk.accept() as connection:
            assert connection.recv(1) == b"x"


def test_without_a_proxy_it_hangs_up_and_with_one_it_goes_on(tmp_path: Path, port: int, stack: ExitStack) -> None:
    assert drain(dial(port, stack)) == b""
    for _ in range(2):
        desk = Desk(tmp_path / "s", 5)
        client, proxy = dial(port, stack), stack.enter_context(desk.accept())
        client.sendall(b"x")
        assert proxy.recv(1) == b"x"
        desk.listener.close()
        proxy.close()
        assert drain(client) == b""
        assert drain(dial(port, stack)) == b"", "the socket is there, but nobody listens"
        desk.path.unlink()


def test_it_listens_on_ipv6_too(desk: Desk, port: int, stack: ExitStack) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    client, proxy = dial(port, stack, "::1"), stack.enter_context(desk.accept())
    client.sendall(b"six")
    assert proxy.recv(3) == b"six"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", "-S", forwarder.__file__, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def test_wrong_arguments_and_a_taken_port_are_told(tmp_path: Path) -> None:
    for wrong in ((), ("s",), ("s", "x"), ("s", "0"), ("s", "65536"), ("s", "1", "2")):
        assert (run(*wrong).returncode, run(*wrong).stderr) == (2, "usage: forwarder.py SOCKET PORT\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(str(tmp_path / "s"), str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"forwarder: port {port}: ")


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    before = threading.active_count()
    with forwarding(tmp_path / "s") as port:
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    eventually(lambda: threading.active_count() <= before)


def test_it_runs_on_an_old_python_with_its_library_alone() -> None:
    tree = ast.parse(Path(forwarder.__file__).read_text(encoding="utf-8"), feature_version=(3, 8))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names)

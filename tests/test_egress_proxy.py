"""Requests through the real forwarder and the real proxy -> what reaches which server, and what is noted."""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bot.errors import SandboxError
from bot.sandbox.egress.proxy import EgressProxy
from bot.sandbox.egress.traffic import Clocks
from bot.types.network import EgressRecord, Network
from tests.egress_fixtures import World, certificate, client_tls, drain, eventually, head, server_tls, world

__all__ = ["certificate", "client_tls", "server_tls", "world"]

QUICK = Clocks(header=1.5, connect=1.5, idle=1.5)
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def page(connection: socket.socket) -> None:
    while head(connection):
        connection.sendall(PAGE)


def flood(count: int) -> Callable[[socket.socket], None]:
    """Answer the first bytes with `count` bytes, and take what else comes."""

    def serve(connection: socket.socket) -> None:
        if connection.recv(65_536):
            connection.sendall(b"y" * count)
        connection.shutdown(socket.SHUT_WR)
        drain(connection)

    return serve


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65_536):
        connection.sendall(data)


def fetch(world: World, context: ssl.SSLContext, host: str, port: int = 443) -> tuple[int, bytes]:
    """Ask for a page the way that programs with HTTPS_PROXY do."""
    client = http.client.HTTPSConnection("127.0.0.1", world.port, context=context, timeout=30)
    client.set_tunnel(host, port)
    try:
        client.request("GET", "/")
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def test_listed_hosts_are_reached_and_recorded(
    world: World, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    world.serve(page, "example.org", "a.example.org", tls=server_tls)
    world.start("example.org", "*.example.org:8443")
    assert fetch(world, client_tls, "example.org") == (200, b"hello")
    assert fetch(world, client_tls, "EXAMPLE.org") == (200, b"hello")
    assert fetch(world, client_tls, "a.example.org", 8443) == (200, b"hello")
    assert world.codes(3) == ["allowed"] * 3
    first = world.records[0]
    assert (first.method, first.host, first.port, first.address) == ("CONNECT", "example.org", 443, "93.184.216.34")
    assert first.sent_bytes > 300
    assert first.received_bytes > len(PAGE)
    assert world.connected == [("93.184.216.34", 443)] * 2 + [("93.184.216.34", 8443)]


@pytest.mark.parametrize(
    ("target", "code", "status"),
    [
        ("evil.org:443", "host_not_allowed", 403),
        ("evilexample.org:443", "host_not_allowed", 403),
        ("example.org.evil.org:443", "host_not_allowed", 403),
        ("a.example.org:22", "port_not_allowed", 403),
        ("127.0.0.1:443", "address_literal", 403),
        ("[::1]:443", "address_literal", 403),
        ("2130706433:443", "address_literal", 403),
        ("169.254.169.254:80", "address_literal", 403),
        ("a.example.org", "bad_request", 400),
        ("x@a.example.org:443", "bad_request", 400),
        ("\xe9.example.org:443", "bad_request", 400),
        ("gone.example.org:443", "unresolved", 502),
        ("inside.example.org:443", "private_address", 403),
        ("half.example.org:443", "private_address", 403),
        ("cloud.example.org:443", "private_address", 403),
        ("shut.example.org:443", "unreachable", 502),
    ],
)
def test_the_rest_is_denied_with_its_reason(world: World, target: str, code: str, status: int) -> None:
    origin = world.serve(page, "evil.org", "evilexample.org", "a.example.org")
    world.names |= {
        "inside.example.org": [["10.0.0.1"]],
        "half.example.org": [["93.184.216.34", "::ffff:127.0.0.1"]],
        "cloud.example.org": [["169.254.169.254"]],
        "shut.example.org": [["93.184.216.99"]],
    }
    world.start("*.example.org")
    answer = world.ask(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status} {code}\r\n".encode())
    assert world.codes(1) == [code]
    assert origin.accepted == 0
    assert (code in ("unresolved", "private_address", "unreachable")) == bool(world.resolved), "a lookup leaks the name"
    assert world.records[0].verdict == "denied"
    assert world.records[0].sent_bytes == world.records[0].received_bytes == 0


def test_an_operators_own_host_may_be_private(world: World) -> None:
    world.serve(echo, "mirror.corp", address="10.0.0.7")
    world.names["cloud.corp"] = [["169.254.169.254"]]
    world.start("mirror.corp", "cloud.corp", private=("*.corp", "mirror.corp"))
    assert world.tunnel("mirror.corp:443")[0] == 200
    assert world.tunnel("cloud.corp:443")[0] == 403


def test_the_address_that_was_judged_is_the_one_that_is_connected_to(world: World) -> None:
    world.serve(echo, address="93.184.216.34")
    world.names["a.example.org"] = [["93.184.216.34"], ["127.0.0.1"]]
    world.start("a.example.org")
    assert world.tunnel("a.example.org:443")[0] == 200
    assert (world.resolved, world.connected) == (["a.example.org"], [("93.184.216.34", 443)])
    assert world.tunnel("a.example.org:443")[0] == 403
    assert world.connected == [("93.184.216.34", 443)]


def test_the_next_address_is_tried(world: World) -> None:
    world.serve(echo, address="93.184.216.34")
    world.names["a.example.org"] = [["2606:4700::1111", "93.184.216.34"]]
    world.start("a.example.org")
    assert world.tunnel("a.example.org:443")[0] == 200
    assert [address for address, _ in world.connected] == ["2606:4700::1111", "93.184.216.34"]


def hello(name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    return out.read()


@pytest.mark.parametrize(
    "data",
    [hello("evil.org"), hello("b.example.org"), hello(None), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05\x01"],
    ids=["another", "listed, but another", "none", "not TLS", "unfinished"],
)
def test_a_tunnel_for_another_name_than_asked_for_is_closed(world: World, data: bytes) -> None:
    got: list[bytes] = []
    world.serve(lambda connection: got.append(connection.recv(1)), "a.example.org")
    world.start("*.example.org", clocks=Clocks(header=1.5))
    status, connection = world.tunnel("a.example.org:443")
    assert status == 200
    connection.sendall(data)
    assert drain(connection) == b""
    assert world.codes(1) == ["sni_mismatch"]
    eventually(lambda: bool(got))
    assert got == [b""]


def test_a_hello_that_comes_early_and_in_pieces_is_passed_on_whole(world: World) -> None:
    world.serve(echo, "a.example.org")
    world.start("a.example.org")
    connection, data = world.dial(), hello("A.example.org")
    connection.sendall(
        b"CONNECT a.example.org:443 HTTP/1.1\r\n\r\n".replace(b"\r\n\r\n", b"\r\nHost: x\r\n\r\n") + data[:7]
    )
    assert b" 200 " in head(connection)
    for at in range(7, len(data), 100):
        connection.sendall(data[at : at + 100])
    got = b""
    while len(got) < len(data):
        got += connection.recv(4_096)
    assert got == data


def test_plain_http_only_where_it_is_listed(world: World) -> None:
    asked: list[bytes] = []
    given = b"HTTP/1.1 200 OK\r\nConnection: x-secret\r\nX-Secret: 1\r\nETag: e\r\n\r\nhello"

    def answer(connection: socket.socket) -> None:
        asked.append(head(connection))
        connection.sendall(given)

    world.serve(answer, "deb.example.org", "a.example.org")
    world.start("http://deb.example.org", "a.example.org")
    got = world.ask(
        "GET http://deb.example.org/x?y HTTP/1.1\r\nHost: deb.example.org\r\nProxy-Authorization: Basic x\r\n"
        "TE: gzip\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\n"
        "Proxy-Connection: keep-alive\r\nAccept: a/b\r\n\r\n"
    )
    assert [each.lower() for each in asked] == [
        b"get /x?y http/1.1\r\nhost: deb.example.org\r\nconnection: close\r\naccept: a/b\r\n\r\n"
    ]
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"etag: e" in got.lower()
    assert b"secret" not in got.lower()
    assert b"hello" in got
    assert b" 403 plain_http" in world.ask("GET http://a.example.org/ HTTP/1.1\r\nHost: a.example.org\r\n\r\n")
    assert b" 403 host_not_allowed" in world.ask("GET http://b.example.org/ HTTP/1.1\r\nHost: b.example.org\r\n\r\n")
    assert b" 403 port_not_allowed" in world.ask("CONNECT deb.example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert world.codes(4) == ["allowed", "plain_http", "host_not_allowed", "port_not_allowed"]
    first = world.records[0]
    assert (first.sent_bytes, first.received_bytes) == (len(asked[0]), len(given))


def test_each_request_of_a_connection_is_judged_anew(world: World) -> None:
    origin = world.serve(page, "deb.example.org", "evil.org")
    world.start("http://deb.example.org")
    client = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
    for _ in range(3):
        client.request("GET", "http://deb.example.org/")
        assert client.getresponse().read() == b"hello"
    client.request("GET", "http://evil.org/", headers={"Host": "evil.org"})
    assert client.getresponse().status == 403
    client.close()
    one = "GET http://deb.example.org/ HTTP/1.1\r\nHost: deb.example.org\r\n\r\n"
    both = world.ask(one + one.replace("deb.example.org", "evil.org") + one)
    assert both.count(b"HTTP/1.1 200") == both.count(b"HTTP/1.1 403") == 1
    assert world.codes(6) == ["allowed"] * 3 + ["host_not_allowed", "allowed", "host_not_allowed"]
    assert origin.accepted == 4


GET = "GET http://deb.example.org/ HTTP/1.1\r\n"
POST = "POST http://deb.example.org/ HTTP/1.1\r\nHost: deb.example.org\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        GET + "Host: evil.org\r\n\r\n",
        GET + "Host: deb.example.org\r\nHost: evil.org\r\n\r\n",
        GET + "\r\n",
        "GET / HTTP/1.1\r\nHost: deb.example.org\r\n\r\n",
        "GET https://deb.example.org/ HTTP/1.1\r\nHost: deb.example.org\r\n\r\n",
        POST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        POST + "Content-Length: +4\r\n\r\nabcd",
        POST + "Transfer-Encoding: chunked, identity\r\n\r\n",
        POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + "X: a\x01b\r\n\r\n",
        POST.replace("1.1", "2.0") + "\r\n",
        POST.replace(" ", "  ", 1) + "\r\n",
        "CONNECT a.example.org:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd",
        "\x16\x03\x01 hello\r\n\r\n",
        POST.replace("org/", "org/" + "x" * 100_000, 1) + "\r\n",
        POST + "X: " + "x" * 100_000 + "\r\n\r\n",
        POST + "X: y\r\n" * 20_000 + "\r\n",
    ],
    ids=range(19),
)
def test_what_could_be_read_in_two_ways_is_passed_on_in_none(world: World, request_: str) -> None:
    origin = world.serve(page, "deb.example.org", "a.example.org")
    world.start("http://deb.example.org", "a.example.org")
    assert world.ask(request_).startswith(b"HTTP/1.1 400 bad_request\r\n")
    assert world.codes(1) == ["bad_request"]
    assert origin.accepted == 0


def test_a_chunked_body_is_framed_anew_and_nothing_behind_it_slips_through(world: World) -> None:
    got: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        data = head(connection)
        while not data.endswith(b"0\r\n\r\n"):
            data += connection.recv(4_096)
        got.append(data)
        connection.sendall(PAGE)

    world.serve(answer, "deb.example.org")
    world.start("http://deb.example.org")
    inner = "GET http://evil.org/ HTTP/1.1\r\nHost: evil.org\r\n\r\n"
    answers = world.ask(
        "POST http://deb.example.org/ HTTP/1.1\r\nHost: deb.example.org\r\nTransfer-Encoding: chunked\r\n\r\n"
        f"{len(inner):x};ext=1\r\n{inner}\r\n0\r\nX-Trailer: 1\r\n\r\n{inner}"
    )
    assert answers.count(b"HTTP/1.1 200") == answers.count(b" 403 host_not_allowed") == 1
    assert got[0].lower().count(b"transfer-encoding: chunked") == 1
    assert got[0].endswith(f"{len(inner):x}\r\n{inner}\r\n0\r\n\r\n".encode())
    assert b"ext" not in got[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        b"",
    ],
    ids=["switch", "not HTTP", "huge", "two lengths", "nothing"],
)
def test_a_host_that_breaks_the_protocol_is_not_passed_on(world: World, answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(answer)

    world.serve(serve, "deb.example.org")
    world.start("http://deb.example.org", clocks=Clocks(idle=5))
    assert b" 502 unreachable" in world.ask("GET http://deb.example.org/ HTTP/1.1\r\nHost: deb.example.org\r\n\r\n")
    assert world.codes(1) == ["unreachable"]


def test_two_framings_of_an_answer_become_one(world: World) -> None:
    def serve(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(
            b"HTTP/1.1 103 Early Hints\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\n\r\n"
        )

    world.serve(serve, "deb.example.org")
    world.start("http://deb.example.org")
    client = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
    client.request("GET", "http://deb.example.org/")
    answer = client.getresponse()
    assert (answer.read(), answer.getheader("Content-Length")) == (b"hello", None)
    client.close()


def test_bodies_heads_and_expectations(world: World) -> None:
    def serve(connection: socket.socket) -> None:
        request = head(connection).lower()
        assert b"expect" not in request
        if request.startswith(b"head"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
            return
        body = b""
        while len(body) < 300_000:
            body += connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 201 Made\r\nContent-Length: 300000\r\n\r\n" + body)

    world.serve(serve, "deb.example.org")
    world.start("http://deb.example.org:8080")
    client = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
    client.request("HEAD", "http://deb.example.org:8080/")
    answer = client.getresponse()
    assert (answer.read(), answer.getheader("Content-Length")) == (b"", "9")
    client.request("PUT", "http://deb.example.org:8080/", body=b"z" * 300_000, headers={"Expect": "100-continue"})
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (201, b"z" * 300_000)
    client.close()
    assert world.codes(2) == ["allowed", "allowed"]


def test_a_route_leads_to_our_own_service(world: World) -> None:
    broker = world.serve(page)
    world.places["127.0.0.1"] = broker.port
    world.start(routes={"model.internal": ("127.0.0.1", broker.port)}, max_requests=2)
    request = "POST http://model.internal/v1 HTTP/1.1\r\nHost: model.internal\r\nConnection: close\r\n\r\n"
    assert b"hello" in world.ask(request)
    assert b" 403 " in world.ask("CONNECT model.internal:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 429 request_budget" in world.ask(request)
    assert world.codes(3) == ["allowed", "port_not_allowed", "request_budget"]
    assert world.records[0].received_bytes == len(PAGE)
    assert world.connected == [("127.0.0.1", broker.port)]
    assert world.resolved == []


def test_learning_lets_public_hosts_through(world: World) -> None:
    world.serve(echo, "any.example.org")
    world.names["inside.example.org"] = [["10.0.0.1"]]
    world.start(learn=True)
    assert world.tunnel("any.example.org:8443")[0] == 200
    assert world.tunnel("inside.example.org:443")[0] == 403
    world.stack.close()
    assert sorted(world.codes(2)) == ["learned", "private_address"]


def test_requests_are_counted_denied_ones_too(world: World) -> None:
    origin = world.serve(page, "deb.example.org")
    world.start("http://deb.example.org", max_requests=3)
    good = "GET http://deb.example.org/ HTTP/1.1\r\nHost: deb.example.org\r\nConnection: close\r\n\r\n"
    answers = [world.ask(each)[9:12] for each in (good, "nonsense\r\n\r\n", good, good, good)]
    assert answers == [b"200", b"400", b"200", b"429", b"429"]
    assert world.codes(5) == ["allowed", "bad_request", "allowed", "request_budget", "request_budget"]
    assert origin.accepted == 2


def test_a_loop_beyond_the_budget_does_not_grow_the_audit(world: World) -> None:
    world.start("a.example.org", max_requests=1)
    for _ in range(130):
        assert b" 4" in world.ask("nonsense\r\n\r\n")
    assert len(world.records) == 101


@pytest.mark.parametrize("budget", [70_000, 500_000])
def test_a_download_is_cut_at_exactly_the_budget(world: World, budget: int) -> None:
    data = hello("a.example.org")
    world.serve(flood(2_000_000), "a.example.org", "deb.example.org")
    world.start("a.example.org", max_bytes=budget)
    _, connection = world.tunnel("a.example.org:443")
    connection.sendall(data)
    assert len(drain(connection)) == budget - len(data)
    assert world.codes(1) == ["byte_budget"]
    assert (world.records[0].sent_bytes, world.records[0].received_bytes) == (len(data), budget - len(data))
    assert b" 429 byte_budget" in world.ask("CONNECT a.example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n")


def test_an_upload_is_cut_at_exactly_the_budget_and_ends_exactly_at_it(world: World) -> None:
    got: list[int] = []
    data = hello("a.example.org")
    world.serve(lambda connection: got.append(len(drain(connection))), "a.example.org")
    world.start("a.example.org", max_bytes=300_000)
    _, connection = world.tunnel("a.example.org:443")
    connection.sendall(data + b"y" * (299_999 - len(data)))
    connection.shutdown(socket.SHUT_WR)
    assert drain(connection) == b""
    assert world.codes(1) == ["allowed"]
    _, connection = world.tunnel("a.example.org:443")
    connection.sendall(data)
    assert drain(connection) == b""
    assert world.codes(2) == ["allowed", "byte_budget"]
    eventually(lambda: len(got) == 2)
    assert got == [299_999, 1]
    assert sum(each.sent_bytes for each in world.records) == 300_000


def test_a_plain_transfer_is_cut_at_exactly_the_budget(world: World) -> None:
    got: list[int] = []
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"

    def serve(connection: socket.socket) -> None:
        got.append(len(head(connection)))
        connection.sendall(answer + b"y" * 1_000_000)

    world.serve(serve, "deb.example.org")
    world.start("http://deb.example.org", max_bytes=200_000)
    body = world.ask("GET http://deb.example.org/ HTTP/1.1\r\nHost: deb.example.org\r\n\r\n").partition(b"\r\n\r\n")[2]
    assert len(body) == 200_000 - got[0] - len(answer)
    assert world.codes(1) == ["byte_budget"]
    assert world.records[0].sent_bytes + world.records[0].received_bytes == 200_000


def test_many_connections_share_one_budget_exactly(world: World) -> None:
    data = hello("a.example.org")
    world.serve(flood(300_000), "a.example.org")
    world.start("a.example.org", max_bytes=1_000_000)

    def one(_: int) -> int:
        status, connection = world.tunnel("a.example.org:443")
        with connection:
            if status != 200:
                return 0
            connection.sendall(data)
            return len(drain(connection))

    with ThreadPoolExecutor(8) as threads:
        received = sum(threads.map(one, range(8)))
    world.codes(8)
    assert sum(each.sent_bytes + each.received_bytes for each in world.records) == 1_000_000
    assert received == sum(each.received_bytes for each in world.records)


def test_bandwidth_is_limited(world: World) -> None:
    """40,000 bytes at 40,000 a second can't be there before 7/8 of a second have gone."""
    world.serve(flood(40_000), "a.example.org")
    world.start("a.example.org", bytes_per_second=40_000)
    _, connection = world.tunnel("a.example.org:443")
    began = time.monotonic()
    connection.sendall(hello("a.example.org"))
    assert len(drain(connection)) == 40_000
    assert time.monotonic() - began > 0.85


def test_a_half_closed_tunnel_goes_on(world: World) -> None:
    data = hello("a.example.org")

    def serve(connection: socket.socket) -> None:
        everything = drain(connection)
        connection.sendall(everything[::-1])

    world.serve(serve, "a.example.org")
    world.start("a.example.org")
    _, connection = world.tunnel("a.example.org:443")
    connection.sendall(data + b"z" * 100_000)
    connection.shutdown(socket.SHUT_WR)
    assert drain(connection) == (data + b"z" * 100_000)[::-1]
    assert world.codes(1) == ["allowed"]


def test_slow_and_silent_clients_are_let_go(world: World) -> None:
    world.serve(echo, "a.example.org")
    world.start("a.example.org", clocks=QUICK)
    silent, slow = world.dial(), world.dial()
    ended = threading.Event()

    def drip() -> None:
        for byte in b"CONNECT a.example.org:443 HTTP/1.1\r\nX: " + b"x" * 10_000:
            try:
                slow.sendall(bytes([byte]))
            except OSError:
                break
            if ended.wait(0.02):
                break

    dripping = threading.Thread(target=drip)
    dripping.start()
    assert b" 400 bad_request" in drain(slow)
    ended.set()
    dripping.join()
    assert drain(silent) == b""
    status, open_ = world.tunnel("a.example.org:443")
    assert status == 200
    data = hello("a.example.org")
    open_.sendall(data)
    assert drain(open_) == data, "idle, so it was ended"
    assert sorted(world.codes(2)) == ["allowed", "bad_request"]


def test_names_that_hang_are_given_up_and_hold_up_nothing_for_ever(world: World) -> None:
    free = threading.Event()
    known = world.resolve

    def hang(host: str, port: int) -> list[str]:
        if host.startswith("slow"):
            free.wait(30)
        return known(host, port)

    world.resolve = hang  # type: ignore[method-assign]
    world.serve(echo, "a.example.org")
    proxy = world.start("*.example.org", clocks=QUICK)
    with ThreadPoolExecutor(50) as threads:
        asked = [f"CONNECT slow{nth}.example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n" for nth in range(50)]
        assert all(b" 502 unresolved" in answer for answer in threads.map(world.ask, asked))
    assert sum(each.name == "egress-names" for each in threading.enumerate()) <= 32
    proxy.close()
    with proxy:
        assert world.tunnel("a.example.org:443")[0] == 200
    free.set()
    eventually(lambda: not any(each.name == "egress-names" for each in threading.enumerate()))


def test_a_host_that_hangs_is_given_up(world: World) -> None:
    async def hang(address: str, port: int) -> socket.socket:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits that long")

    world.connect = hang  # type: ignore[method-assign]
    world.names["a.example.org"] = [["93.184.216.34", "93.184.216.35"]]
    world.start("a.example.org", clocks=QUICK)
    assert world.tunnel("a.example.org:443")[0] == 502
    assert world.codes(1) == ["unreachable"]


def test_200_connections_at_once(world: World) -> None:
    world.serve(echo, "a.example.org")
    world.start("a.example.org")
    data = hello("a.example.org")
    barrier = threading.Barrier(200)

    def one(_: int) -> bytes:
        status, connection = world.tunnel("a.example.org:443")
        barrier.wait(60)
        assert status == 200
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return drain(connection)

    with ThreadPoolExecutor(200) as threads:
        assert list(threads.map(one, range(200))) == [data] * 200
    assert world.codes(200) == ["allowed"] * 200


def test_connections_beyond_the_limit_wait_for_their_turn(world: World) -> None:
    world.serve(echo, "a.example.org")
    world.start("a.example.org", clocks=Clocks(header=1))
    silent = [world.dial() for _ in range(300)]
    assert world.tunnel("a.example.org:443")[0] == 200
    assert drain(silent[0]) == b""


def test_close_ends_connections_and_leaves_nothing(world: World) -> None:
    world.serve(echo, "a.example.org")
    before = set(threading.enumerate())
    proxy = world.start("a.example.org")
    assert proxy.path.stat().st_mode & 0o777 == 0o666
    (_, connection), idle = world.tunnel("a.example.org:443"), world.dial()
    data = hello("a.example.org")
    connection.sendall(data)
    assert connection.recv(65_536)
    proxy.close()
    proxy.close()
    assert drain(connection) == drain(idle) == b""
    assert not proxy.path.exists()
    assert world.codes(1) == ["allowed"]
    assert world.records[0].sent_bytes == len(data)
    ours = {each for each in threading.enumerate() if each.name.startswith("egress")} - before
    eventually(lambda: not any(each.is_alive() for each in ours))
    assert not any(each.name == "egress-proxy" for each in ours)


def test_the_forwarder_outlives_the_proxy_and_budgets_outlive_a_restart(world: World) -> None:
    world.serve(page, "deb.example.org")
    proxy = world.start("http://deb.example.org", max_requests=2)
    good = "GET http://deb.example.org/ HTTP/1.1\r\nHost: deb.example.org\r\nConnection: close\r\n\r\n"
    assert b"hello" in world.ask(good)
    proxy.close()
    assert drain(world.dial()) == b""
    with proxy:
        assert b"hello" in world.ask(good)
        assert b" 429 " in world.ask(good)


def test_a_callback_that_fails_ends_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def fail(record: EgressRecord) -> None:
        raise ValueError("a full disk")

    path = world.folder / "s"
    with EgressProxy(path, Network(mode="restricted"), fail), caplog.at_level(logging.ERROR):
        for _ in range(2):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
            connection.sendall(b"CONNECT a.example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 403 " in drain(connection)
            connection.close()
    assert "a full disk" in caplog.text


def test_an_old_socket_is_replaced_and_anything_else_is_not(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    network = Network(mode="restricted")
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "old"))
    left.close()
    for path in (tmp_path / "old", deep / "s"):
        with EgressProxy(path, network, print):
            assert path.is_socket()
        assert not path.exists()
    (tmp_path / "file").write_text("theirs")
    for path in (tmp_path / "file", tmp_path / "missing" / "s"):
        with pytest.raises(SandboxError) as caught, EgressProxy(path, network, print):
            pass
        assert caught.value.code == "egress_socket"
    assert (tmp_path / "file").read_text() == "theirs"


def test_a_stranger_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    with EgressProxy(tmp_path / "s", Network(mode="restricted"), print):
        (tmp_path / "s").unlink()
        (tmp_path / "s").write_text("theirs")
    assert (tmp_path / "s").read_text() == "theirs"

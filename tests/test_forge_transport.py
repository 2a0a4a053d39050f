"""One request over real sockets: tokens, redirects, hostile answers; what leaves this machine and what comes back."""

from __future__ import annotations

import gzip
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.errors import ConfigurationError, ForgeError
from bot.forge.client.client import Client
from bot.forge.client.failures import InDoubt
from bot.forge.client.tokens import FixedToken
from bot.forge.client.transport import Request, Transport, is_inside
from bot.settings import Settings
from tests.forge_fixtures import NAME, TOKEN, Desk, desk, settings_for

__all__ = ["desk"]

SECRET = "ghs_" + "7_" * 250
Play = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def host(play: Play) -> Iterator[tuple[str, list[tuple[str, str, dict[str, str]]]]]:
    """A server that answers as it is told, and what it heard."""
    heard: list[tuple[str, str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            heard.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.close_connection = True
            try:
                play(self)
                self.wfile.flush()
            except OSError:
                return

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = serve

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the library gave it
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", heard
    finally:
        server.shutdown()
        server.server_close()


def saying(status: int, body: bytes = b"{}", **headers: str) -> Play:
    def play(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return play


def transport_to(url: str, **more: Any) -> Transport:
    return Transport(Settings(api_url=f"{url}/api/v3"), FixedToken(SecretStr(SECRET)), **more)


class Minted:
    """Tokens one after the other, as an App has them."""

    def __init__(self, *values: str) -> None:
        self.values = list(values)
        self.refused: list[str] = []

    def token(self) -> str:
        return self.values[0]

    def renew(self, refused: str) -> bool:
        self.refused.append(refused)
        if len(self.values) == 1:
            return False
        self.values.pop(0)
        return True


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_token_is_renewed_once_and_forgotten(desk: Desk, method: Any) -> None:
    tokens = Minted("ghs_old", TOKEN, "ghs_never")
    client = Client(Transport(settings_for(desk.server), tokens))
    path = f"/repos/{NAME}/issues/1"
    if method == "GET":
        assert client.get(path)["number"] == 1
        client.get(path)
    else:
        client.write("POST", f"{path}/comments", {"body": "once"})
        assert desk.repo.comments(1) == ["once"]
    sent = [each.headers["authorization"] for each in desk.server.requests]
    assert sent[:2] == ["Bearer ghs_old", f"Bearer {TOKEN}"]
    assert set(sent[2:]) <= {f"Bearer {TOKEN}"}
    assert tokens.refused == ["ghs_old"]


def test_a_second_refusal_is_an_error_without_a_token_in_it(desk: Desk) -> None:
    client = Client(Transport(settings_for(desk.server), Minted("ghs_first", "ghs_second", "ghs_third")))
    with pytest.raises(ForgeError) as caught:
        client.get(f"/repos/{NAME}")
    assert caught.value.code == "unauthorized"
    assert len(desk.server.requests) == 2
    assert "ghs_" not in str(vars(caught.value))


def test_a_token_of_any_length_goes_in_one_header_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with host(saying(200)) as (url, heard):
        transport_to(url).send(Request("POST", "/x", {"q": "1"}, {"a": 1}))
    (method, path, headers), *more = heard
    assert (method, path, more) == ("POST", "/api/v3/x?q=1", [])
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["x-github-api-version"] == "2022-11-28"
    assert SECRET not in caplog.text


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Evil: 1", "tökén", "a\n"])
def test_a_token_that_is_none_is_not_sent(token: str) -> None:
    with host(saying(200)) as (url, heard), pytest.raises(ConfigurationError) as caught:
        Transport(Settings(api_url=url), FixedToken(SecretStr(token))).send(Request("GET", "/x"))
    assert heard == []
    assert token not in str(caught.value)


def test_netrc_and_cookies_stay_out(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with host(saying(200, Set_Cookie="session=1; Path=/")) as (url, heard):
        transport = transport_to(url)
        transport.send(Request("GET", "/x"))
        transport.send(Request("GET", "/x"))
        Transport(Settings(api_url=url), FixedToken(None)).send(Request("GET", "/y"))
    assert [each[2].get("authorization") for each in heard] == [f"Bearer {SECRET}", f"Bearer {SECRET}", None]
    assert all("cookie" not in each[2] for each in heard)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
def test_no_redirect_takes_a_token_or_a_write_to_another_host(method: Any, status: int) -> None:
    with host(saying(200)) as (elsewhere, stolen):
        there = f"{elsewhere}/api/v3/x"
        with host(saying(status, Location=there)) as (url, heard), pytest.raises(ForgeError) as caught:
            transport_to(url).send(Request(method, "/x", body={"a": 1}))
        assert caught.value.code == "moved"
        assert stolen == []
        assert [each[0] for each in heard] == [method]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_a_write_is_redirected_nowhere_and_never_becomes_a_read(method: Any, status: int) -> None:
    with host(saying(status, Location="/api/v3/y")) as (url, heard):
        with pytest.raises(ForgeError) as caught:
            transport_to(url).send(Request(method, "/x", body={"a": 1}))
        assert caught.value.code == "moved"
        assert [(each[0], each[1]) for each in heard] == [(method, "/api/v3/x")]


BASE = "https://api.example.test/api/v3"


@pytest.mark.parametrize(
    ("location", "inside"),
    [
        ("https://api.example.test/api/v3/repositories/1", True),
        ("/api/v3/repositories/1?page=2", True),
        ("repositories", True),
        ("https://api.example.test/api/v3/../../login", False),
        ("https://api.example.test/api/v3/%2e%2e/%2E./login", False),
        ("https://api.example.test/api/v3", False),
        ("https://api.example.test/api/v30/x", False),
        ("https://api.example.test@evil.test/api/v3/x", False),
        ("https://user:pass@api.example.test/api/v3/x", False),
        ("https://@api.example.test/api/v3/x", False),
        ("https://api.example.test:443/api/v3/x", False),
        ("https://api.example.test:8443/api/v3/x", False),
        ("https://api.example.test./api/v3/x", False),
        ("http://api.example.test/api/v3/x", False),
        ("//evil.test/api/v3/x", False),
        ("https://[evil/api/v3/x", False),
        ("javascript:alert(1)", False),
        ("https://evil.test/https://api.example.test/api/v3/x", False),
    ],
)
def test_where_a_redirect_may_lead(location: str, inside: bool) -> None:
    assert is_inside(BASE, f"{BASE}/x", location) is inside


@given(st.text(max_size=60))
def test_no_location_breaks_the_reading(location: str) -> None:
    assert is_inside(BASE, f"{BASE}/x", location) in (True, False)


@pytest.mark.parametrize(
    "location", ["/api/v3/x\ty", "\\\\evil.test\\x", "/api/v3/\\@evil.test", "/api/v3/ä", "/api/v3/ x"]
)
def test_strange_locations_are_refused(location: str) -> None:
    def play(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(f"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n".encode())

    with host(play) as (url, heard), pytest.raises(ForgeError) as caught:
        transport_to(url).send(Request("GET", "/x"))
    assert caught.value.code == "moved"
    assert len(heard) == 1


def test_redirects_are_counted() -> None:
    with host(saying(302, Location="/api/v3/x")) as (url, heard), pytest.raises(ForgeError) as caught:
        transport_to(url).send(Request("GET", "/x"))
    assert caught.value.code == "moved"
    assert len(heard) == 4


def flood(head: str) -> Play:
    def play(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head.encode())
        for _ in range(4000):
            handler.wfile.write(b"x" * 65_536)

    return play


def test_the_body_of_a_redirect_is_not_read() -> None:
    play = flood("HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\n\r\n")
    with host(play) as (url, _), pytest.raises(ForgeError) as caught:
        transport_to(url).send(Request("GET", "/x"))
    assert caught.value.code == "moved"


def test_an_endless_body_ends_at_the_limit() -> None:
    with host(flood("HTTP/1.1 200 OK\r\n\r\n")) as (url, _):
        with pytest.raises(ForgeError) as caught:
            transport_to(url).send(Request("GET", "/x", limit=200_000))
        assert caught.value.code == "answer_too_large"
        answer = transport_to(url).send(Request("GET", "/x", limit=200_000, cut=True))
    assert (len(answer.text), answer.cut) == (200_000, True)


@pytest.mark.parametrize("head", ["Content-Length: 100000", "Transfer-Encoding: chunked", "X-None: 1"])
def test_a_dripping_answer_ends_at_the_deadline(head: str) -> None:
    def play(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        for _ in range(100):
            handler.wfile.write(b"1\r\nx\r\n" if "chunked" in head else b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    with host(play) as (url, _):
        start = time.monotonic()
        with pytest.raises(InDoubt):
            transport_to(url, deadline=0.3).send(Request("GET", "/x"))
        assert time.monotonic() - start < 3


def test_nothing_is_asked_again_behind_our_back() -> None:
    """PyGithub asks again after a 202, for ever, and follows a 301 by itself."""
    with host(saying(202, b"[]")) as (url, heard):
        assert transport_to(url).send(Request("GET", "/x")).status == 202
    assert len(heard) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"X-RateLimit-Remaining": "many", "X-RateLimit-Limit": "many", "X-RateLimit-Reset": "soon"},
        {"X-RateLimit-Remaining": "9" * 400, "X-RateLimit-Limit": "", "X-RateLimit-Reset": "-1"},
        {"X-OAuth-Scopes": ",,,", "Link": "<<<;;;", "ETag": "", "Content-Type": "x/y; charset=utf-99"},
    ],
)
def test_headers_that_mean_nothing_change_nothing(headers: dict[str, str]) -> None:
    with host(saying(200, b'{"a": 1}', **headers)) as (url, _):
        assert Client(transport_to(url)).get("/x") == {"a": 1}


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
def test_half_an_answer_leaves_a_write_in_doubt(said: bytes) -> None:
    def play(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(said)

    with host(play) as (url, heard), pytest.raises(InDoubt) as caught:
        transport_to(url).send(Request("POST", "/x", body={}))
    assert len(heard) == 1
    assert SECRET not in str(caught.value)


def test_a_bomb_of_compressed_zeros_ends_at_the_limit() -> None:

    bomb = gzip.compress(b"0" * 30_000_000)
    with host(saying(200, bomb, Content_Encoding="gzip")) as (url, _), pytest.raises(ForgeError) as caught:
        transport_to(url).send(Request("GET", "/x", limit=1_000_000))
    assert caught.value.code == "answer_too_large"


def test_a_closed_transport_keeps_no_connection(desk: Desk) -> None:
    transport = Transport(settings_for(desk.server), FixedToken(SecretStr(TOKEN)))
    transport.send(Request("GET", f"/repos/{NAME}"))
    transport.close()
    transport.close()
    assert transport.send(Request("GET", f"/repos/{NAME}")).status == 200

"""`sandpiper serve` on loopback: forged, repeated, oversized and interrupted deliveries."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.api.signature import is_signed
from bot.store.inbox import Delivery
from tests.github_server.server import GitHubServer
from tests.serve_fixtures import (
    ROOT,
    SECRET,
    Serving,
    answers,
    asks,
    environ_for,
    github_with_ann,
    serving,
    signed,
    until,
)


@pytest.fixture(scope="module")
def github() -> Iterator[GitHubServer]:
    with github_with_ann() as found:
        yield found


@pytest.fixture(scope="module")
def server(github: GitHubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    state = tmp_path_factory.mktemp("serve")
    with serving(environ_for(github, state, SANDPIPER_WEBHOOK_SECRET_OLD="the-one-before-9f2c7e11")) as found:
        found.state = state / "state"  # type: ignore[attr-defined]
        yield found


def kept(server: Serving, name: str) -> list[str]:
    """Where the inbox knows a delivery."""
    folder: Path = server.state / "inbox"  # type: ignore[attr-defined]
    return sorted(each.parent.name for each in folder.glob(f"*/{Delivery(id=name, event='x').name}"))


# --- who may come in --------------------------------------------------------------------------------------------

NONSENSE = b"{" * 5_000_000


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("sha256=" + "0" * 64, NONSENSE),
        (signed(b"{}", "another-secret-0123456789"), b"{}"),
        ("", b"{}"),
        ("sha256=", b"{}"),
        ("sha1=" + "0" * 40, b"{}"),
        (signed(b"{}").upper(), b"{}"),
        (signed(b"{}"), b"{} "),
    ],
)
def test_a1_without_the_right_signature_nothing_comes_in(server: Serving, signature: str, body: bytes) -> None:
    answer = server.post(body, "forged-1", X_Hub_Signature_256=signature)
    assert answer.status_code == 401
    assert kept(server, "forged-1") == []
    assert server.health().json()["waiting"] == 0


@given(st.binary(max_size=200), st.binary(max_size=90), st.text(min_size=1, max_size=40))
def test_a1_only_the_signature_of_these_bytes_is_good(body: bytes, other: bytes, secret: str) -> None:
    key = secret.encode("utf-8", "surrogatepass")
    good = b"sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest().encode()
    assert is_signed(body, good, [b"another", key])
    assert is_signed(body, other, [key]) is (other == good)
    assert is_signed(other, good, [key]) is (other == body)


def raw(server: Serving, head: bytes, body: bytes = b"") -> bytes:
    """The first line of the answer to a request byte for byte."""
    parts = urlsplit(server.address)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), 30) as connection:
        connection.sendall(b"POST /webhook HTTP/1.1\r\nHost: bot\r\n" + head + b"\r\n" + body)
        return connection.recv(4096).split(b"\r\n")[0]


def test_a1_a_signature_that_is_not_ascii_is_wrong_and_no_defect(server: Serving) -> None:
    head = b"X-GitHub-Event: ping\r\nX-GitHub-Delivery: d\r\nContent-Length: 2\r\n"
    for value in ("sha256=ä".encode(), b"sha256=\xff\xfe", b"sha256=" + b"\xc3" * 64):
        assert b" 401 " in raw(server, head + b"X-Hub-Signature-256: " + value + b"\r\n", b"{}")
    twice = b"X-Hub-Signature-256: " + signed(b"{}").encode() + b"\r\n"
    assert b" 401 " in raw(server, head + twice + twice.replace(b"sha256=", b"sha256=0"), b"{}")
    assert b" 200 " in raw(server, head + twice, b"{}")


def test_a_ping_is_answered_and_headers_are_needed(server: Serving) -> None:
    assert server.post({"zen": "Keep it simple"}, "d", "ping").status_code == 200
    assert server.post({}, "", "ping").status_code == 400
    assert server.post({}, "d", "").status_code == 400
    assert server.post({}, "d", "Not An Event").status_code == 400
    assert server.post({}, "x" * 300, "issues").status_code == 400
    assert server.health().status_code == 200
    here = urlsplit(server.address)
    for method, path, status in (("GET", "/webhook", 405), ("POST", "/webhook/", 404), ("GET", "/docs", 404)):
        assert httpx.request(method, f"http://{here.netloc}{path}").status_code == status
    assert server.post({}, "d", "schedule").status_code == 400


def test_more_than_github_sends_is_not_read(server: Serving) -> None:
    head = b"X-Hub-Signature-256: " + signed(b"").encode() + b"\r\n"
    assert b" 413 " in raw(server, head + b"Content-Length: 26214401\r\n")
    assert b" 413 " in raw(server, head + b"Content-Length: 9999999999999999999\r\n")
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    parts = urlsplit(server.address)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), 30) as connection:
        connection.sendall(b"POST /webhook HTTP/1.1\r\nHost: bot\r\nTransfer-Encoding: chunked\r\n" + head + b"\r\n")
        try:
            for _ in range(40):
                connection.sendall(chunk)
            connection.sendall(b"0\r\n\r\n")
            said = connection.recv(4096)
        except (ConnectionError, BrokenPipeError):
            said = connection.recv(4096)
    assert b" 413 " in said.split(b"\r\n")[0]


def test_who_only_promises_large_bodies_keeps_nobody_out(server: Serving) -> None:
    parts = urlsplit(server.address)
    head = b"X-Hub-Signature-256: " + signed(b"").encode() + b"\r\nContent-Length: 26214400\r\n\r\n"
    where = str(parts.hostname), int(parts.port or 0)
    with ExitStack() as stack:
        for _ in range(12):
            connection = stack.enter_context(socket.create_connection(where, 30))
            connection.sendall(b"POST /webhook HTTP/1.1\r\nHost: bot\r\n" + head + b"{")
        time.sleep(0.3)
        assert server.post({}, "d", "ping").status_code == 200


def test_the_secret_before_the_rotation_is_good_too(server: Serving) -> None:
    assert server.post({}, "d", "ping", secret="the-one-before-9f2c7e11").status_code == 200


@pytest.mark.parametrize(
    "secret", [None, "", "   ", "<WEBHOOK SECRET>", "changeme", "short-0123", "your-webhook-secret", "x" * 40, "${S}"]
)
def test_a4_without_a_real_secret_it_does_not_start(tmp_path: Path, secret: str | None) -> None:
    environ = {"PATH": "/usr/bin", "HOME": str(tmp_path), "SANDPIPER_TOKEN": "t0ken"}
    if secret is not None:
        environ["SANDPIPER_WEBHOOK_SECRET"] = secret
    command = [sys.executable, "-m", "bot", "serve", "--port", "0"]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "webhook" in done.stderr
    assert "hint: set SANDPIPER_" in done.stderr
    assert "listening" not in done.stderr
    assert not (tmp_path / ".local").exists()


def test_without_its_libraries_the_command_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "fastapi.py").write_text("raise ModuleNotFoundError('No module named fastapi', name='fastapi')\n")
    environ = {"PATH": "/usr/bin", "HOME": str(tmp_path), "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    environ["SANDPIPER_WEBHOOK_SECRET"] = SECRET
    command = [sys.executable, "-m", "bot", "serve"]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "pip install 'sandpiper-bot[server]'" in done.stderr


# --- what is done with it ---------------------------------------------------------------------------------------


def test_a6_one_delivery_five_times_at_once_and_after_a_restart_is_one_task(tmp_path: Path) -> None:
    with github_with_ann() as github:
        number, payload = asks(github)
        for times in (1, 2):
            with serving(environ_for(github, tmp_path)) as server, ThreadPoolExecutor(5) as pool:
                said = list(pool.map(lambda _, to=server: to.post(payload, "d-1").status_code, range(5)))
                assert set(said) == {202}, times
                server.idle()
                assert server.end() == 0
            assert len(answers(github, number)) == 1
        assert len(list((tmp_path / "state" / "runs").iterdir())) == 1
        accepted = [line for line in server.lines if '"delivery accepted"' in line]
        assert accepted == []


def test_a6_killed_in_the_middle_of_a_write_it_ends_the_task_once(tmp_path: Path) -> None:
    with github_with_ann() as github:
        number, payload = asks(github)
        fault = github.faults.add("POST", "/comments$", "hang_after", seconds=20)
        with serving(environ_for(github, tmp_path)) as server:
            assert server.post(payload, "d-1").status_code == 202
            until(lambda: fault.met == 1 and len(answers(github, number)) == 1)
            server.end(kill=True)
        with serving(environ_for(github, tmp_path)) as server:
            server.idle()
            assert server.post(payload, "d-1").json() == {"status": "known"}
            server.idle()
        assert len(answers(github, number)) == 1


class Gate:
    """Holds every request to GitHub until it is opened."""

    def __init__(self, github: GitHubServer) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        github.on_request(self.wait)

    def wait(self, request: object) -> None:
        self.reached.set()
        assert self.opened.wait(60)


def test_a_full_inbox_says_when_to_come_again(tmp_path: Path) -> None:
    with github_with_ann() as github:
        (first, one), (second, two) = asks(github), asks(github)
        gate = Gate(github)
        with serving(environ_for(github, tmp_path, SANDPIPER_INBOX_LIMIT="1")) as server:
            assert server.post(one, "d-1").status_code == 202
            full = server.post(two, "d-2")
            assert full.status_code == 503
            assert int(full.headers["retry-after"]) > 0
            assert server.post(one, "d-1").status_code == 202
            gate.opened.set()
            server.idle()
            assert server.post(two, "d-2").status_code == 202
            server.idle()
        assert len(answers(github, first)) == len(answers(github, second)) == 1


def test_what_is_under_way_at_a_signal_ends_in_its_grace_or_after_the_next_start(tmp_path: Path) -> None:
    with github_with_ann() as github:
        number, payload = asks(github)
        gate = Gate(github)
        with serving(environ_for(github, tmp_path), "--grace", "0.1") as server:
            server.post(payload, "d-1")
            until(gate.reached.is_set)
            assert server.end() == 0
            gate.opened.set()
        assert any("left to the next start" in line for line in server.lines)
        with serving(environ_for(github, tmp_path)) as server:
            server.idle()
        assert len(answers(github, number)) == 1


def test_a_form_is_read_and_what_is_no_payload_is_laid_aside(server: Serving, github: GitHubServer) -> None:
    number, payload = asks(github)
    form = urlencode({"payload": json.dumps(payload)}).encode()
    kind = "application/x-www-form-urlencoded"
    assert server.post(form, "form-1", Content_Type=kind).status_code == 202
    assert server.post(b"no JSON", "bad-1").status_code == 202
    assert server.post({"action": "created"}, "bad-2").status_code == 202
    assert server.post(b"[" * 100_000, "bad-3").status_code == 202
    assert server.post(b'{"action": "\xff"}', "bad-4", "star").status_code == 202
    server.idle()
    assert len(answers(github, number)) == 1
    assert kept(server, "form-1") == ["done"]
    assert [kept(server, f"bad-{at}") for at in (1, 2, 3, 4)] == [["aside"]] * 4
    assert SECRET not in "".join(server.lines)

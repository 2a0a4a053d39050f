"""Rows about a restricted network: a request, and a large body, from inside to a server on this machine.

Run as a program it is that server, in a process of its own so that nobody's proxy shares an interpreter with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import ours
from ours import Kind
from rows import LeftOut, Once, Row, Sample
from stand import Stand

from bot.types.sandbox import ExecRequest

HOST = "host, no proxy"
PYTHON = "/usr/bin/python3"
MEGABYTES = 200
REQUESTS = 30
CLIENT = """
import http.client, json, os, statistics, sys, time, urllib.parse
target, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
proxy = os.environ.get("http_proxy") or os.environ.get("HTTP_PROXY")
there = urllib.parse.urlsplit(proxy or target)
def ask(path):
    started = time.perf_counter()
    talk = http.client.HTTPConnection(there.hostname, there.port, timeout=60)
    talk.request("GET", target + path if proxy else path, headers={"Host": urllib.parse.urlsplit(target).netloc})
    answer, got = talk.getresponse(), 0
    while data := answer.read(1 << 20):
        got += len(data)
    talk.close()
    return answer.status, got, time.perf_counter() - started
each = [ask("/%d" % size) for _ in range(count)]
bad = [(status, got) for status, got, _ in each if (status, got) != (200, size)]
print(json.dumps({"bad": bad, "seconds": statistics.median(seconds for _, _, seconds in each)}))
"""


class Server(BaseHTTPRequestHandler):
    """GET /N: N bytes."""

    def do_GET(self) -> None:
        """See http.server."""
        size, block = int(self.path.rsplit("/", 1)[-1]), bytes(1 << 20)
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        while size > 0:
            size -= self.wfile.write(block[:size])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Nothing."""


def latency(stand: Stand) -> Row:
    """Row 11."""
    row = Row("11.request", "a request of 2 bytes on a connection of its own", HOST, digits=2)
    _subjects(stand, row, lambda run: lambda: Sample(run(2, REQUESTS) * 1000))
    row.notes.append(f"each figure is the median of {REQUESTS} requests to a server on this machine's loopback")
    return row


def throughput(stand: Stand) -> Row:
    """Row 11."""
    row = Row("11.body", f"a body of {MEGABYTES} MB", HOST, unit="MB/s", digits=0)
    _subjects(stand, row, lambda run: lambda: Sample(MEGABYTES / run(MEGABYTES * 1_000_000, 1)))
    return row


def _subjects(stand: Stand, row: Row, timed: Callable[[Callable[[int, int], float]], Once]) -> None:
    address = server(row.stack)
    row.add(HOST, lambda _: timed(_host(address)))
    kinds: tuple[Kind, ...] = ("docker", "bubblewrap")
    for kind in kinds:
        row.add(f"Sandpiper {kind}, restricted", lambda stack, k=kind: timed(_inside(stand, stack, k, address)))  # type: ignore[misc]


def server(stack: ExitStack) -> str:
    """`localhost:PORT` of a server that ends with the stack."""
    process = subprocess.Popen([sys.executable, str(Path(__file__))], stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    if process.stdout is None:
        raise LeftOut("the server has no output")
    stack.callback(process.stdout.close)
    return f"localhost:{process.stdout.readline().strip()}"


def _host(address: str) -> Callable[[int, int], float]:
    def run(size: int, count: int) -> float:
        words = [PYTHON, "-c", CLIENT, f"http://{address}", str(size), str(count)]
        return _seconds(subprocess.run(words, capture_output=True, check=True, env={}).stdout)

    return run


def _inside(stand: Stand, stack: ExitStack, kind: Kind, address: str) -> Callable[[int, int], float]:
    box = stand.ours.opened(stack, kind, image="host", network=ours.restricted(address))

    def run(size: int, count: int) -> float:
        words = (PYTHON, "-c", CLIENT, f"http://{address}", str(size), str(count))
        result = box.exec(ExecRequest(argv=words, seconds=120))
        if not result.ok:
            raise LeftOut(f"the client failed: {result.stderr[-300:]!r}")
        return _seconds(result.stdout)

    return run


def _seconds(output: bytes) -> float:
    answer = json.loads(output)
    if answer["bad"]:
        raise LeftOut(f"answers (status, bytes) {answer['bad'][:3]}")
    return float(answer["seconds"])


def main() -> None:
    """Serve on loopback, print the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as serving:
        print(serving.server_port, flush=True)
        serving.serve_forever()


if __name__ == "__main__":
    main()

"""A page on 127.0.0.1 that sends a form to GitHub -> the code with which GitHub sends the browser back."""

from __future__ import annotations

import hmac
import html
import json
import queue
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bot.errors import TaskError

CODE = re.compile(r"[A-Za-z0-9_-]{1,200}")
_PAGE = """<!doctype html><meta charset="utf-8"><title>Create the App</title>
<p>GitHub will ask whether the App may be created.</p>
<form id="form" action="{action}" method="post"><input type="hidden" name="manifest" value="{manifest}">
<button>Go on to GitHub</button></form><script>document.getElementById("form").submit()</script>
"""
_DONE = "<!doctype html><meta charset=utf-8><title>Done</title><p>GitHub has answered. Go back to the terminal.</p>\n"


class CreationPage:
    """Owns a listener on loopback, open until it is left. It has two addresses, both with a part nobody can guess."""

    def __init__(self) -> None:
        self.state = secrets.token_urlsafe(24)
        """Comes back with the code; another one means that the answer is to somebody else's question."""
        self._path = f"/{secrets.token_urlsafe(16)}"
        self._codes: queue.Queue[str] = queue.Queue()
        self._strange = 0
        self._form = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._answer))
        self._server.daemon_threads = True
        self._own = f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Where the browser begins."""
        return f"http://{self._own}{self._path}"

    @property
    def redirect(self) -> str:
        """Where GitHub sends it back."""
        return f"http://{self._own}{self._path}/created"

    @contextmanager
    def opened(self, action: str, manifest: Mapping[str, Any]) -> Iterator[None]:
        """Show the form, which goes to `action`, while the block lasts."""
        self._form = _PAGE.format(action=html.escape(action), manifest=html.escape(json.dumps(manifest)))
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(10)

    def code(self, seconds: float) -> str:
        """Wait for GitHub's answer. Raises TaskError `app_not_created` when none came in that time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                return self._codes.get(timeout=min(left, 0.5))  # in short waits, so that Ctrl-C is heard
            except queue.Empty:
                continue
        message = "no answer came from GitHub"
        if self._strange:
            message += f"; {self._strange} came that did not belong to this request, and were not believed"
        hint = "begin again, and confirm on GitHub's page within the time (--minutes)"
        raise TaskError("app_not_created", message, hint=hint)

    def _answer(self, host: str, target: str) -> tuple[int, str]:
        """Status and page of a GET."""
        parts = urlsplit(target)
        if host != self._own:  # a name that somebody else made point to this machine
            return 403, "not here\n"
        if parts.path == self._path:
            return 200, self._form
        if parts.path != f"{self._path}/created":
            return 404, "not here\n"
        fields = parse_qs(parts.query, max_num_fields=20)
        code, state = fields.get("code", []), fields.get("state", [""])[-1]
        good = hmac.compare_digest(state.encode("utf-8", "replace"), self.state.encode())
        if not good or len(code) != 1 or not CODE.fullmatch(code[0]):
            self._strange += 1
            return 400, "This answer does not belong to the request that was made.\n"
        self._codes.put(code[0])
        return 200, _DONE


def _handler(answer: Callable[[str, str], tuple[int, str]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection; browsers open some that they never use."""

        timeout = 10

        def do_GET(self) -> None:
            """The only method."""
            try:
                status, page = answer(self.headers.get("Host", ""), self.path)
            except ValueError:
                status, page = 400, "not understood\n"
            body = page.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8" if page.startswith("<") else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """The addresses hold what must not be printed."""

    return Handler

"""A registry on loopback that serves images made from nothing: only what the engine asks for at a pull.

The protocol is OCI's distribution specification; see https://github.com/opencontainers/distribution-spec.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Registry:
    """The server's state; a test turns its knobs."""

    login: tuple[str, str] | None = None
    """Whom it lets in; None for everybody."""
    slow: float = 0.0
    """Seconds between two pieces of a blob, of which each has 64."""
    faults: int = 0
    """Pulls that get 503 for every answer, before it works. Each begins with asking for the protocol's version."""
    requests: list[str] = field(default_factory=list)
    """Paths, in order."""
    broken_off: threading.Event = field(default_factory=threading.Event)
    """Set when somebody went away in the middle of a blob."""
    blobs: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Digest -> content type, bytes."""
    tags: dict[str, str] = field(default_factory=dict)
    """`name:tag` -> digest."""
    address: str = ""
    """Host and port."""

    def add(self, name: str, files: dict[str, bytes], *, architecture: str = "amd64", listed: bool = False) -> str:
        """Put an image there. Returns its digest."""
        layer = _layer(files)
        config = json.dumps(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": ["/none"], "Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": [digest_of(gzip.decompress(layer))]},
            }
        ).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": self._blob(config, "application/vnd.docker.container.image.v1+json"),
                "layers": [self._blob(layer, "application/vnd.docker.image.rootfs.diff.tar.gzip")],
            }
        ).encode()
        described = self._blob(manifest, _MANIFEST)
        if listed:
            platform = {"architecture": architecture, "os": "linux"}
            entries = [{**described, "platform": platform}]
            every = json.dumps({"schemaVersion": 2, "mediaType": _LIST, "manifests": entries}).encode()
            described = self._blob(every, _LIST)
        self.tags[name] = str(described["digest"])
        return self.tags[name]

    def _blob(self, data: bytes, kind: str) -> dict[str, str | int]:
        self.blobs[digest_of(data)] = (kind, data)
        return {"mediaType": kind, "size": len(data), "digest": digest_of(data)}

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": self}))
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _layer(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(stream.getvalue(), compresslevel=1, mtime=0)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Registry

    def do_GET(self) -> None:
        self.state.requests.append(self.path)
        if self.state.requests.count("/v2/") <= self.state.faults:
            return self._answer(503, b"", "text/plain")
        if self.state.login and self.headers.get("Authorization") != _basic(*self.state.login):
            return self._answer(401, _error("UNAUTHORIZED"), "application/json")
        if self.path == "/v2/":
            return self._answer(200, b"{}", "application/json")
        name, _, rest = self.path.removeprefix("/v2/").partition("/manifests/")
        if rest:
            digest = rest if rest.startswith("sha256:") else self.state.tags.get(f"{name}:{rest}", "")
        else:
            digest = self.path.rpartition("/blobs/")[2]
        kind, data = self.state.blobs.get(digest, ("", b""))
        if not kind:
            return self._answer(404, _error("MANIFEST_UNKNOWN"), "application/json")
        return self._answer(200, data, kind, digest)

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, kind: str, digest: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            self._send(body)
        except OSError:
            self.state.broken_off.set()
            self.close_connection = True

    def _send(self, body: bytes) -> None:
        if not (self.state.slow and "/blobs/" in self.path):
            self.wfile.write(body)
            return
        size = max(1, len(body) // 64)
        for start in range(0, len(body), size):
            self.wfile.write(body[start : start + size])
            time.sleep(self.state.slow)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Nothing: a test says what went wrong."""


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _error(code: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()

"""HTTP requests -> deliveries in the inbox: the signature first, then everything else, then an answer at once."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from bot.api.signature import is_signed
from bot.errors import SandpiperError
from bot.forge.events.parsing import MAX_BYTES
from bot.store.inbox import Delivery, Inbox, InboxFull

HELD_BYTES = 8 * MAX_BYTES
"""Bytes of bodies in memory at one time: who has no secret must not fill it."""
READ_SECONDS = 30.0
"""GitHub waits ten seconds for the whole answer."""
RETRY_AFTER = 60
NEVER_SENT = frozenset({"schedule", "pull_request_target"})
"""Events that only GitHub's own runner knows: what starts a task without asking who asks."""
SIGNATURE, EVENT, DELIVERY, TYPE = b"x-hub-signature-256", b"x-github-event", b"x-github-delivery", b"content-type"
_SIGNED = re.compile(rb"sha256=[0-9a-f]{64}")
_EVENT = re.compile(r"[a-z0-9_]{1,100}")
_DELIVERY = re.compile(r"[!-~]{1,200}")

log = logging.getLogger(__name__)


class Refused(Exception):
    """A request that is not taken, with its status and a word about why."""

    def __init__(self, status: int, reason: str, *, retry: bool = False) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry = status, reason, retry

    def answer(self) -> Response:
        """What the sender is told."""
        headers = {"Retry-After": str(RETRY_AFTER)} if self.retry else {}
        if self.status in (408, 413):
            headers["Connection"] = "close"
        return JSONResponse({"error": self.reason}, self.status, headers)


@dataclass
class Door:
    """What a request needs to be judged, and how much of them is in memory."""

    inbox: Inbox
    secrets: Sequence[bytes]
    arrived: Callable[[Delivery], None]
    """Told of every delivery that is new and on the disk."""
    health: Callable[[], tuple[bool, dict[str, int]]]
    held: int = field(default=0)

    async def webhook(self, request: Request) -> Response:
        """Take a delivery."""
        try:
            return await self._taken(request)
        except Refused as refused:
            log.warning("request refused: %s", refused.reason, extra={"status": refused.status})
            return refused.answer()

    async def healthz(self) -> Response:
        """Whether the threads are at work, and how much there is to do."""
        good, counts = self.health()
        return JSONResponse({"status": "ok" if good else "broken", **counts}, 200 if good else 503)

    async def _taken(self, request: Request) -> Response:
        headers = request.scope["headers"]
        signature = _signature(headers)
        size, chunks = _declared(headers), list[bytes]()
        try:
            await self._read(request, size, chunks)
            # In a thread: neither the digest of 25 MB nor a slow disk may hold up the others.
            return await asyncio.to_thread(self._accept, headers, signature, b"".join(chunks))
        finally:
            self.held -= sum(map(len, chunks))

    async def _read(self, request: Request, size: int, chunks: list[bytes]) -> None:
        """The body. What counts is what came: who only says that much will come must not keep others out."""
        got = 0
        try:
            async with asyncio.timeout(READ_SECONDS):
                async for chunk in request.stream():
                    got += len(chunk)
                    if got > size:
                        raise Refused(413, f"GitHub sends {MAX_BYTES} bytes at most")
                    chunks.append(chunk)
                    self.held += len(chunk)
                    if self.held > HELD_BYTES:
                        raise Refused(503, "too many bodies at once", retry=True)
        except TimeoutError:
            raise Refused(408, "the body took too long") from None
        except ClientDisconnect:
            raise Refused(400, "the sender went away") from None

    def _accept(self, headers: Sequence[tuple[bytes, bytes]], signature: bytes, body: bytes) -> Response:
        if not is_signed(body, signature, self.secrets):
            raise Refused(401, "the signature is wrong")
        event, name = _word(headers, EVENT, _EVENT), _word(headers, DELIVERY, _DELIVERY)
        if event in NEVER_SENT:
            raise Refused(400, f"GitHub sends no {event} to webhooks")
        if event == "ping":
            return JSONResponse({"status": "pong"})
        form = any(key == TYPE and value.startswith(b"application/x-www-form-urlencoded") for key, value in headers)
        delivery = Delivery(id=name, event=event, form=form)
        try:
            new = self.inbox.put(delivery, body)
        except InboxFull as error:
            raise Refused(503, error.message, retry=True) from None
        except SandpiperError as error:
            log.error("a delivery can't be kept: %s", error.message, extra={"delivery": name, "event": event})
            raise Refused(503, "it can't be kept just now", retry=True) from None
        if new:
            log.info("delivery accepted", extra={"delivery": name, "event": event})
            self.arrived(delivery)
        return JSONResponse({"status": "accepted" if new else "known"}, 202)


def make_app(door: Door, path: str) -> FastAPI:
    """The application: two routes, nothing else."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_api_route(path, door.webhook, methods=["POST"], response_model=None)
    app.add_api_route("/healthz", door.healthz, methods=["GET"], response_model=None)
    return app


def _signature(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The one signature of a request; without one the body is not even read."""
    found = [value for key, value in headers if key == SIGNATURE]
    if len(found) != 1 or not _SIGNED.fullmatch(found[0]):
        raise Refused(401, "there is no signature" if not found else "the signature is wrong")
    return found[0]


def _declared(headers: Sequence[tuple[bytes, bytes]]) -> int:
    """Bytes that the body has as its sender says; the most that it may have, if it does not say."""
    length = next((value for key, value in headers if key == b"content-length"), b"")
    size = int(length) if length.isdigit() and len(length) < 20 else MAX_BYTES
    if size > MAX_BYTES:
        raise Refused(413, f"GitHub sends {MAX_BYTES} bytes at most")
    return size


def _word(headers: Sequence[tuple[bytes, bytes]], name: bytes, form: re.Pattern[str]) -> str:
    found = [value.decode("latin-1") for key, value in headers if key == name]
    if len(found) != 1 or not form.fullmatch(found[0]):
        raise Refused(400, f"the header {name.decode()} is missing or wrong")
    return found[0]

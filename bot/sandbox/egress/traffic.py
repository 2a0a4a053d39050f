"""Bytes of a sandbox or a host -> the same bytes on the other side, counted, paced, and cut at the budget's end."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, field

from bot.sandbox.egress.budget import Budget


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds that the proxy waits."""

    header: float = 10.0
    """For a whole request line with its headers, and for a whole ClientHello."""
    connect: float = 10.0
    """For a name's addresses, and again for a connection to one of them."""
    idle: float = 120.0
    """For the next byte in either direction, and for the next request."""


class RefusedError(Exception):
    """The request ends here, for the reason that `code` names."""

    def __init__(self, code: str, *, address: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.address = address


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass(slots=True)
class Flow:
    """The traffic of one request with the network."""

    budget: Budget
    idle: float
    """Seconds until bytes must have moved."""
    sent: int = 0
    received: int = 0
    moved: float = field(default_factory=_now)
    """When bytes last moved, on the loop's clock."""

    async def grant(self, count: int, *, out: bool) -> int:
        """Count bytes that are to pass, wait for their bandwidth, and return how many of them may pass."""
        granted = self.budget.spend(count)
        if out:
            self.sent += granted
        else:
            self.received += granted
        wait = self.budget.delay(granted, _now())
        if wait:
            await asyncio.sleep(wait)
        self.moved = _now()
        return granted

    async def send(self, upstream: socket.socket, data: bytes) -> None:
        """Send `data` to the network. Raises RefusedError `byte_budget` behind the last byte that may pass."""
        view = memoryview(data)
        while view:
            piece = view[: self.budget.chunk]
            granted = await self.grant(len(piece), out=True)
            async with asyncio.timeout(self.idle):
                await asyncio.get_running_loop().sock_sendall(upstream, piece[:granted])
            if granted < len(piece):
                raise RefusedError("byte_budget")
            view = view[len(piece) :]


async def splice(client: socket.socket, upstream: socket.socket, flow: Flow) -> None:
    """Copy both ways until both sides have ended or nothing moved for too long. An end on one side is passed on
    alone, so that a half-closed connection goes on."""
    pumps = {
        asyncio.create_task(_pump(client, upstream, flow, out=True)),
        asyncio.create_task(_pump(upstream, client, flow, out=False)),
    }
    try:
        pending = pumps
        while pending and (left := flow.moved + flow.idle - _now()) > 0:
            done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_EXCEPTION)
            for each in done:
                each.result()
    finally:
        for each in pumps:
            each.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(source: socket.socket, sink: socket.socket, flow: Flow, *, out: bool) -> None:
    loop = asyncio.get_running_loop()
    view = memoryview(bytearray(flow.budget.chunk))
    while count := await loop.sock_recv_into(source, view):
        granted = await flow.grant(count, out=out)
        await loop.sock_sendall(sink, view[:granted])
        flow.moved = _now()
        if granted < count:
            raise RefusedError("byte_budget")
        # A socket that is always ready never makes the loop wait: others get their turn here.
        await asyncio.sleep(0)
    half_close(sink)


def half_close(connection: socket.socket) -> None:
    """Tell the other side that nothing more comes."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)

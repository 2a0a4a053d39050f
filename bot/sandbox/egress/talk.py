"""A socket -> HTTP/1.1 events, parsed and framed by h11 and nothing else: what can't be parsed is not passed on."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import cast

import h11

from bot.sandbox.egress.traffic import Flow, RefusedError

HEADER_BYTES = 32_768
"""A request or response whose head is longer is refused."""
_READ = 16_384


def parser(role: type[h11.SERVER] | type[h11.CLIENT]) -> h11.Connection:
    """Return h11's state of a connection that has just been opened."""
    return h11.Connection(role, max_incomplete_event_size=HEADER_BYTES)


@dataclass(slots=True)
class Talk:
    """One HTTP connection."""

    socket: socket.socket
    state: h11.Connection
    idle: float
    """Seconds to wait for the next byte, or until bytes are taken."""
    code: str = "bad_request"
    """What it is called when the other side breaks the protocol."""
    flow: Flow | None = None
    """Where its bytes are counted, for the side of the network."""
    cut: bool = False
    """Nothing more may pass."""

    async def next(self) -> h11.Event | type[h11.PAUSED]:
        """Return the next event. Raises RefusedError; OSError if the connection breaks or nothing comes."""
        while True:
            try:
                event = self.state.next_event()
                if event is not h11.NEED_DATA:
                    return cast("h11.Event | type[h11.PAUSED]", event)
                if self.cut:
                    raise RefusedError("byte_budget")
                if self.state.they_are_waiting_for_100_continue:
                    await self.send(h11.InformationalResponse(status_code=100, headers=[]))
                self.state.receive_data(await self._receive())
            except h11.ProtocolError:
                raise RefusedError(self.code) from None

    async def wait(self, seconds: float) -> bool:
        """Wait for the first byte of a message; whether one came."""
        if self.state.trailing_data[0]:
            return True
        async with asyncio.timeout(seconds):
            data = await self._receive()
        self.state.receive_data(data)
        return bool(data)

    async def send(self, event: h11.Event) -> None:
        """Send an event. Raises RefusedError, OSError."""
        try:
            data = self.state.send(event) or b""
        except h11.ProtocolError:
            raise RefusedError(self.code) from None
        if self.flow:
            await self.flow.send(self.socket, data)
            return
        async with asyncio.timeout(self.idle):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def _receive(self) -> bytes:
        size = min(_READ, self.flow.budget.chunk) if self.flow else _READ
        async with asyncio.timeout(self.idle):
            data = await asyncio.get_running_loop().sock_recv(self.socket, size)
        if self.flow is None or not data:
            return data
        granted = await self.flow.grant(len(data), out=False)
        self.cut = granted < len(data)
        if self.cut and not granted:
            raise RefusedError("byte_budget")
        return data[:granted]

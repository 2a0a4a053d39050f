"""A judged host -> a connection to one of its addresses, each of which was judged before.

The name is resolved once and the very address that was judged is connected to: a name that changes its address in
between (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bot.sandbox.egress.addresses import admitted
from bot.sandbox.egress.judge import Judgement
from bot.sandbox.egress.names import Names
from bot.sandbox.egress.traffic import RefusedError

Address = tuple[str, int]
"""An IP address and a port."""
Connector = Callable[[str, int], Awaitable[socket.socket]]
"""Address and port -> a connected, non-blocking socket; raises OSError."""

_TRIED = 6


async def connect(address: str, port: int) -> socket.socket:
    """Connect to an address over TCP."""
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection


@dataclass(frozen=True, slots=True)
class Ways:
    """How names lead to connections."""

    routes: Mapping[str, Address]
    names: Names
    connector: Connector


async def dial(judged: Judgement, ways: Ways, seconds: float) -> tuple[socket.socket, str]:
    """Return a connection to the host that was let through, and its address.

    Raises RefusedError: `unresolved`, `private_address`, `unreachable`.
    """
    if judged.routed:
        address, port = ways.routes[judged.host]
        return await _first([address], port, ways.connector, seconds)
    try:
        async with asyncio.timeout(seconds):
            addresses = await ways.names.addresses(judged.host, judged.port)
    except (OSError, UnicodeError):
        addresses = ()
    if not addresses:
        raise RefusedError("unresolved")
    for each in addresses:
        if not admitted(each, private=judged.private):
            raise RefusedError("private_address", address=each)
    return await _first(addresses[:_TRIED], judged.port, ways.connector, seconds)


async def _first(
    addresses: Sequence[str], port: int, connector: Connector, seconds: float
) -> tuple[socket.socket, str]:
    """Connect to the first address that answers; each gets its share of the time."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    for nth, address in enumerate(addresses):
        with suppress(OSError):
            async with asyncio.timeout((ends - loop.time()) / (len(addresses) - nth)):
                return await connector(address, port), address
    raise RefusedError("unreachable", address=addresses[0])

"""A judged host -> a connection to one of its addresses, each of which was judged before.

The name is resolved once and the very address that was judged is connected to: a name that changes its address in
between (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bot.sandbox.egress.addresses import admitted
from bot.sandbox.egress.judge import Judgement
from bot.sandbox.egress.traffic import RefusedError

Address = tuple[str, int]
"""An IP address and a port."""
Resolver = Callable[[str, int], Sequence[str]]
"""Name and port -> addresses; may block; raises OSError. It runs in a thread of its own."""
Connector = Callable[[str, int], Awaitable[socket.socket]]
"""Address and port -> a connected, non-blocking socket; raises OSError."""

_RESOLVING, _TRIED = 32, 6


def resolve(host: str, port: int) -> tuple[str, ...]:
    """Return the addresses of `host`, as this machine resolves names."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(each[4][0]) for each in found))


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
    resolver: Resolver = resolve
    connector: Connector = connect
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_RESOLVING))
    """Threads that resolve at the same time, at most."""


async def dial(judged: Judgement, ways: Ways, seconds: float) -> tuple[socket.socket, str]:
    """Return a connection to the host that was let through, and its address.

    Raises RefusedError: `unresolved`, `private_address`, `unreachable`.
    """
    if judged.routed:
        address, port = ways.routes[judged.host]
        return await _first([address], port, ways.connector, seconds)
    try:
        async with asyncio.timeout(seconds):
            addresses = await _addresses(judged.host, judged.port, ways)
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


async def _addresses(host: str, port: int, ways: Ways) -> Sequence[str]:
    """Resolve in a thread that nobody waits for at the end: a resolver that hangs can't be interrupted."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[str]] = loop.create_future()

    def deliver(found: Sequence[str] | None, error: BaseException | None) -> None:
        ways.slots.release()
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found or ())

    def work() -> None:
        found, failure = None, None
        try:
            found = ways.resolver(host, port)
        except Exception as error:  # noqa: BLE001 - whatever it raises belongs to the request that waits for it
            failure = error
        with suppress(RuntimeError):  # The loop has ended: nobody waits any more.
            loop.call_soon_threadsafe(deliver, found, failure)

    await ways.slots.acquire()
    try:
        threading.Thread(target=work, name="egress-resolver", daemon=True).start()
    except RuntimeError as error:
        ways.slots.release()
        raise OSError(str(error)) from error
    return await answer

"""A client's connection -> its requests, each judged, counted, carried out or refused, and recorded."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

import h11

from bot.sandbox.egress.budget import Budget
from bot.sandbox.egress.dial import Ways, dial
from bot.sandbox.egress.judge import Judgement, host_name, judge
from bot.sandbox.egress.plain import host_header, relay, unfit
from bot.sandbox.egress.sni import NotHelloError, server_name
from bot.sandbox.egress.talk import Talk, parser
from bot.sandbox.egress.traffic import Clocks, Flow, RefusedError, half_close, splice
from bot.types.network import EgressRecord, Network

_LOG = logging.getLogger(__name__)

_ANSWERS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "host_not_allowed": (403, "this host is not on the allow-list"),
        "port_not_allowed": (403, "this port of the host is not on the allow-list"),
        "address_literal": (403, "addresses are refused, use a name that is on the allow-list"),
        "private_address": (403, "the name leads to an address that is not public"),
        "plain_http": (403, "only https is allowed for this host"),
        "request_budget": (429, "the run has used up its requests"),
        "byte_budget": (429, "the run has used up its bytes"),
        "bad_request": (400, "this is no request that a proxy can pass on"),
        "unresolved": (502, "the name has no address"),
        "unreachable": (502, "the host did not answer, or not in HTTP"),
    }
)
"""Code of a denial -> status and text for the client."""
_QUIET_AFTER = 100
"""Requests beyond the budget that are still recorded: a loop must not grow the audit for ever."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What every request of a run is handled with."""

    network: Network
    budget: Budget
    ways: Ways
    clocks: Clocks
    on_record: Callable[[EgressRecord], None]


@dataclass(slots=True)
class _Case:
    """One request and what has become of it."""

    flow: Flow
    judged: Judgement | None = None
    code: str = ""
    address: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)


async def serve(connection: socket.socket, desk: Desk) -> None:
    """Serve the requests of one client until it leaves, breaks a rule or opens a tunnel."""
    client = Talk(connection, parser(h11.SERVER), desk.clocks.idle)
    wait = desk.clocks.header
    while await _exchange(client, desk, wait):
        client.state.start_next_cycle()
        wait = desk.clocks.idle


async def _exchange(client: Talk, desk: Desk, wait: float) -> bool:
    """Handle one request; whether another one may follow."""
    try:
        if not await client.wait(wait):
            return False
    except OSError:
        return False
    case = _Case(Flow(desk.budget, desk.clocks.idle))
    refusal = ""
    try:
        await _attend(client, desk, case)
        return client.state.our_state is h11.DONE and client.state.their_state is h11.DONE
    except RefusedError as refused:
        refusal = case.code = refused.code
        case.address = refused.address or case.address
        if case.judged is None:
            case.judged = Judgement("denied", refused.code, "", "", 0)
            desk.budget.request()
    except OSError:
        # One of the two sides hung up or fell silent: the record says how far it came.
        pass
    finally:
        _note(case, desk)
    if refusal:
        await _answer(client, refusal)
    return False


async def _attend(client: Talk, desk: Desk, case: _Case) -> None:
    request = await _request(client, desk.clocks.header)
    if request is None:
        return
    target, method = request.target.decode("latin-1"), request.method.decode("latin-1")
    judged = judge(method, target, desk.network, host_header=host_header(request), routes=desk.ways.routes)
    case.judged = judged
    if not desk.budget.request():
        raise RefusedError("request_budget")
    if desk.budget.spent >= desk.budget.max_bytes:
        raise RefusedError("byte_budget")
    if judged.code or unfit(request):
        raise RefusedError(judged.code or "bad_request")
    upstream, case.address = await dial(judged, desk.ways, desk.clocks.connect)
    with closing(upstream):
        if judged.plain:
            far = Talk(upstream, parser(h11.CLIENT), desk.clocks.idle, "unreachable", case.flow)
            await relay(client, request, judged, far)
        else:
            await _tunnel(client, upstream, judged, desk, case.flow)


async def _request(client: Talk, seconds: float) -> h11.Request | None:
    """Return the head of a request, however slowly it is dripped in; None if the client left before it was whole."""
    try:
        async with asyncio.timeout(seconds):
            event = await client.next()
    except TimeoutError:
        raise RefusedError("bad_request") from None
    return event if isinstance(event, h11.Request) else None


async def _tunnel(client: Talk, upstream: socket.socket, judged: Judgement, desk: Desk, flow: Flow) -> None:
    """Let a TLS connection through whose ClientHello names the host that was judged."""
    await client.next()
    await client.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
    hello = client.state.trailing_data[0]
    try:
        async with asyncio.timeout(desk.clocks.header):
            while (name := server_name(hello)) is None:
                more = await asyncio.get_running_loop().sock_recv(client.socket, 4_096)
                if not more and not hello:
                    return
                if not more:
                    raise RefusedError("sni_mismatch")
                hello += more
    except (NotHelloError, TimeoutError):
        raise RefusedError("sni_mismatch") from None
    if host_name(name) != judged.host:
        raise RefusedError("sni_mismatch")
    await flow.send(upstream, hello)
    await splice(client.socket, upstream, flow)


async def _answer(client: Talk, code: str) -> None:
    """Tell the client why, if it still waits for an answer, and let it finish what it is sending: a connection closed
    with bytes unread would take the answer away with it."""
    if client.state.our_state not in (h11.IDLE, h11.SEND_RESPONSE) or code not in _ANSWERS:
        return
    status, text = _ANSWERS[code]
    body = f"{code}: {text}\n".encode()
    headers = [("content-type", "text/plain"), ("content-length", str(len(body))), ("connection", "close")]
    with suppress(OSError, RefusedError):
        async with asyncio.timeout(1):
            await client.send(h11.Response(status_code=status, headers=headers, reason=code.encode()))
            await client.send(h11.Data(data=body))
            await client.send(h11.EndOfMessage())
            half_close(client.socket)
            while await asyncio.get_running_loop().sock_recv(client.socket, 65_536):
                pass


def _note(case: _Case, desk: Desk) -> None:
    """Hand the record of a judged request on."""
    judged = case.judged
    if judged is None or desk.budget.requests > desk.budget.max_requests + _QUIET_AFTER:
        return
    record = EgressRecord(
        at=case.at,
        verdict="denied" if case.code else judged.verdict,
        code=case.code,
        method=judged.method,
        host=judged.host,
        port=judged.port,
        address=case.address,
        sent_bytes=case.flow.sent,
        received_bytes=case.flow.received,
        seconds=round(time.monotonic() - case.began, 6),
    )
    try:
        desk.on_record(record)
    except Exception:  # noqa: BLE001 - the callback is the caller's: its error ends neither the request nor the proxy
        _LOG.exception("a record of the egress audit was dropped")

"""One plain HTTP request and a connection to its host -> the host's answer, both written anew.

Nothing of the message's head is copied as bytes: h11 parses it, and h11 frames what is sent, so two readers can't
disagree about where a message ends. A connection to a host carries one request.
"""

from __future__ import annotations

from collections.abc import Iterable

import h11

from bot.sandbox.egress.judge import Judgement
from bot.sandbox.egress.talk import Talk
from bot.sandbox.egress.traffic import RefusedError

_OF_THE_HOP = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect", b"host"),
    )
)
"""Source: RFC 9110 7.6.1; `expect` is answered here, `host` and `transfer-encoding` are written anew."""

Headers = Iterable[tuple[bytes, bytes]]


def unfit(request: h11.Request) -> bool:
    """Whether the head of a request could be read in two ways, or asks for what a proxy must not pass on."""
    names = [name for name, _ in request.headers]
    coded, sized = b"transfer-encoding" in names, b"content-length" in names
    if request.method == b"CONNECT" and (coded or sized):
        return True
    if (coded and (sized or request.http_version != b"1.1")) or names.count(b"host") > 1:
        return True
    if request.http_version not in (b"1.0", b"1.1"):
        return True
    return any((byte < 0x20 and byte != 0x09) or byte == 0x7F for _, value in request.headers for byte in value)


def host_header(request: h11.Request) -> str | None:
    """Return the value of the Host header, if there is one."""
    return next((value.decode("latin-1") for name, value in request.headers if name == b"host"), None)


async def relay(client: Talk, request: h11.Request, judged: Judgement, upstream: Talk) -> None:
    """Ask the host and pass its answer on. Raises RefusedError, OSError."""
    await upstream.send(_request(request, judged))
    while isinstance(event := await client.next(), h11.Data):
        await upstream.send(h11.Data(data=event.data))
    await upstream.send(h11.EndOfMessage())
    answer = await _answer(upstream)
    await client.send(h11.Response(status_code=answer.status_code, headers=_answered(answer), reason=answer.reason))
    while isinstance(event := await upstream.next(), h11.Data):
        await client.send(h11.Data(data=event.data))
    await client.send(h11.EndOfMessage())


async def _answer(upstream: Talk) -> h11.Response:
    try:
        while isinstance(event := await upstream.next(), h11.InformationalResponse):
            pass
    except OSError:
        raise RefusedError("unreachable") from None
    if not isinstance(event, h11.Response):
        raise RefusedError("unreachable")
    return event


def _request(request: h11.Request, judged: Judgement) -> h11.Request:
    host = judged.host if judged.port == 80 else f"{judged.host}:{judged.port}"
    headers = [(b"host", host.encode("ascii")), (b"connection", b"close"), *_passed_on(request.headers)]
    if any(name == b"transfer-encoding" for name, _ in request.headers):
        headers.append((b"transfer-encoding", b"chunked"))
    return h11.Request(method=request.method, target=judged.path, headers=headers)


def _answered(answer: h11.Response) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer; its length is dropped where the host named two framings."""
    coded = any(name == b"transfer-encoding" for name, _ in answer.headers)
    return [each for each in _passed_on(answer.headers) if not (coded and each[0] == b"content-length")]


def _passed_on(headers: Headers) -> list[tuple[bytes, bytes]]:
    items = list(headers)
    named = {part.strip().lower() for name, value in items if name == b"connection" for part in value.split(b",")} - {
        b"content-length"
    }
    return [(name, value) for name, value in items if name not in _OF_THE_HOP and name not in named]

"""The first bytes of a TLS connection -> the name of the server that they ask for (SNI).

Source: RFC 8446 4.1.2 (ClientHello), RFC 6066 3 (server_name). With Encrypted Client Hello it is the outer name.
"""

from __future__ import annotations

from dataclasses import dataclass

HELLO_BYTES = 16_384
"""A ClientHello longer than this is refused; those with post-quantum keys take about 2,000."""

_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME, _HOST_NAME = 22, b"\x01", 0, 0


class NotHelloError(ValueError):
    """These bytes begin no ClientHello with exactly one server's name."""


@dataclass(slots=True)
class _Cursor:
    data: bytes
    at: int = 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise NotHelloError("a field reaches beyond the message")
        self.at += count
        return self.data[self.at - count : self.at]

    def vector(self, size: int) -> bytes:
        """Return the bytes behind a length of `size` bytes."""
        return self.take(int.from_bytes(self.take(size), "big"))

    @property
    def left(self) -> bool:
        return self.at < len(self.data)


def server_name(data: bytes) -> str | None:
    """Return the name, or None while more bytes are needed. Raises NotHelloError."""
    message = _message(data)
    if message is None:
        return None
    hello = _Cursor(message)
    hello.take(2 + 32)  # Version and random.
    hello.vector(1)  # Session.
    hello.vector(2)  # Ciphers.
    hello.vector(1)  # Compression.
    extensions = _Cursor(hello.vector(2))
    names = []
    while extensions.left:
        kind = int.from_bytes(extensions.take(2), "big")
        body = extensions.vector(2)
        if kind == _SERVER_NAME:
            names += _names(body)
    if len(names) != 1 or hello.left:
        raise NotHelloError("exactly one server's name is needed")
    return names[0]


def _names(body: bytes) -> list[str]:
    entries, names = _Cursor(_Cursor(body).vector(2)), []
    if len(body) != len(entries.data) + 2:
        raise NotHelloError("bytes follow the list of names")
    while entries.left:
        if entries.take(1)[0] != _HOST_NAME:
            raise NotHelloError("a name of unknown kind")
        try:
            names.append(entries.vector(2).decode("ascii"))
        except UnicodeDecodeError:
            raise NotHelloError("a name is not ASCII") from None
    return names


def _message(data: bytes) -> bytes | None:
    """Return the body of the ClientHello out of the records that carry it, or None while it is incomplete."""
    message, at = b"", 0
    while at < len(data):
        header = data[at : at + 5]
        if header[0] != _HANDSHAKE or header[1:2] not in (b"", b"\x03"):
            raise NotHelloError("not TLS")
        if len(header) < 5:
            break
        size = int.from_bytes(header[3:5], "big")
        message += data[at + 5 : at + 5 + size]
        at += 5 + size
        wanted = 4 + int.from_bytes(message[1:4], "big")
        if message[:1] not in (b"", _CLIENT_HELLO) or not size:
            raise NotHelloError("not a ClientHello")
        if len(message) >= 4 and (wanted > HELLO_BYTES or len(message) > wanted):
            raise NotHelloError("not a ClientHello of sensible length")
        if len(message) >= 4 and len(message) == wanted:
            return message[4:]
    if len(data) > 2 * HELLO_BYTES:
        raise NotHelloError("too many bytes before its end")
    return None

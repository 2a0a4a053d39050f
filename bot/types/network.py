"""Whom a sandbox may talk to, and what the proxy in between noted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from bot.types.value import Value

NetworkMode = Literal["none", "isolated", "restricted", "bridge"]
"""Nothing; sandboxes of the same run; listed hosts through the proxy; everything (an operator's explicit choice)."""

HostPattern = Annotated[
    str,
    StringConstraints(
        pattern=r"^(http://)?(\*\.)?([a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?(:[1-9][0-9]{0,4})?$",
        max_length=270,
    ),
]
"""`name`, or `*.name` for everything below it (not itself), then `:port` (443 if none). `http://` admits plain HTTP,
port 80 if none. Lower case, ASCII; never an address."""


class Network(Value):
    """A sandbox's network."""

    mode: NetworkMode = "none"
    """How much of it."""
    allow: tuple[HostPattern, ...] = ()
    """Hosts that `restricted` lets through."""
    private: tuple[HostPattern, ...] = ()
    """Those whose addresses may be private, such as an operator's own mirror; all others must be public."""
    max_requests: int = Field(default=10_000, ge=1)
    """Connections and requests of the whole run."""
    max_bytes: int = Field(default=2_000_000_000, ge=1)
    """Bytes of the whole run, both ways."""
    bytes_per_second: int | None = Field(default=None, ge=1_000)
    """Bandwidth of the whole run, both ways; None for no limit."""
    learn: bool = False
    """Let every public host through and note it, so that an allow-list can be proposed. For trusted code only."""


Verdict = Literal["allowed", "denied", "learned"]


class EgressRecord(Value):
    """One request that the proxy judged: a line of the audit."""

    at: AwareDatetime
    """When."""
    verdict: Verdict
    """What became of it; `learned` was let through because nobody had a list yet."""
    code: str = ""
    """Why it was denied: `host_not_allowed`, `port_not_allowed`, `address_literal`, `private_address`, `sni_mismatch`,
    `plain_http`, `request_budget`, `byte_budget`, `bad_request`, `unresolved`, `unreachable`."""
    method: str = ""
    """CONNECT, or the method of a plain request; at most 20 characters."""
    host: str = ""
    """As it was asked for, at most 255 printable characters."""
    port: int = 0
    """As it was asked for."""
    address: str = ""
    """Where the name led."""
    sent_bytes: int = 0
    """From the sandbox."""
    received_bytes: int = 0
    """To the sandbox."""
    seconds: float = 0.0
    """How long it was open."""

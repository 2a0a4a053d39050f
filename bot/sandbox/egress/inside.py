"""A restricted sandbox -> where its programs find the way out, whichever provider made it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bot.types.network import EgressRecord

OnEgress = Callable[[str, str, EgressRecord], None]
"""Told, in the proxy's thread, what a sandbox asked for: (its id, run, record)."""
PORT = 3128
"""Of the forwarder, on the sandbox's own loopback."""
_PROXY = f"http://127.0.0.1:{PORT}"
PROXY_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), _PROXY),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1,::1"),
    }
)
"""How programs are told of it."""

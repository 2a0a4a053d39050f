"""An address that a name led to -> whether a connection to it may be made."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_UNICAST = IPv6Network("2000::/3")
"""All that is public in IPv6 today: whatever lies outside is refused without having to be known."""
_LOCAL = tuple(
    map(
        IPv4Network,
        # RFC 1918, shared space of carriers, loopback.
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8"),
    )
) + tuple(map(IPv6Network, ("::1/128", "fc00::/7")))
_NOT_PUBLIC = tuple(
    map(
        IPv4Network,
        # The library's table differs from release to release: these never depend on it.
        (
            *("0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        ),
    )
) + tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_METADATA = frozenset(
    map(
        ip_address,
        # Where clouds hand a machine its credentials; the first of them is a public address.
        ("168.63.129.16", "100.100.100.200", "169.254.169.254", "192.0.0.192", "fd00:ec2::254"),
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")


def admitted(address: str, *, private: bool = False) -> bool:
    """Whether `address` is a public one; with `private` also loopback and addresses of private networks.

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is what is judged. Link-local, multicast and reserved
    addresses and those of clouds' metadata services are refused always. Source: IANA's special-purpose registries.
    """
    try:
        judged = _embedded(ip_address(address))
    except ValueError:
        return False
    if judged in _METADATA or getattr(judged, "scope_id", None):
        return False
    if any(judged in network for network in _LOCAL):
        return private
    if isinstance(judged, IPv6Address) and judged not in _UNICAST:
        return False
    return judged.is_global and not judged.is_multicast and not any(judged in network for network in _NOT_PUBLIC)


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that packets to `address` reach in the end, or `address`."""
    if isinstance(address, IPv6Address):
        if address in _MAPPED or address in _NAT64:
            return IPv4Address(address.packed[12:])
        if address in _6TO4:
            return IPv4Address(address.packed[2:6])
    return address

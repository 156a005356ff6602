"""Which IP addresses a crawl never connects to.

``ipaddress.is_global`` is no such check: it calls NAT64, 6to4, IPv4-compatible and multicast
addresses global. So for IPv6 what is allocated for global unicast is let through, less what is
carved out of it, and for IPv4 everything but the special blocks. Both tables follow the IANA
registries of special-purpose addresses (RFC 6890 and its updates).

Not seen from an address: a network's own NAT64 prefix (RFC 6052, 3.1), which any operator may cut
from its global addresses.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

_SPECIAL: Final[dict[str, str]] = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared behind a carrier's NAT",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "a cloud's metadata",
    "169.254.0.0/16": "link-local or a cloud's metadata",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved for protocols",
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "AS112",
    "192.52.193.0/24": "a relay of multicast",
    "192.88.99.0/24": "a relay of 6to4",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "AS112",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "2001::/23": "reserved for protocols, Teredo among them",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "2620:4f:8000::/48": "AS112",
    "3fff::/20": "documentation",
    "3ffe::/16": "given back",
}
_NETWORKS: Final[dict[IPv4Network | IPv6Network, str]] = {
    ip_network(network): kind for network, kind in _SPECIAL.items()
}
_UNICAST: Final = IPv6Network("2000::/3")
_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


def refusal(address: str, *, allow_loopback: bool = False) -> str:
    """Return why nothing is to be dialled at ``address``, or ``""`` where it is public.

    ``address`` is what would be handed to the socket. One that is not written in the one usual way
    ("0177.0.0.1", "2130706433", "fe80::1%eth0") is refused too.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return "not an address in the usual spelling"
    if getattr(found, "scope_id", None) is not None:
        return "an address with a zone"
    if allow_loopback and any(found in network for network in _LOOPBACK):
        return ""
    if found.version == 6 and found not in _UNICAST:
        return "no global IPv6 address"
    return next((kind for network, kind in _NETWORKS.items() if found in network), "")

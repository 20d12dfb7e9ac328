"""Where requests to providers may go: an endpoint's address must not lead to what only this machine may ask.

Who writes the settings names the endpoints, and whose machine answers a name is the name server's to say: so what a
name has been resolved to is looked at, at each connection (OWASP, Server-Side Request Forgery Prevention).
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, TypeVar

import httpx2

__all__ = ["allowed"]

_Address = TypeVar("_Address", bound=tuple[Any, ...])

# Of clouds' metadata services, which hand out credentials and are not link-local.
_METADATA: Final = frozenset({ip_address("fd00:ec2::254"), ip_address("100.100.100.200"), ip_address("192.0.0.192")})


def allowed(addresses: Sequence[_Address], host: str, *, in_clear_with_key: bool) -> list[_Address]:
    """Return the addresses of a host that may be connected to.

    Parameters
    ----------
    addresses
        What `socket.getaddrinfo` resolved the host's name to.
    host
        As the endpoint's ``base_url`` has it.
    in_clear_with_key
        Whether a key would be sent without TLS: that is for private networks only.

    Raises
    ------
    httpx2.ConnectError
        If there is none.
    """
    kept, refused = [], "the name has no address"
    for each in addresses:
        address = _unmapped(str(each[4][0]))
        if address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA:
            refused = f"{address} is no address of a provider (link-local, metadata, multicast or unspecified)"
        elif in_clear_with_key and address.is_global:
            refused = f"{address} is on the internet, and keys are sent there by https:// only"
        else:
            kept.append(each)
    if not kept:
        raise httpx2.ConnectError(f"{host!r} may not be called: {refused}; mend `base_url` of the endpoint")
    return kept


def _unmapped(text: str) -> IPv4Address | IPv6Address:
    """Return an address without its zone; one of IPv4 in the clothes of IPv6 is the one of IPv4."""
    address = ip_address(text.partition("%")[0])
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address

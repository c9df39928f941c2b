"""Which addresses a webhook may go to, decided once per connection: the address checked is the one connected to.

Place in the flow: webhook channel -> *resolver* -> socket. Without this anyone who may create a schedule could reach
what only this machine can reach: its own services, its network's, the cloud's metadata (server-side request forgery).
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

#: NAT64 (RFC 6052): what is behind it is the IPv4 address of the last 32 bits.
_NAT64 = IPv6Network("64:ff9b::/96")


class TargetRefused(OSError):
    """The host resolves only to addresses that are not public. Allow private targets, or use a public one."""


def is_public(address: str) -> bool:
    """Is it an address of the public internet? Not: private, loopback, link-local, metadata, multicast, reserved."""
    return all(_is_global(each) for each in _with_embedded(ip_address(address.partition("%")[0])))


def _with_embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """What a router on the way may turn the address into, or the address itself."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [IPv4Address(address.packed[-4:])]
    found: list[IPv4Address | IPv6Address] = [address]
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.extend(address.teredo)
    return found


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address.is_site_local:
        # fec0::/10: given up in 2004, private where it is still in use, and `is_global` for Python.
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def check_literal(host: str) -> None:
    """Refuse a host that is itself a forbidden address; names are checked when they are resolved."""
    try:
        public = is_public(host)
    except ValueError:
        return
    if not public:
        raise TargetRefused(f"{host} is not a public address")


class CheckedResolver(AbstractResolver):
    """Resolves each host once per connection and gives only addresses that may be connected to."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises `TargetRefused`, or `OSError` when the name cannot be resolved."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        results: list[ResolveResult] = []
        for each_family, _, proto, _, address in found:
            ip = str(address[0])
            if self._allow_private or is_public(ip):
                results.append(
                    ResolveResult(
                        hostname=host,
                        host=ip,
                        port=port,
                        family=each_family,
                        proto=proto,
                        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                    )
                )
        if not results:
            raise TargetRefused(f"{host} resolves to no public address")
        return results

    async def close(self) -> None:
        """Nothing is held."""

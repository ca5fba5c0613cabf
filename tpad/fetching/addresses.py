"""Checks which web addresses may be requested, and which machines may be connected to.

A table of addresses may come from anybody, and must not give access to the internal network
(server-side request forgery). So host names are resolved here, all their IP addresses are checked, and
the connection goes to an address that was checked: a name that resolves differently the second time
(DNS rebinding) has no effect. TLS and the Host header use the name.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

import httpcore
import httpx

from tpad.fetching.results import FetchError, Kind

PORTS = {"http": 80, "https": 443}
MAX_TRIED = 3  # IP addresses of one name that are tried

Resolve = Callable[[str, int], Awaitable[list[str]]]
_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


def _networks(*names: str) -> tuple[_Network, ...]:
    return tuple(ip_network(name) for name in names)


# Allowed by `allow_private`: loopback, private networks and carrier-grade NAT.
_PRIVATE = _networks(
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
)
# Not public, although `is_global` of some Python versions says so. IPv6 addresses outside 2000::/3
# need no entry: NAT64 (64:ff9b::/96), IPv4-mapped, link-local, multicast. Tunnels hide an inner address.
_SPECIAL = _networks(
    "192.0.0.0/24",
    "192.88.99.0/24",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
)
_UNICAST = IPv6Network("2000::/3")


def check_url(text: str, ports: Collection[int] = ()) -> httpx.URL:
    """Parse an address and check that it may be requested.

    Args:
        text: as a table or a redirect gives it.
        ports: allowed besides 80 and 443.

    Raises:
        FetchError: it is not a web address, contains a password, or has another port.
    """
    try:
        url = httpx.URL(text)
        host = url.raw_host
    except (httpx.InvalidURL, ValueError) as error:
        raise _refused("invalid address", f"{text!r} cannot be read as a web address.") from error
    if url.scheme not in PORTS or not host:
        raise _refused("invalid address", f"{text!r} does not start with http(s)://host.")
    if url.userinfo:
        raise _refused(
            "invalid address", f"The address of {url.host} contains a user name or password."
        )
    port = PORTS[url.scheme] if url.port is None else url.port
    if port not in (*PORTS.values(), *ports):
        raise _refused(
            "port not allowed", f"Port {port} of {url.host} is not allowed; see --ports."
        )
    return url


def is_allowed(address: str, allow_private: bool = False) -> bool:
    """Whether a machine may be connected to.

    Args:
        address: IPv4 or IPv6 address.
        allow_private: also allow loopback, private networks and carrier-grade NAT. Link-local
            addresses (cloud metadata services), multicast and reserved ones are never allowed.
    """
    ip: _Address = ip_address(address)
    if _within(ip, _PRIVATE):
        return allow_private
    if _within(ip, _SPECIAL) or ip.is_multicast or ip.is_reserved or not ip.is_global:
        return False
    return ip.version == 4 or ip in _UNICAST


async def resolve(host: str, port: int) -> list[str]:
    """All IP addresses of a host name, in the order of the system.

    Raises:
        OSError: the name cannot be resolved.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to allowed machines only.

    Args:
        allow_private: see `is_allowed`.
        resolve: returns all IP addresses of a host name.
        backend: opens the connections; receives IP addresses, never names.
    """

    def __init__(
        self,
        allow_private: bool = False,
        resolve: Resolve = resolve,
        backend: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allow_private, self._resolve = allow_private, resolve
        self._backend = backend or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check and connect; the next address is tried if one does not respond.

        Raises:
            FetchError: the name cannot be resolved, or one of its addresses is not allowed.
        """
        addresses = await self._checked(host, port, timeout)
        share = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._backend.connect_tcp(
                    address, port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._backend.connect_tcp(
            addresses[-1], port, share, local_address, socket_options
        )

    async def _checked(self, host: str, port: int, timeout: float | None) -> list[str]:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise FetchError(Kind.TEMPORARY, "name not found", f"{host}: {error}.") from error
        if not addresses:
            raise FetchError(Kind.TEMPORARY, "name not found", f"{host} has no address.")
        for address in addresses:
            if not is_allowed(address, self._allow_private):
                raise _refused(
                    "private address",
                    f"{host} resolves to {address}, which is not public; see --allow-private.",
                )
        return addresses[:MAX_TRIED]

    async def sleep(self, seconds: float) -> None:
        """Pause; called by httpcore."""
        await self._backend.sleep(seconds)


def certificate_fault(error: BaseException | None) -> bool:
    """Whether an error was caused by an invalid certificate."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _within(ip: _Address, networks: tuple[_Network, ...]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


def _refused(reason: str, detail: str) -> FetchError:
    return FetchError(Kind.REFUSED, reason, detail)

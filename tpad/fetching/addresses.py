"""What may be fetched: which web addresses, and which machines behind their names.

A table of addresses may come from anybody, and whoever fetches them sits inside a network. So a
name is resolved here, every address behind it is judged, and the connection goes to the very one
that was judged: a name that answers differently the second time gains nothing. TLS and the Host
header still see the name.
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

from tpad.fetching.outcomes import FetchError, Kind

PORTS = {"http": 80, "https": 443}
TRIED = 3  # addresses of one name, at most, until one can be connected to

Resolve = Callable[[str, int], Awaitable[list[str]]]
_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


def _networks(*names: str) -> tuple[_Network, ...]:
    return tuple(ip_network(name) for name in names)


# What the flag opens: a machine's own, the private and the carriers' shared networks.
_PRIVATE = _networks(
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
)
# Not public, though not every Python version's `is_global` says so. IPv6 outside 2000::/3 needs no
# line: NAT64 (64:ff9b::/96), IPv4-mapped, link-local, multicast. Tunnels lead to an inner address.
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
    """The address, if it is one that may be asked for.

    Args:
        text: as a table or a redirect has it.
        ports: allowed besides 80 and 443.

    Raises:
        FetchError: it is no address of the web, holds a password, or names another port.
    """
    try:
        url = httpx.URL(text)
        host = url.raw_host
    except (httpx.InvalidURL, ValueError) as error:
        raise _refused("bad address", f"{text!r} cannot be read as a web address.") from error
    if url.scheme not in PORTS or not host:
        raise _refused("bad address", f"{text!r} is no address that starts with http(s)://host.")
    if url.userinfo:
        raise _refused("bad address", f"The address of {url.host} holds a user name or password.")
    port = PORTS[url.scheme] if url.port is None else url.port
    if port not in (*PORTS.values(), *ports):
        raise _refused("port not allowed", f"{url.host} is asked at port {port}; see --ports.")
    return url


def is_allowed(address: str, allow_private: bool = False) -> bool:
    """Whether a machine may be connected to.

    Args:
        address: IPv4 or IPv6, as numbers.
        allow_private: also loopback, private and carriers' networks. Link-local addresses (where
            clouds keep their metadata), multicast and reserved ones stay closed.
    """
    ip: _Address = ip_address(address)
    if _within(ip, _PRIVATE):
        return allow_private
    if _within(ip, _SPECIAL) or ip.is_multicast or ip.is_reserved or not ip.is_global:
        return False
    return ip.version == 4 or ip in _UNICAST


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a name, as the system orders them.

    Raises:
        OSError: the name is not known, or nobody can be asked.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to allowed machines only.

    Args:
        allow_private: see `is_allowed`.
        resolve: gives all addresses of a name.
        backend: makes the connections; gets addresses, never names.
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
        """Resolve, judge, connect; tries the next address where one does not answer.

        Raises:
            FetchError: the name is not known, or leads to a machine that is not allowed.
        """
        addresses = await self._judged(host, port, timeout)
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

    async def _judged(self, host: str, port: int, timeout: float | None) -> list[str]:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise FetchError(Kind.PASSING, "name not found", f"{host}: {error}.") from error
        if not addresses:
            raise FetchError(Kind.PASSING, "name not found", f"{host} has no address.")
        for address in addresses:
            if not is_allowed(address, self._allow_private):
                raise _refused(
                    "private address",
                    f"{host} leads to {address}, which is not public; see --allow-private.",
                )
        return addresses[:TRIED]

    async def sleep(self, seconds: float) -> None:
        """Pause; httpcore asks for it."""
        await self._backend.sleep(seconds)


def certificate_fault(error: BaseException | None) -> bool:
    """Whether an error comes from a certificate that does not fit."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _within(ip: _Address, networks: tuple[_Network, ...]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


def _refused(reason: str, detail: str) -> FetchError:
    return FetchError(Kind.REFUSED, reason, detail)

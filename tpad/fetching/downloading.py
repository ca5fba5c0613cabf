"""Sends one request, and returns its body, its redirect, or the reason of its failure."""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpcore
import httpx

from tpad.fetching.addresses import GuardedBackend, Resolve, certificate_fault, check_url, resolve
from tpad.fetching.config import FetchConfig
from tpad.fetching.results import FetchError, Kind
from tpad.version import __version__

USER_AGENT = f"tpad/{__version__} (python -m tpad images; fetches pictures of an item table)"
LONGEST_PAUSE = 120.0  # seconds; a longer Retry-After is cut to this
_REDIRECTS = (301, 302, 303, 307, 308)
_TEMPORARY = (408, 425, 429)  # and all from 500
_DRAINED = 16_384  # bytes of an unwanted body that are read to keep the connection
_DRAIN_TIME = 1.0  # seconds
_BROKEN = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    OSError,
)
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,40}/[\w.+-]{1,40}")


@dataclass(frozen=True)
class Body:
    """A complete body and its declared media type ("" if there is none)."""

    data: bytes
    media_type: str


@dataclass(frozen=True)
class Moved:
    """The address that a redirect leads to."""

    url: str


class Downloader:
    """Sends requests and reuses connections.

    It uses no cookies and no proxies, follows no redirects, and accepts no compressed bodies.

    Args:
        config: timeouts, limits and permissions.
        resolve: returns all IP addresses of a host name.
        backend: opens connections to IP addresses that were checked.
        wall_clock: Unix seconds, for a Retry-After that is a date.
    """

    def __init__(
        self,
        config: FetchConfig,
        resolve: Resolve = resolve,
        backend: httpcore.AsyncNetworkBackend | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._wall_clock = config, wall_clock
        half = config.timeout / 2
        self._timeouts = {"connect": half, "read": half, "write": half, "pool": config.timeout}
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=None,  # the schedule sets the limits
            max_keepalive_connections=config.concurrency,
            keepalive_expiry=5.0,
            network_backend=GuardedBackend(config.allow_private, resolve, backend),
        )

    async def __aenter__(self) -> "Downloader":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.aclose()

    async def get(self, address: str) -> Body | Moved:
        """Request one address.

        Raises:
            FetchError: it is refused, or there is no complete and successful response in time.
        """
        url = check_url(address, self._config.ports)
        try:
            async with asyncio.timeout(self._config.timeout):
                return await self._request(url)
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise FetchError(
                Kind.TEMPORARY, "timed out", f"{url.host} sent no complete response in time."
            ) from error
        except httpcore.RemoteProtocolError as error:
            raise FetchError(Kind.TEMPORARY, "broken response", f"{url.host}: {error}.") from error
        except _BROKEN as error:
            if certificate_fault(error):
                raise FetchError(
                    Kind.PERMANENT, "invalid certificate", f"{url.host}: {error}."
                ) from error
            raise FetchError(Kind.TEMPORARY, "no connection", f"{url.host}: {error}.") from error

    async def _request(self, url: httpx.URL) -> Body | Moved:
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        headers = [
            (b"Host", url.netloc),
            (b"User-Agent", USER_AGENT.encode()),
            (b"Accept", b"image/*"),
            (b"Accept-Encoding", b"identity"),
        ]
        async with self._pool.stream(
            "GET", target, headers=headers, extensions={"timeout": self._timeouts}
        ) as response:
            answered = httpx.Headers(response.headers)
            if response.status == 200:
                return await self._body(response, answered, url)
            await _drain(response)
        status, location = response.status, answered.get("location")
        if status in _REDIRECTS and location:
            return Moved(_joined(url, location))
        kind = Kind.TEMPORARY if status >= 500 or status in _TEMPORARY else Kind.PERMANENT
        pause = retry_after_seconds(answered.get("retry-after", ""), self._wall_clock())
        raise FetchError(
            kind, f"HTTP {status}", f"{url.host} responded with status {status}.", status, pause
        )

    async def _body(
        self, response: httpcore.Response, headers: httpx.Headers, url: httpx.URL
    ) -> Body:
        most = self._config.max_bytes
        if headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
            raise FetchError(
                Kind.PERMANENT,
                "compressed response",
                f"{url.host} sent a compressed body, which was not requested.",
                200,
            )
        length = headers.get("content-length", "")
        data = bytearray()
        if not (length.isdecimal() and int(length) > most):
            async for chunk in response.aiter_stream():
                data += chunk
                if len(data) > most:
                    break
            else:
                declared = _MEDIA_TYPE.match(headers.get("content-type", ""))
                return Body(bytes(data), declared[0] if declared else "")
        raise FetchError(
            Kind.PERMANENT, "too large", f"{url.host} sent more than {most:,} bytes.", 200
        )


def retry_after_seconds(retry_after: str, now: float) -> float | None:
    """Seconds that a Retry-After header asks for, at most `LONGEST_PAUSE`.

    Args:
        retry_after: seconds or a date; anything else is ignored.
        now: Unix seconds.
    """
    text = retry_after.strip()
    if text.isdecimal():
        seconds = float(text[:12])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_PAUSE)


def _joined(url: httpx.URL, location: str) -> str:
    try:
        return str(url.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchError(
            Kind.PERMANENT, "invalid redirect", f"{url.host} redirects to {location!r}."
        ) from error


async def _drain(response: httpcore.Response) -> None:
    """Read a short rest of the body so that the connection can be reused; a long rest closes it."""
    with contextlib.suppress(TimeoutError, httpcore.TimeoutException, *_BROKEN):
        async with asyncio.timeout(_DRAIN_TIME):
            read = 0
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > _DRAINED:
                    return

"""A web server on 127.0.0.1 that misbehaves on purpose, and a network that leads all names to it."""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpcore

Handler = Callable[[asyncio.StreamWriter], Awaitable[None]]
PUBLIC = "93.184.215.14"


def answer(
    body: bytes = b"", status: int = 200, length: int | None = None, **headers: str
) -> bytes:
    """A whole HTTP answer; `length` is what Content-Length claims; `_` in a header's name is `-`."""
    lines = [f"HTTP/1.1 {status} Whatever"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Request:
    """What the server was asked."""

    path: str
    headers: dict[str, str]


@dataclass
class Server:
    """Answers each path with bytes, a list of bytes (one for each request; the last one stays), or
    whatever a handler writes; others get 404. A connection is closed after answers named in `closing`.
    """

    pages: dict[str, bytes | list[bytes] | Handler] = field(default_factory=dict)
    closing: set[str] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)
    open_now: Counter = field(default_factory=Counter)  # requests being answered, by host
    most_open: Counter = field(default_factory=Counter)
    port: int = 0

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def __enter__(self) -> "Server":
        self._loop = asyncio.new_event_loop()
        started = threading.Event()

        def serve() -> None:
            asyncio.set_event_loop(self._loop)
            server = self._loop.run_until_complete(
                asyncio.start_server(self._connection, "127.0.0.1", 0)
            )
            self.port = server.sockets[0].getsockname()[1]
            self._loop.call_soon(started.set)
            self._loop.run_forever()
            server.close()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").rstrip().split("\r\n")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
                path = first.split(" ")[1]
                self.requests.append(Request(path, headers))
                host = headers["host"]
                self.open_now[host] += 1
                self.most_open[host] = max(self.most_open[host], self.open_now[host])
                try:
                    await self._answer(path, writer)
                finally:
                    self.open_now[host] -= 1
                if path in self.closing:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        page = self.pages.get(path, answer(b"no such page", 404))
        if isinstance(page, list):
            page = page.pop(0) if len(page) > 1 else page[0]
        if callable(page):
            await page(writer)
        else:
            writer.write(page)
            await writer.drain()


class Network(httpcore.AsyncNetworkBackend):
    """Names and machines as a test wants them; every connection really goes to the server.

    Args:
        server: where all connections end.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.names: dict[str, list[str]] = {}  # addresses of names; others lead to a public one
        self.unreachable = ""  # an address that refuses connections
        self.asked: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self._backend = httpcore.AnyIOBackend()

    async def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        found = self.names.get(host, [PUBLIC])
        if not found:
            raise OSError("Name or service not known")
        return found

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        self.connected.append((host, port))
        if host == self.unreachable:
            raise httpcore.ConnectError("Connection refused")
        return await self._backend.connect_tcp("127.0.0.1", self._server.port, timeout)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("connections are not retried by httpcore")


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

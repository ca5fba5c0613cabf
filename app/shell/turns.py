"""Visitors take turns, so that the requests of one do not hold up those of others."""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from gradio.context import LocalContext

from tpad.errors import TpadError

TURNS = 4  # at once, of all visitors
WAITING = 40  # requests of one visitor that may wait
THREADS = 400  # of the server; a request that waits for its turn holds one


class BusyError(TpadError):
    """A visitor has too many requests waiting."""


class Turns:
    """Grants turns; each visitor has one at a time, and visitors who wait are served in rotation.

    So a visitor whose pictures are slow delays others by at most one picture.

    Args:
        at_once: number of turns that are granted at the same time.
        waiting: number of requests of one visitor that may wait.
    """

    def __init__(self, at_once: int = TURNS, waiting: int = WAITING) -> None:
        self._free, self._most = at_once, waiting
        self._guard = threading.Lock()
        self._waiting: OrderedDict[str, deque[threading.Lock]] = OrderedDict()
        self._running: Counter[str] = Counter()

    @contextmanager
    def turn(self, visitor: str) -> Iterator[None]:
        """Wait for a turn, and keep it until the block ends. Turns cannot be nested.

        Raises:
            BusyError: too many requests of this visitor are waiting.
        """
        ticket = threading.Lock()
        ticket.acquire()
        with self._guard:
            if len(self._waiting.get(visitor, ())) >= self._most:
                raise BusyError(
                    "Too many of your requests are waiting; wait for an answer before you send the "
                    "next one."
                )
            self._waiting.setdefault(visitor, deque()).append(ticket)
            self._grant()
        ticket.acquire()  # until it is granted
        try:
            yield
        finally:
            with self._guard:
                self._free += 1
                self._running -= Counter([visitor])
                self._grant()

    def _grant(self) -> None:
        """Give the free turns to visitors who have none, the one who was served last at the end."""
        for visitor in list(self._waiting):
            if not self._free:
                return
            if self._running[visitor]:
                continue
            tickets = self._waiting.pop(visitor)
            tickets.popleft().release()
            if tickets:
                self._waiting[visitor] = tickets  # at the end
            self._free -= 1
            self._running[visitor] += 1


SLOW = Turns()
"""Turns for requests that take seconds: reading a picture, encoding new items."""
QUICK = Turns()
"""Turns for requests that take milliseconds: API calls that only name items of the catalogue."""


def in_turn(turns: Turns) -> AbstractContextManager[None]:
    """Run the block when it is the turn of the visitor whose request is being handled.

    Raises:
        BusyError: too many requests of this visitor are waiting.
    """
    return turns.turn(_visitor())


def _visitor() -> str:
    """The address of whoever sent the request that is being handled."""
    request = LocalContext.request.get(None)
    if request is None or request.client is None:
        return ""
    # Behind a proxy all visitors have its address, and their own in the header.
    return f"{request.client.host} {request.headers.get('x-forwarded-for', '')}"

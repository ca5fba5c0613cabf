"""Whose turn it is: hosts take turns, each with a limit of its own, and failed jobs wait."""

import heapq
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(slots=True)
class Job:
    """One address on its way.

    Attributes:
        url: as the table has it.
        current: where it stands after redirects.
        redirects: followed since `url`.
        attempts: started so far.
    """

    url: str
    current: str = ""
    redirects: int = 0
    attempts: int = 0

    def __post_init__(self) -> None:
        self.current = self.current or self.url

    @property
    def host(self) -> str:
        """Name of the host that is asked next; "" if the address has none."""
        try:
            return (urlsplit(self.current).hostname or "").lower()
        except ValueError:
            return ""

    def restart(self) -> None:
        """Back to the table's address."""
        self.current, self.redirects = self.url, 0


@dataclass(slots=True, eq=False)
class _Host:
    queue: deque[Job] = field(default_factory=deque)
    active: int = 0  # jobs handed out
    failures: int = 0  # in a row
    rests_until: float = 0.0
    is_ready: bool = False  # stands in `_ready`
    sleeps: bool = False  # stands in `_due`


class Schedule:
    """Jobs by host. Times are seconds of any one clock.

    Args:
        per_host: jobs of one host that may be out at once.
    """

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._hosts: dict[str, _Host] = {}
        self._ready: deque[_Host] = deque()
        self._due: list[tuple[float, int, _Host, Job | None]] = []  # heap; None wakes the host
        self._ticket = 0
        self._jobs = 0

    def __len__(self) -> int:
        """Jobs that stand here, whether ready or waiting; not those handed out."""
        return self._jobs

    def add(self, job: Job, first: bool = False) -> None:
        """Queue a job at its current host, before its other jobs if `first`."""
        self._jobs += 1
        self._queue(self._host(job.host), job, first)

    def add_later(self, job: Job, due: float) -> None:
        """Queue a job from a time on."""
        self._jobs += 1
        self._push(due, self._host(job.host), job)

    def take(self, now: float) -> Job | None:
        """Hand out the next job that may start; `release` its host afterwards."""
        while self._due and self._due[0][0] <= now:
            _, _, host, job = heapq.heappop(self._due)
            if job is None:
                host.sleeps = False
                self._list(host)
            else:
                self._queue(host, job, first=True)
        while self._ready:
            host = self._ready.popleft()
            host.is_ready = False
            if not host.queue or host.active >= self._per_host:
                continue
            if host.rests_until > now:
                host.sleeps = True
                self._push(host.rests_until, host, None)
                continue
            job = host.queue.popleft()
            host.active += 1
            self._jobs -= 1
            self._list(host)
            return job
        return None

    def release(self, host: str) -> None:
        """A job of this host is no longer out."""
        self._host(host).active -= 1
        self._list(self._host(host))

    def rest(self, host: str, until: float) -> None:
        """Hand out no job of this host until a time."""
        one = self._host(host)
        one.rests_until = max(one.rests_until, until)

    def answered(self, host: str) -> None:
        """Ends the host's row of failures."""
        self._host(host).failures = 0

    def failed(self, host: str) -> int:
        """Counts a failure; returns how many there were in a row."""
        self._host(host).failures += 1
        return self._host(host).failures

    def failures(self, host: str) -> int:
        """Failures in a row."""
        return self._host(host).failures

    def drop(self, host: str) -> list[Job]:
        """Take out all jobs of a host, ready or waiting."""
        one = self._host(host)
        waiting = [job for _, _, its, job in self._due if its is one and job is not None]
        self._due = [entry for entry in self._due if entry[2] is not one or entry[3] is None]
        heapq.heapify(self._due)
        dropped = [*one.queue, *waiting]
        one.queue.clear()
        self._jobs -= len(dropped)
        return dropped

    def next_due(self) -> float | None:
        """When the next waiting job or resting host is due."""
        return self._due[0][0] if self._due else None

    def _host(self, name: str) -> _Host:
        return self._hosts.setdefault(name, _Host())

    def _queue(self, host: _Host, job: Job, first: bool) -> None:
        (host.queue.appendleft if first else host.queue.append)(job)
        self._list(host)

    def _list(self, host: _Host) -> None:
        if host.queue and not host.is_ready and not host.sleeps:
            host.is_ready = True
            self._ready.append(host)

    def _push(self, due: float, host: _Host, job: Job | None) -> None:
        self._ticket += 1  # settles equal times
        heapq.heappush(self._due, (due, self._ticket, host, job))

"""Order of the downloads: hosts take turns, each has a limit, and failed jobs wait."""

import heapq
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(slots=True)
class Job:
    """The download of one address.

    Attributes:
        url: as the table has it.
        current: address after the redirects so far.
        redirects: number of redirects since `url`.
        attempts: number of attempts so far.
    """

    url: str
    current: str = ""
    redirects: int = 0
    attempts: int = 0

    def __post_init__(self) -> None:
        self.current = self.current or self.url

    @property
    def host(self) -> str:
        """Name of the host of the next request; "" if the address has none."""
        try:
            return (urlsplit(self.current).hostname or "").lower()
        except ValueError:
            return ""

    def restart(self) -> None:
        """Start again at the address of the table."""
        self.current, self.redirects = self.url, 0


@dataclass(slots=True, eq=False)
class _Host:
    queue: deque[Job] = field(default_factory=deque)
    active: int = 0  # jobs that run
    failures: int = 0  # consecutive
    rests_until: float = 0.0
    is_ready: bool = False  # is in `_ready`
    sleeps: bool = False  # is in `_due`


class Schedule:
    """Jobs by host. Times are seconds of one clock, whichever it is.

    Args:
        per_host: jobs of one host that may run at once.
    """

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._hosts: dict[str, _Host] = {}
        self._ready: deque[_Host] = deque()
        self._due: list[tuple[float, int, _Host, Job | None]] = []  # heap; None wakes the host
        self._ticket = 0
        self._jobs = 0

    def __len__(self) -> int:
        """Number of ready and waiting jobs; running ones are not included."""
        return self._jobs

    def add(self, job: Job, first: bool = False) -> None:
        """Queue a job at its current host; `first` puts it before the other jobs."""
        self._jobs += 1
        self._queue(self._host(job.host), job, first)

    def add_later(self, job: Job, due: float) -> None:
        """Queue a job at a later time."""
        self._jobs += 1
        self._push(due, self._host(job.host), job)

    def take(self, now: float) -> Job | None:
        """The next job that may start; call `release` with its host afterwards."""
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
        """A job of this host has ended."""
        self._host(host).active -= 1
        self._list(self._host(host))

    def rest(self, host: str, until: float) -> None:
        """Start no job of this host until a time."""
        one = self._host(host)
        one.rests_until = max(one.rests_until, until)

    def answered(self, host: str) -> None:
        """Reset the consecutive failures of the host."""
        self._host(host).failures = 0

    def failed(self, host: str) -> int:
        """Count a failure; returns the number of consecutive failures."""
        self._host(host).failures += 1
        return self._host(host).failures

    def failures(self, host: str) -> int:
        """Number of consecutive failures."""
        return self._host(host).failures

    def drop(self, host: str) -> list[Job]:
        """Remove and return all jobs of a host, ready or waiting."""
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
        self._ticket += 1  # breaks ties of equal times
        heapq.heappush(self._due, (due, self._ticket, host, job))

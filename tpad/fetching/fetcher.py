"""Fetches many addresses at once, politely: limits, pauses, retries, and hosts given up."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor

from tpad.errors import ImageError
from tpad.fetching.config import FetchConfig
from tpad.fetching.downloading import Body, Downloader, Moved
from tpad.fetching.outcomes import FetchError, Kind, Outcome
from tpad.fetching.pictures import PictureStore
from tpad.fetching.schedule import Job, Schedule

MAX_REDIRECTS = 5
FIRST_PAUSE = 1.0  # seconds before the second attempt; doubled for each further one
LONGEST_BACKOFF = 60.0  # seconds
BATCH = 1_000  # outcomes that are kept together where many come at once
WINDOW = 10_000  # addresses that are looked at ahead, so that other hosts find work meanwhile


class Fetcher:
    """Takes addresses from a row and tells what became of each.

    Args:
        config: limits and retries.
        downloader: sends the requests.
        store: keeps the pictures.
        decoders: threads that check and re-encode.
        settled: told of outcomes as they come.
        clock: seconds that only grow.
        sleep: waits for some seconds of that clock.
    """

    def __init__(
        self,
        config: FetchConfig,
        downloader: Downloader,
        store: PictureStore,
        decoders: Executor,
        settled: Callable[[list[Outcome]], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config, self._downloader, self._store = config, downloader, store
        self._decoders, self._settled = decoders, settled
        self._clock, self._sleep = clock, sleep
        self._random = random.Random(config.seed)
        self._schedule = Schedule(config.per_host)
        self._out: set[asyncio.Task[None]] = set()

    async def run(self, urls: Iterable[str]) -> None:
        """Fetch all; returns when each address is settled.

        Args:
            urls: read little by little; each one once.

        Raises:
            OSError: a picture cannot be written.
        """
        feed = iter(urls)
        try:
            while True:
                self._fill(feed)
                while len(self._out) < self._config.concurrency and (job := self._take()):
                    self._out.add(asyncio.create_task(self._attempt(job)))
                pause = self._pause()
                if self._out:
                    done, self._out = await asyncio.wait(
                        self._out, timeout=pause, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        task.result()
                elif pause is not None:
                    await self._sleep(pause)
                else:
                    return
        finally:
            for task in self._out:
                task.cancel()
            await asyncio.gather(*self._out, return_exceptions=True)

    def _fill(self, feed: Iterator[str]) -> None:
        """Queue addresses; those of a host that was given up are settled at once."""
        abandoned: list[Outcome] = []
        while len(self._schedule) < WINDOW and (url := next(feed, None)) is not None:
            job = Job(url)
            if self._given_up(job.host):
                abandoned.append(self._abandoned(job))
            else:
                self._schedule.add(job)
            if len(abandoned) == BATCH:
                self._settled(abandoned)
                abandoned = []
        self._settled(abandoned)

    def _take(self) -> Job | None:
        return self._schedule.take(self._clock())

    def _pause(self) -> float | None:
        """Seconds until something more may start; None if that depends on what is out."""
        due = self._schedule.next_due()
        if due is None or len(self._out) >= self._config.concurrency:
            return None
        return max(due - self._clock(), 0.0)

    async def _attempt(self, job: Job) -> None:
        """One request, and what follows from it."""
        host = job.host
        if not job.redirects:
            job.attempts += 1
        try:
            answer = await self._downloader.get(job.current)
            self._schedule.answered(host)
            if isinstance(answer, Moved):
                self._follow(job, answer)
            else:
                picture = await self._keep(answer)
                self._settled(
                    [Outcome(job.url, Kind.KEPT, picture, status=200, attempts=job.attempts)]
                )
        except FetchError as error:
            self._failed(job, host, error)
        finally:
            self._schedule.release(host)

    def _follow(self, job: Job, moved: Moved) -> None:
        if job.redirects >= MAX_REDIRECTS:
            raise FetchError(
                Kind.LASTING, "too many redirects", f"There are more than {MAX_REDIRECTS}."
            )
        job.current, job.redirects = moved.url, job.redirects + 1
        if self._given_up(job.host):
            self._settled([self._abandoned(job)])
        else:
            self._schedule.add(job, first=True)

    async def _keep(self, body: Body) -> str:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._decoders, self._store.put, body.data)
        except ImageError as error:
            called = f" The server calls it {body.media_type}." if body.media_type else ""
            raise FetchError(Kind.LASTING, "no usable picture", f"{error}{called}", 200) from error

    def _failed(self, job: Job, host: str, error: FetchError) -> None:
        if error.kind is not Kind.PASSING:
            if error.kind is Kind.LASTING:
                self._schedule.answered(host)
            self._settled([_failure(job, error)])
            return
        now = self._clock()
        backoff = min(FIRST_PAUSE * 2 ** (job.attempts - 1), LONGEST_BACKOFF)
        backoff *= self._random.uniform(0.5, 1.5)
        if error.pause is not None or error.status == 429:
            self._schedule.rest(host, now + (backoff if error.pause is None else error.pause))
        if self._schedule.failed(host) == self._config.host_failures:
            self._settled([self._abandoned(other) for other in self._schedule.drop(host)])
        if job.attempts > self._config.retries or self._given_up(host):
            self._settled([_failure(job, error)])
            return
        job.restart()
        self._schedule.add_later(job, now + max(backoff, error.pause or 0.0))

    def _given_up(self, host: str) -> bool:
        return self._schedule.failures(host) >= self._config.host_failures

    def _abandoned(self, job: Job) -> Outcome:
        detail = f"{job.host} failed {self._config.host_failures} times in a row."
        return Outcome(
            job.url, Kind.PASSING, reason="host given up", detail=detail, attempts=job.attempts
        )


def _failure(job: Job, error: FetchError) -> Outcome:
    return Outcome(job.url, error.kind, "", error.reason, error.detail, error.status, job.attempts)

"""Downloads many addresses at once: limits, pauses, retries, and hosts that are skipped."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor

from tpad.errors import ImageError
from tpad.fetching.config import FetchConfig
from tpad.fetching.downloading import Body, Downloader, Moved
from tpad.fetching.pictures import PictureStore
from tpad.fetching.results import FetchError, FetchResult, Kind
from tpad.fetching.schedule import Job, Schedule

MAX_REDIRECTS = 5
FIRST_PAUSE = 1.0  # seconds before the second attempt; doubled for each further one
LONGEST_BACKOFF = 60.0  # seconds
BATCH = 1_000  # results that are reported together, if there are many at once
WINDOW = 10_000  # addresses that are queued ahead, so that a slow host does not hold up others


class Fetcher:
    """Downloads addresses and reports the result of each.

    Args:
        config: limits and retries.
        downloader: sends the requests.
        store: stores the pictures.
        decoders: threads that check and re-encode.
        on_results: called with results as they arrive.
        clock: monotonic time in seconds.
        sleep: waits for some seconds of that clock.
    """

    def __init__(
        self,
        config: FetchConfig,
        downloader: Downloader,
        store: PictureStore,
        decoders: Executor,
        on_results: Callable[[list[FetchResult]], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config, self._downloader, self._store = config, downloader, store
        self._decoders, self._on_results = decoders, on_results
        self._clock, self._sleep = clock, sleep
        self._random = random.Random(config.seed)
        self._schedule = Schedule(config.per_host)
        self._active: set[asyncio.Task[None]] = set()

    async def run(self, urls: Iterable[str]) -> None:
        """Download all; returns when every address has a result.

        Args:
            urls: distinct; read as they are needed.

        Raises:
            OSError: a picture cannot be written.
        """
        feed = iter(urls)
        try:
            while True:
                self._fill(feed)
                while len(self._active) < self._config.concurrency and (job := self._take()):
                    self._active.add(asyncio.create_task(self._attempt(job)))
                pause = self._pause()
                if self._active:
                    done, self._active = await asyncio.wait(
                        self._active, timeout=pause, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        task.result()
                elif pause is not None:
                    await self._sleep(pause)
                else:
                    return
        finally:
            for task in self._active:
                task.cancel()
            await asyncio.gather(*self._active, return_exceptions=True)

    def _fill(self, feed: Iterator[str]) -> None:
        """Queue addresses; those of a skipped host fail at once."""
        skipped: list[FetchResult] = []
        while len(self._schedule) < WINDOW and (url := next(feed, None)) is not None:
            job = Job(url)
            if self._is_skipped(job.host):
                skipped.append(self._skipped(job))
            else:
                self._schedule.add(job)
            if len(skipped) == BATCH:
                self._on_results(skipped)
                skipped = []
        self._on_results(skipped)

    def _take(self) -> Job | None:
        return self._schedule.take(self._clock())

    def _pause(self) -> float | None:
        """Seconds until the next request may start; None if it waits for an active one."""
        due = self._schedule.next_due()
        if due is None or len(self._active) >= self._config.concurrency:
            return None
        return max(due - self._clock(), 0.0)

    async def _attempt(self, job: Job) -> None:
        """Send one request and handle its result."""
        host = job.host
        if not job.redirects:
            job.attempts += 1
        try:
            response = await self._downloader.get(job.current)
            self._schedule.answered(host)
            if isinstance(response, Moved):
                self._follow(job, response)
            else:
                picture = await self._store_picture(response)
                self._on_results(
                    [FetchResult(job.url, Kind.OK, picture, status=200, attempts=job.attempts)]
                )
        except FetchError as error:
            self._failed(job, host, error)
        finally:
            self._schedule.release(host)

    def _follow(self, job: Job, moved: Moved) -> None:
        if job.redirects >= MAX_REDIRECTS:
            raise FetchError(
                Kind.PERMANENT, "too many redirects", f"There are more than {MAX_REDIRECTS}."
            )
        job.current, job.redirects = moved.url, job.redirects + 1
        if self._is_skipped(job.host):
            self._on_results([self._skipped(job)])
        else:
            self._schedule.add(job, first=True)

    async def _store_picture(self, body: Body) -> str:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._decoders, self._store.put, body.data)
        except ImageError as error:
            declared = f" The server declares it as {body.media_type}." if body.media_type else ""
            raise FetchError(
                Kind.PERMANENT, "not a usable picture", f"{error}{declared}", 200
            ) from error

    def _failed(self, job: Job, host: str, error: FetchError) -> None:
        if error.kind is not Kind.TEMPORARY:
            if error.kind is Kind.PERMANENT:
                self._schedule.answered(host)
            self._on_results([_failure(job, error)])
            return
        now = self._clock()
        backoff = min(FIRST_PAUSE * 2 ** (job.attempts - 1), LONGEST_BACKOFF)
        backoff *= self._random.uniform(0.5, 1.5)
        if error.pause is not None or error.status == 429:
            self._schedule.rest(host, now + (backoff if error.pause is None else error.pause))
        if self._schedule.failed(host) == self._config.host_failures:
            self._on_results([self._skipped(other) for other in self._schedule.drop(host)])
        if job.attempts > self._config.retries or self._is_skipped(host):
            self._on_results([_failure(job, error)])
            return
        job.restart()
        self._schedule.add_later(job, now + max(backoff, error.pause or 0.0))

    def _is_skipped(self, host: str) -> bool:
        return self._schedule.failures(host) >= self._config.host_failures

    def _skipped(self, job: Job) -> FetchResult:
        detail = f"{job.host} failed {self._config.host_failures} times in a row."
        return FetchResult(
            job.url, Kind.TEMPORARY, reason="host skipped", detail=detail, attempts=job.attempts
        )


def _failure(job: Job, error: FetchError) -> FetchResult:
    return FetchResult(
        job.url, error.kind, "", error.reason, error.detail, error.status, job.attempts
    )

"""The order of downloads, and how far the table is read ahead."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from tpad.fetching import FetchConfig, fetcher
from tpad.fetching.fetcher import Fetcher
from tpad.fetching.results import FetchError, Kind
from tpad.fetching.schedule import Job, Schedule


def filled(per_host: int, *urls: str) -> Schedule:
    schedule = Schedule(per_host)
    for url in urls:
        schedule.add(Job(f"http://{url}"))
    return schedule


def taken(schedule: Schedule, now: float = 0.0) -> list[str]:
    jobs = []
    while job := schedule.take(now):
        jobs.append(job.url.removeprefix("http://"))
    return jobs


def test_hosts_take_turns_up_to_their_limit():
    schedule = filled(2, "a/1", "a/2", "a/3", "b/1", "b/2", "c/1")
    assert taken(schedule) == ["a/1", "b/1", "c/1", "a/2", "b/2"]
    assert len(schedule) == 1
    schedule.release("b")
    assert taken(schedule) == []
    schedule.release("a")
    assert taken(schedule) == ["a/3"]


def test_a_resting_host_wakes_at_its_time():
    schedule = filled(9, "a/1", "a/2", "b/1")
    schedule.rest("a", 10.0)
    assert taken(schedule, 9.9) == ["b/1"]
    assert schedule.next_due() == 10.0
    assert taken(schedule, 10.0) == ["a/1", "a/2"] and schedule.next_due() is None


def test_a_failed_job_waits_and_then_goes_first():
    schedule = filled(1, "a/1", "a/2")
    late = Job("http://a/0")
    schedule.add_later(late, 5.0)
    assert len(schedule) == 3 and schedule.take(4.0).url == "http://a/1"
    schedule.release("a")
    assert schedule.take(5.0) is late


def test_dropped_jobs_are_those_of_the_host_also_those_that_wait():
    schedule = filled(1, "a/1", "b/1")
    schedule.add_later(Job("http://a/2"), 5.0)
    schedule.add_later(Job("http://b/2"), 6.0)
    assert [job.url for job in schedule.drop("a")] == ["http://a/1", "http://a/2"]
    assert len(schedule) == 2 and schedule.next_due() == 6.0
    assert taken(schedule) == ["b/1"]


@pytest.mark.parametrize("url", ["http://[bad/", "nothing", "http://"])
def test_an_address_without_a_host_has_a_turn_too(url):
    schedule = Schedule(1)
    schedule.add(Job(url))
    assert schedule.take(0.0).host == ""


@pytest.mark.parametrize("reason", ["HTTP 404", "no connection"])
def test_a_long_table_is_read_as_needed(monkeypatch, reason):
    """What stands in memory stays small, whether pages are missing or the host is skipped."""
    monkeypatch.setattr(fetcher, "WINDOW", 20)
    monkeypatch.setattr(fetcher, "BATCH", 10)
    read, finished, ahead = 0, 0, []

    def urls():
        nonlocal read
        for read in range(1, 5001):
            ahead.append(read - finished)
            yield f"http://shop.test/{read}"

    def count(results):
        nonlocal finished
        finished += len(results)

    class Missing:
        async def get(self, url):
            await asyncio.sleep(0)
            kind = Kind.PERMANENT if reason == "HTTP 404" else Kind.TEMPORARY
            raise FetchError(kind, reason, "")

    async def run():
        with ThreadPoolExecutor(1) as decoders:
            await Fetcher(FetchConfig(retries=0), Missing(), None, decoders, count).run(urls())

    asyncio.run(run())
    assert finished == 5000 and max(ahead) <= 20 + 16 + 10

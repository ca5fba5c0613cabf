"""One long call does not hold up others: encoding takes turns, and cached items do not wait."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_bundle import FakeEncoder

from tpad.bundle import Bundle
from tpad.content import BATCH, Content, EncodingCache
from tpad.fair_lock import FairLock
from tpad.items import NewItem

LONG = 60  # seconds until a thread that never comes is given up


def items(prefix: str, n: int = 1) -> list[Content]:
    return [Content.of(NewItem(title=f"{prefix} {i}")) for i in range(n)]


class HeldEncoder(FakeEncoder):
    """Stops in each call until `go` is released once, and notes the titles of each."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.seen: list[str] = []

    def encode(self, items, sets=None):
        self.seen.append(items[0].title.split()[0])
        self.entered.release()
        assert self.go.acquire(timeout=LONG)
        return super().encode(items, sets)


@pytest.fixture
def held(fake_bundle):
    encoder = HeldEncoder()
    cache = EncodingCache(Bundle.load(fake_bundle, encoder=encoder))
    with ThreadPoolExecutor(4) as pool:
        yield encoder, cache, pool
        for _ in range(20):
            encoder.go.release()


def test_cached_items_do_not_wait_for_an_encoding(held):
    encoder, cache, pool = held
    known = items("known", 2)
    encoder.go.release()
    expected = cache.encode(known, ["tpad"])["tpad"]
    assert encoder.entered.acquire(timeout=LONG)
    slow = pool.submit(cache.encode, items("slow"), ["tpad"])
    assert encoder.entered.acquire(timeout=LONG)  # it is in the encoder, and stays there
    found = pool.submit(cache.encode, known, ["tpad"]).result(timeout=LONG)["tpad"]
    np.testing.assert_array_equal(found, expected)
    assert not slow.done()


def test_a_long_call_lets_others_in_after_each_batch(held):
    encoder, cache, pool = held
    long = pool.submit(cache.encode, items("long", 3 * BATCH), ["tpad"])
    assert encoder.entered.acquire(timeout=LONG)
    short = pool.submit(cache.encode, items("short"), ["tpad"])
    while not cache._turns._waiting:  # until it has taken its place in the queue
        threading.Event().wait(0.001)
    encoder.go.release(2)
    short.result(timeout=LONG)
    assert not long.done()
    encoder.go.release(2)
    assert len(long.result(timeout=LONG)["tpad"]) == 3 * BATCH
    assert encoder.seen == ["long", "short", "long", "long"]


def test_the_same_item_is_encoded_once_for_two_who_ask_at_once(held):
    encoder, cache, pool = held
    first = pool.submit(cache.encode, items("same"), ["tpad"])
    assert encoder.entered.acquire(timeout=LONG)
    second = pool.submit(cache.encode, items("same"), ["tpad"])
    while not cache._turns._waiting:
        threading.Event().wait(0.001)
    encoder.go.release()
    for asked in (first, second):
        asked.result(timeout=LONG)
    assert encoder.seen == ["same"]


def test_the_lock_is_exclusive_and_released_by_errors():
    lock, inside, most = FairLock(), [], []

    def work(_):
        with lock:
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    with pytest.raises(KeyError), lock:
        raise KeyError
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert most == [1] * 200

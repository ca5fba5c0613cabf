"""Runs to store, for the tests of the store and the processes that they start."""

import sys

import numpy as np
from small_shops import dataset_of

from eval.database import open_run as open_run_module
from eval.database.store import Store
from eval.protocol import TestCases

VERSION = ("0.1.0", "abc")


def tiny_shop():
    """Eight items; item 7 is cold."""
    walks = [[i % 7, (i + 1) % 7, (i + 2) % 7] for i in range(20)]
    return dataset_of(walks, walks[:3], [*walks[:9], [1, 7], [5, 2, 7]], 8)


def open_run(store, shop, model="tpad", seed=0, key="k", **more):
    cases = TestCases.of(shop)
    return store.run(shop, "shop", cases, (model, "tpad"), seed, {"a": 1}, key, VERSION, **more)


def some_ranks(shop, seed=0):
    rng = np.random.default_rng(seed)
    ranks = rng.integers(1, 60, len(TestCases.of(shop))) / 2 + 0.5
    ranks[::5] = np.inf
    return ranks.astype(np.float32)


def say_and_wait(word: str) -> None:
    """Tells the parent where this process is, and lets it decide how to go on."""
    print(word, flush=True)
    sys.stdin.readline()


def write_many(target: str, name: str, count: str) -> None:
    """Opens a database, be it there or not, and writes runs into it."""
    shop = tiny_shop()
    say_and_wait("ready")
    store = Store(target)
    for seed in range(int(count)):
        # The model is shared: both processes may be about to add it.
        with open_run(store, shop, f"model-{seed}", seed, key=f"{name}-{seed}") as run:
            run.finish(some_ranks(shop, seed), 0, 0)
    store.close()


def stop_within(target: str) -> None:
    """Is killed with a run open, in the midst of the transaction that writes another's results."""
    shop, store = tiny_shop(), Store(target)
    with (
        open_run(store, shop, key="killed") as first,
        open_run(store, shop, key="killed") as second,
    ):
        open_run_module.close_run = lambda *_: say_and_wait(f"{first.id} {second.id}")
        second.finish(some_ranks(shop), 0, 0)


if __name__ == "__main__":
    {"write": write_many, "stop": stop_within}[sys.argv[1]](*sys.argv[2:])

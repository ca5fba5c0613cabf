"""How time and memory of the recommender's parts grow with the shop: items and sessions ×1, ×10, ×30, ×100.

    python benchmarks/bench_recommender_growth.py                   # a quarter of an hour of one core
    python benchmarks/bench_recommender_growth.py --factors 1 10    # one minute

Catalogue and sessions are synthetic: items belong to families with similar features, popularity follows
Zipf's law, sessions have five clicks on average and mostly stay in a family, and a tenth of the items is not
clicked. Training runs one epoch with the default settings, with everything before and after it: scaling of
the features, batches and validation. Each size runs in a process of its own.

Exponents and memory are those of `bench_growth.py`: the slope between the last two sizes, and what a part
needs beyond what the process held when it began.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from clocks import CLOCKS
from growth_table import add_growth_options, print_table
from own_process import in_process
from stage_meter import Meter

FAMILY = 20  # items
WIDTH = 96  # features of an item
MEAN_LENGTH = 5  # clicks of a session
STAYS = 0.7  # probability that the next click is in the same family
UNCLICKED = 0.1
ROWS = {
    "memory: fit": "clicks",
    "stand-ins of unclicked items": "unclicked × clicked items",
    "content network: one epoch": "clicks",
    "ID network: one epoch": "clicks",
}
"""Name of a row -> what it works on."""


def catalogue(n_items: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features (n_items, WIDTH) float32, and which items are never clicked, (n_items,) bool."""
    centres = rng.standard_normal((n_items // FAMILY + 1, WIDTH), dtype=np.float32)
    features = centres[np.arange(n_items) // FAMILY]
    features += 0.7 * rng.standard_normal(features.shape, dtype=np.float32)
    return features, rng.random(n_items) < UNCLICKED


def sessions(n_sessions: int, unclicked: np.ndarray, rng: np.random.Generator) -> Any:
    """Sessions of at least two clicks, on all items but the unclicked ones."""
    from tpad.data.sessions import Sessions

    clicked = np.flatnonzero(~unclicked)
    share = 1 / np.arange(1, len(clicked) + 1)
    popular = rng.permutation(clicked)
    lengths = 2 + rng.poisson(MEAN_LENGTH - 2, n_sessions)
    session = np.repeat(np.arange(n_sessions), lengths)
    items = popular[rng.choice(len(clicked), len(session), p=share / share.sum())]
    # A click in the family of the session's first one; unclicked items are replaced by popular ones.
    first = items[np.cumsum(lengths) - lengths][session]
    near = first // FAMILY * FAMILY + rng.integers(0, FAMILY, len(first))
    stays = (rng.random(len(first)) < STAYS) & (near < len(unclicked))
    stays &= ~unclicked[np.minimum(near, len(unclicked) - 1)]
    items = np.where(stays, near, items).astype(np.int32)
    parts = np.split(items, np.cumsum(lengths)[:-1])
    ids = np.arange(n_sessions).astype(str).astype(object)
    return Sessions(ids, parts, np.arange(n_sessions, dtype=np.int64))


def measure(
    n_items: int, n_sessions: int, threads: int, clock: str, seed: int
) -> dict[str, tuple[float, float]]:
    """Seconds and MiB of each part."""
    import torch

    from tpad.data.sessions import Sessions
    from tpad.model.session.content_space import ContentSpace
    from tpad.model.session.memory import Memory, MemoryConfig
    from tpad.model.session.stand_ins import stand_ins
    from tpad.training.fitting import fit_session_model
    from tpad.training.fusion import CONTENT_NETWORK, ID_NETWORK

    torch.set_num_threads(threads)
    rng = np.random.default_rng(seed)
    features, unclicked = catalogue(n_items, rng)
    every = sessions(n_sessions, unclicked, rng)
    cut = n_sessions - n_sessions // 10
    train, validation = (
        Sessions(every.ids[part], every.items[part], every.starts[part])
        for part in (slice(cut), slice(cut, None))
    )
    warm = np.zeros(n_items, bool)
    warm[train.clicks] = True
    meter = Meter(CLOCKS[clock])
    with meter.stage("memory: fit"):
        Memory.fit(every, n_items, MemoryConfig(), mask_seen=True)
    with meter.stage("stand-ins of unclicked items"):
        units = ContentSpace.fit(features, ~unclicked).units(features)
        stand_ins(units, ~unclicked)
    networks = {"content": CONTENT_NETWORK, "ID": ID_NETWORK}
    for name, config in networks.items():
        with meter.stage(f"{name} network: one epoch"):
            fit_session_model(features, train, validation, warm, replace(config, epochs=1))
    return meter.found


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    result.add_argument("--items", type=int, default=1_000, help="at ×1 (%(default)s)")
    result.add_argument("--sessions", type=int, default=10_000, help="at ×1 (%(default)s)")
    add_growth_options(result, [1, 10, 30, 100], "data")
    return result


def each_size(
    options: argparse.Namespace,
) -> Iterator[tuple[dict[str, int], dict[str, tuple[float, float]]]]:
    """Numbers of items and sessions, and the figures of each size."""
    # BLAS reads this when numpy is imported, which happens in the processes below.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    for factor in options.factors:
        size = round(factor * options.items), round(factor * options.sessions)
        print(f"×{factor:g}", file=sys.stderr, flush=True)
        counts = {"items": size[0], "sessions": size[1]}
        yield counts, in_process(measure, *size, options.threads, options.clock, options.seed)


def main() -> int:
    """Run the benchmark."""
    options = parser().parse_args()
    if options.factors != sorted(set(options.factors)):
        parser().error("--factors must ascend, such as 1 10 100")
    sizes, found = zip(*each_size(options), strict=True)
    print_table(options.factors, sizes, found, ROWS)
    return 0


if __name__ == "__main__":
    sys.exit(main())

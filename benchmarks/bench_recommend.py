"""How fast `recommend` is, against a bare matmul and top-k of the same shape in the same run.

    python benchmarks/bench_recommend.py
    python benchmarks/bench_recommend.py --items 1200 100000 --search exact ivf

For each number of items a bundle is made in a temporary folder (see `tests/large_bundle.py`), opened
and asked for sessions of 5 clicks, one at a time. "floor" is `vectors @ query` and `argpartition` in numpy,
with vectors of network and content side by side; "ratio" is the p50 over it. Recall is that of the best 20
by the exact fused score.
Memory is what the process holds, the bundle's tables included.
"""

import argparse
import gc
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from clocks import CLOCKS, Clock, add_clock_option

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from large_bundle import WideEncoder, make_large_bundle
from rows import Row
from stage_meter import resident

import tpad
from tpad.index import METHODS

K = 20
CLICKS = 5  # of each session


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument(
        "--items",
        type=int,
        nargs="+",
        default=[1_200, 100_000, 1_000_000],
        help="sizes of the catalogue, from the demo's 1200 on (%(default)s)",
    )
    result.add_argument(
        "--search",
        nargs="+",
        choices=METHODS,
        default=["exact", "ivf", "hnsw"],
        help="searches (%(default)s)",
    )
    result.add_argument("--sessions", type=int, default=200, help="asked of each (%(default)s)")
    add_clock_option(result, "wall")
    result.add_argument("--threads", type=int, default=1, help="of torch (%(default)s)")
    return result


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The lines of the table."""
    torch.set_num_threads(options.threads)
    for n_items in options.items:
        with tempfile.TemporaryDirectory() as folder:
            path = make_large_bundle(Path(folder) / "large", n_items)
            for search in options.search:
                yield measure(path, n_items, search, options.sessions, CLOCKS[options.clock])


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """What the table says of speed, beside the floor."""
    for line in measured(options):
        for part in ("p50", "p99"):
            mine, floor = line[f"{part} ms"], line[f"floor {part}"]
            yield Row(
                f"recommend, {line['items']} items, {line['search']} (recall {line['recall']}), {part}",
                f"{mine:.2f} ms",
                f"{floor:.2f} ms",
                floor / mine,
            )


def main() -> int:
    """Runs the benchmark."""
    lines = []
    for line in measured(parser().parse_args()):
        lines.append(line)
        print(pd.DataFrame([line]).to_string(index=False), flush=True)
    print()
    print(pd.DataFrame(lines).to_string(index=False))
    return 0


def measure(path: Path, n_items: int, search: str, n_sessions: int, clock: Clock) -> dict[str, Any]:
    """One line of the table."""
    gc.collect()  # what the measure before held
    begin = clock()
    shop = tpad.load(path, encoder=WideEncoder(), search=search)
    opened = clock()
    sessions = sessions_of(shop, n_sessions)
    built = clock()
    shop.recommend(sessions[0], K)  # makes the item vectors and the index
    ready = clock()
    asked = [timed(clock, partial(shop.recommend, session, K)) for session in sessions]
    memory = resident()
    model, rows = shop.bundle.recommenders["tpad"], shop.bundle.dataset.rows
    vectors = np.concatenate([model.network.item_vectors, model.units], axis=1)
    queries = [model.query(np.array([rows[one] for one in session])) for session in sessions]

    def best(query: np.ndarray) -> np.ndarray:
        return np.argpartition(vectors @ query, -K)[-K:]

    joined = [np.concatenate([one.network, one.content]) for one in queries]
    floor = [timed(clock, partial(best, query)) for query in joined]
    asked_ms, floor_ms = (1000 * np.percentile(times, [50, 99]) for times in (asked, floor))
    return {
        "items": f"{n_items:,}",
        "search": search,
        "p50 ms": round(asked_ms[0], 2),
        "p99 ms": round(asked_ms[1], 2),
        "floor p50": round(floor_ms[0], 2),
        "floor p99": round(floor_ms[1], 2),
        "ratio": round(asked_ms[0] / floor_ms[0], 2),
        "recall": round(shop.recall(sessions[:50], K), 3),
        "open s": round(opened - begin, 1),
        "build s": round(ready - built, 1),
        "MiB": round(memory),
    }


def sessions_of(shop: tpad.Recommender, n: int) -> list[list[str]]:
    """Sessions of 5 clicks; each click follows the one before in the memory."""
    rng, ids = np.random.default_rng(0), shop.items["item_id"].to_numpy()
    model = shop.bundle.recommenders["tpad"]
    matrix = model.memory.matrix
    known = np.flatnonzero(np.diff(matrix.indptr))
    sessions = []
    for _ in range(n):
        rows = [rng.choice(known)]
        while len(rows) < CLICKS:
            following = matrix.indices[matrix.indptr[rows[-1]] : matrix.indptr[rows[-1] + 1]]
            rows.append(rng.choice(following if len(following) else known))
        sessions.append(ids[rows].tolist())
    return sessions


def timed(clock: Clock, call: Callable[[], object]) -> float:
    """Seconds."""
    begin = clock()
    call()
    return clock() - begin


if __name__ == "__main__":
    sys.exit(main())

"""How fast the store writes and reads ranks: 100,000 cases × 12 models.

    python benchmarks/bench_store.py
    python benchmarks/bench_store.py --database postgresql://user@host/database

A SQLite file is made in a temporary folder; another database should be empty, and keeps its rows.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import numpy as np

from eval.database.store import Store
from eval.metrics.ranks import Ranks
from eval.metrics.slice_metrics import slice_metrics
from eval.protocol import TestCases


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--database", help="SQLAlchemy URL; a temporary SQLite file by default")
    result.add_argument("--cases", type=int, default=100_000, help="test cases (%(default)s)")
    result.add_argument("--models", type=int, default=12, help="models (%(default)s)")
    result.add_argument("--items", type=int, default=100_000, help="items (%(default)s)")
    return result


@contextmanager
def timed(what: str, count: int = 1) -> Iterator[None]:
    """Prints how long a block took."""
    begin, worked = time.perf_counter(), time.process_time()
    yield
    seconds, work = time.perf_counter() - begin, time.process_time() - worked
    each = f", {1000 * seconds / count:,.0f} ms each" if count > 1 else ""
    print(f"{what:<42}{seconds:8.2f} s, {work:6.2f} s of the processor{each}", flush=True)


def make_cases(n: int, n_items: int) -> TestCases:
    """Random cases, four of each session."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, n_items, n, dtype=np.int32)
    prefixes = np.split(rng.integers(0, n_items, 3 * n, dtype=np.int32), n)
    cold = rng.random(n_items) < 0.2
    return TestCases(
        uuid4().hex,
        "random",
        np.arange(n) // 4,
        prefixes,
        targets,
        cold[targets],
        mask_history=False,
        left_out=0,
    )


def main() -> int:
    """Runs the benchmark."""
    options = parser().parse_args()
    n, models, n_items = options.cases, options.models, options.items
    cases, rng = make_cases(n, n_items), np.random.default_rng(1)
    ranks = rng.integers(1, n_items + 1, (models, n)).astype(np.float32)  # (n_models, n)
    # All that the store asks of a dataset.
    dataset: Any = SimpleNamespace(
        fingerprint=cases.dataset, items=range(n_items), train=(), validation=(), test=()
    )
    with tempfile.TemporaryDirectory() as folder:
        target = options.database or str(Path(folder) / "results.db")
        with timed("open, tables made"):
            store = Store(target)
        print(f"{n:,} cases x {models} models, {store.engine.dialect.name}")
        with timed("compute the figures of a run (the judge)"):
            known = list(slice_metrics(Ranks.from_expected(ranks[0]), cases))
        ids, version = [], ("benchmark", "")
        with (
            timed("store all runs", models),
            patch("eval.database.open_run.slice_metrics", lambda *_: known),
        ):
            for row in range(models):
                model = (f"model-{row}", "baseline")
                with store.run(dataset, "random", cases, model, 0, {}, "key", version) as run:
                    run.finish(ranks[row], 0.0, 0.0)
                ids.append(run.id)
        with timed("store a split of all items"):
            split = store.add_split(
                dataset,
                "random",
                name="cold",
                kind="random",
                seed=0,
                params={},
                fingerprint=uuid4().hex,
                rows=((f"item-{i}", "cold" if i % 5 else "train") for i in range(n_items)),
            )
        store.close()
        with timed("open again"):
            store = Store(target)
        with timed("read the ranks of all runs"):
            found = store.rank_matrix(ids)
        with timed("read the figures of all runs"):
            table = store.figures(ids)
        with timed("list all runs"):
            store.list_runs(cases=cases.fingerprint)
        with timed("two runs side by side"):
            store.side_by_side(ids[0], ids[-1])
        with timed("read the split"):
            items = store.split_items(split)
        store.close()
        if not options.database:
            print(f"size of the file: {Path(target).stat().st_size / 2**20:.1f} MiB")
    same = np.array_equal(found.expected, ranks) and len(items) == n_items and len(table) > 0
    print("all came back as it was" if same else "NOT what was written")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())

"""Cost of a full evaluation: sessions scored per second and peak memory, by size of the catalogue.

    python benchmarks/bench_evaluation.py
    python benchmarks/bench_evaluation.py --items 100000 --cases 100000

A full evaluation is one pass over all scores (ranks, lists of 20, probabilities), the metrics with
their bootstrap intervals, the figures of the lists and calibration. The model is a dot product of 64
numbers, so that what is timed is the judge and the least a model can cost. Each size runs in a
process of its own, as peak memory is that of a process. Sessions have three cases each.
"""

import argparse
import sys
import time

import numpy as np
from own_process import in_process
from stage_meter import peak
from tqdm import tqdm

from eval.metrics.calibration import calibration
from eval.metrics.lists import list_metrics
from eval.metrics.ranking import rank_all
from eval.metrics.ranks import all_case_values
from eval.metrics.significance import bootstrap_interval
from eval.protocol import TestCases

WIDTH = 64
CASES_PER_SESSION = 3


class DotProduct:
    """Scores items by their dot product with the last item of the session."""

    can_score_new_items = True

    def __init__(self, n_items: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.vectors = rng.standard_normal((n_items, WIDTH)).astype(np.float32) / 4

    def fit(self, dataset: object) -> "DotProduct":
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        return self.vectors[[session[-1] for session in sessions]] @ self.vectors.T


def cases_of(n: int, n_items: int, seed: int) -> TestCases:
    """Random prefixes of one to three items, none of which is the target."""
    rng = np.random.default_rng(seed)
    prefixes = [rng.integers(0, n_items - 1, 1 + i % CASES_PER_SESSION) for i in range(n)]
    session = np.arange(n) // CASES_PER_SESSION
    targets = np.full(n, n_items - 1, dtype=np.int32)
    return TestCases(
        "synthetic", "every prefix", session, prefixes, targets, np.zeros(n, bool), True, 0
    )


def measure(n_items: int, n_cases: int, seed: int) -> dict[str, float]:
    """One evaluation; seconds and MiB by name."""
    model, cases = DotProduct(n_items, seed), cases_of(n_cases, n_items, seed)
    popularity = np.random.default_rng(seed).zipf(1.5, n_items).clip(max=10**6)
    before = peak()
    begin = time.perf_counter()
    with tqdm(total=n_cases, unit="case", disable=not sys.stderr.isatty(), leave=False) as bar:
        ranking = rank_all(
            model, cases, n_items, progress=lambda done, of: bar.update(done - bar.n)
        )
    ranked = time.perf_counter()
    bootstrap_interval(all_case_values(ranking.ranks), cases.session)
    list_metrics(ranking.lists, popularity, model.vectors)
    calibration(ranking)
    end = time.perf_counter()
    return {
        "sessions": len(np.unique(cases.session)),
        "ranking": ranked - begin,
        "figures": end - ranked,
        "before": before,
        "peak": peak(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--cases", type=int, default=3_000, help="cases per size (default 3,000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        "| items | cases | sessions/s | cases/s | ranking (s) | figures (s) | peak (MiB) | of it before (MiB) |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for n_items in options.items:
        found = in_process(measure, n_items, options.cases, options.seed)
        seconds = found["ranking"] + found["figures"]
        print(
            f"| {n_items:,} | {options.cases:,} | {found['sessions'] / seconds:,.0f} | "
            f"{options.cases / seconds:,.0f} | {found['ranking']:.1f} | {found['figures']:.1f} | "
            f"{found['peak']:,.0f} | {found['before']:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

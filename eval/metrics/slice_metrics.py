"""The figures that are stored with every run: each metric on each slice, with its interval."""

from collections.abc import Iterator
from typing import NamedTuple

from eval.metrics.ranks import Ranks, all_case_values, metric_names
from eval.metrics.significance import bootstrap_interval
from eval.protocol import SLICES, TestCases


class Figure(NamedTuple):
    """One figure of a run; `k` is 0 without a cut-off, `low` and `high` are None together."""

    slice: str
    name: str
    k: int
    value: float
    low: float | None = None
    high: float | None = None


def figures(ranks: Ranks, cases: TestCases) -> Iterator[Figure]:
    """Every figure of a run; a slice without cases has none.

    Args:
        ranks: of the n_cases targets.
        cases: what was asked.
    """
    values = all_case_values(ranks)  # (n, n_metrics)
    for name in SLICES:
        mask = cases.slice(name)
        if not mask.any():
            continue
        bounds = bootstrap_interval(values[mask], cases.session[mask])  # (n_metrics, 2)
        means = values[mask].mean(0)
        for (metric, k), mean, (low, high) in zip(metric_names(), means, bounds, strict=True):
            yield Figure(name, metric, k, float(mean), float(low), float(high))

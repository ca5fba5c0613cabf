"""The metrics that are stored with every run: each metric on each slice, with its interval."""

from collections.abc import Iterator
from typing import NamedTuple

from eval.metrics.ranks import Ranks, all_case_values, metric_names
from eval.metrics.significance import bootstrap_interval
from eval.protocol import SLICES, TestCases


class MetricValue(NamedTuple):
    """One metric of a run on one slice.

    `k` is 0 if the metric has no cut-off; `low` and `high` are both None if it has no interval.
    """

    slice: str
    name: str
    k: int
    value: float
    low: float | None = None
    high: float | None = None


def slice_metrics(ranks: Ranks, cases: TestCases) -> Iterator[MetricValue]:
    """Every metric on all, warm and cold targets, with its interval; empty slices are skipped.

    Args:
        ranks: of the n_cases targets.
        cases: the cases.
    """
    values = all_case_values(ranks)  # (n, n_metrics)
    for name in SLICES:
        mask = cases.slice(name)
        if not mask.any():
            continue
        bounds = bootstrap_interval(values[mask], cases.session[mask])  # (n_metrics, 2)
        means = values[mask].mean(0)
        for (metric, k), mean, (low, high) in zip(metric_names(), means, bounds, strict=True):
            yield MetricValue(name, metric, k, float(mean), float(low), float(high))

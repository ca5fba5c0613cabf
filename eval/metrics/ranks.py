"""Ranks of the targets, and the metrics computed from them.

Every case has one relevant item, the target: the next click. With r its rank among all candidates (1 is
best):

    P@k    = HR@k = Recall@k = [r <= k]   (one target: found or not)
    MRR@k  = [r <= k] / r
    NDCG@k = [r <= k] / log2(r + 1)       (the ideal gain is 1)

Items with equal scores are in random order. If a items score above the target and t items have its
score, the target included, then r is uniform on a + 1, ..., a + t. The value of a case is the
expectation over these ranks, with the gain g(r) of one of the formulas above:

    value = 1/t · Σ_{r = a+1}^{a+t} g(r)

This is the mean over all ways to break the ties, which differs from the gain of the expected rank
a + (t + 1) / 2. P@k is named as in SR-GNN (Wu et al., AAAI 2019) and the
session literature after it: it is not divided by k. NDCG is that of Järvelin and Kekäläinen (TOIS
2002); expectations over ties are those of McSherry and Najork (ECIR 2008).

`eval.metrics.averaging` describes how the values of cases are averaged.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tpad import ConfigError

METRICS = ("P", "MRR", "NDCG")
"""Reported by default."""
HITS = ("P", "HR", "Recall")
"""Names of the same metric: they differ only if a case has several targets."""
KNOWN = (*HITS, "MRR", "NDCG")
CUTOFFS = (5, 10, 20)
NOT_FOUND = np.inf
"""Expected rank of a target that was not found."""
CELLS_IN_CACHE = 1 << 18
"""Scores compared at once; few enough to stay in the CPU cache."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """Ranks of targets with their ties, as two arrays of the same shape.

    The rank of a target is uniform on `above` + 1, ..., `above` + `ties`. Indexing works as on an array.

    Attributes:
        above: int32, number of items scored above the target.
        ties: int32, number of items with the score of the target, itself included; 0 if the target was
            not found.
    """

    above: np.ndarray
    ties: np.ndarray

    @classmethod
    def empty(cls, shape: int | tuple[int, ...]) -> "Ranks":
        """Ranks to be filled in; until then no target is found."""
        return cls(np.zeros(shape, np.int32), np.zeros(shape, np.int32))

    @classmethod
    def from_expected(cls, expected: np.ndarray) -> "Ranks":
        """Ranks from expected ranks, with the smallest possible number of ties.

        Args:
            expected: of any shape. A whole number means no tie, a number that ends in .5 means two
                tied items, and `NOT_FOUND` (inf) means that the target was not found.

        Raises:
            ValueError: an expected rank is below 1, NaN, or ends in neither .0 nor .5.
        """
        expected = np.asarray(expected, np.float64)
        found = np.isfinite(expected)
        half = np.where(found, expected, 1.0) % 1
        if not (expected >= 1).all() or not np.isin(half, (0.0, 0.5)).all():
            raise ValueError("Expected ranks must be at least 1 and end in .0 or .5.")
        ties = np.where(found, 1 + (half > 0), 0)
        above = np.where(found, expected - (ties + 1) / 2, 0)
        return cls(above.astype(np.int32), ties.astype(np.int32))

    @property
    def expected(self) -> np.ndarray:
        """Expected ranks, `above` + (`ties` + 1) / 2, float64; `NOT_FOUND` (inf) if not found.

        For display only: metrics are expectations over the ties.
        """
        return np.where(self.ties > 0, self.above + (self.ties + 1) / 2, NOT_FOUND)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of both arrays."""
        return self.above.shape

    def __len__(self) -> int:
        return len(self.above)

    def __getitem__(self, index: Any) -> "Ranks":
        return Ranks(self.above[index], self.ties[index])

    def __setitem__(self, index: Any, ranks: "Ranks") -> None:
        self.above[index], self.ties[index] = ranks.above, ranks.ties


def target_ranks(scores: np.ndarray, targets: np.ndarray) -> Ranks:
    """Rank of the target of each case.

    Args:
        scores: (n, n_items); −inf for an item that is not a candidate or cannot be scored.
        targets: (n,) item rows.

    Returns:
        n ranks; a target with the score −inf is not found.

    Raises:
        ValueError: a score is NaN.
    """
    n, n_items = scores.shape
    own = scores[np.arange(n), targets][:, None]  # (n, 1)
    result = Ranks.empty(n)
    rows = max(1, CELLS_IN_CACHE // max(n_items, 1))
    for part in (slice(start, start + rows) for start in range(0, n, rows)):
        # The maximum propagates NaN, and is faster than isnan of all scores.
        if np.isnan(scores[part].max(initial=-np.inf)):
            raise ValueError("The model returned NaN as a score; items cannot be ranked.")
        result.above[part] = _count(scores[part] > own[part])
        result.ties[part] = _count(scores[part] == own[part])  # the target itself included
    unranked = np.isneginf(own[:, 0])
    result.above[unranked] = result.ties[unranked] = 0
    return result


def _count(marks: np.ndarray) -> np.ndarray:
    """Number of True values in each row, (n, m) -> (n,).

    Row by row: `np.count_nonzero` of a whole array is several times as fast as a sum along an axis.
    """
    return np.fromiter(map(np.count_nonzero, marks), np.int64, len(marks))


def case_values(ranks: Ranks, metric: str, k: int) -> np.ndarray:
    """The value of a metric for each case, as an expectation over ties; float64, same shape as the ranks.

    Args:
        ranks: of any shape; the value is 0 if the target was not found.
        metric: one of `KNOWN`.
        k: cut-off, at least 1.

    Raises:
        ValueError: there is no such metric, or k is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    end = ranks.above + ranks.ties  # the last rank that the target may have
    last = min(k, int(end.max(initial=0)))  # ranks beyond it have no gain
    gains = _gains(metric, last)  # (last,)
    sums = np.append(0.0, np.cumsum(gains))  # (last + 1,), gains of all ranks up to each
    above = np.minimum(ranks.above, last)
    total = sums[np.minimum(end, last)] - sums[above]
    # A difference of sums is not exact, so without ties the gain itself is used.
    certain = np.append(gains, 0.0)[above]
    return np.where(ranks.ties == 1, certain, total / np.maximum(ranks.ties, 1))


def _gains(metric: str, k: int) -> np.ndarray:
    """Gains of the ranks 1 to k: (k,) float64."""
    ranks = np.arange(1, k + 1, dtype=np.float64)
    if metric in HITS:
        return np.ones_like(ranks)
    if metric == "MRR":
        return 1.0 / ranks
    if metric == "NDCG":
        return 1.0 / np.log2(ranks + 1.0)
    raise ValueError(f"Unknown metric {metric!r}; choose from {', '.join(KNOWN)}.")


def metric_names(
    metrics: Sequence[str] = METRICS, cutoffs: Sequence[int] = CUTOFFS
) -> list[tuple[str, int]]:
    """All (metric, k) pairs in the order of the report."""
    return [(metric, k) for metric in metrics for k in cutoffs]


def all_case_values(
    ranks: Ranks, metrics: Sequence[str] = METRICS, cutoffs: Sequence[int] = CUTOFFS
) -> np.ndarray:
    """Every metric of `metric_names()` for every case: (n,) -> (n, n_metrics) float64."""
    names = metric_names(metrics, cutoffs)
    return np.stack([case_values(ranks, metric, k) for metric, k in names], axis=-1)


def parse_metric(text: str) -> tuple[str, int]:
    """Reads "NDCG@10" as ("NDCG", 10); case does not matter.

    Raises:
        ConfigError: it is not a metric with a cut-off.
    """
    found = re.fullmatch(r"(\w+)@([1-9]\d*)", text.strip(), re.ASCII)
    by_name = {name.lower(): name for name in KNOWN}
    if found is None or found[1].lower() not in by_name:
        raise ConfigError(
            f"{text!r} is not a metric; write one of {', '.join(KNOWN)} with a cut-off, such as P@20."
        )
    return by_name[found[1].lower()], int(found[2])


def oracle_ratio(values: np.ndarray, oracle: np.ndarray) -> np.ndarray:
    """Mean of a model's values divided by the mean of the oracle's.

    It is a ratio of means, not a mean of ratios. On few cases a model may exceed 1 by chance.

    Args:
        values: (n,) or (n, m) metric values of cases.
        oracle: the same shape, the oracle's values for the same cases.

    Returns:
        () or (m,) float64; NaN if the mean of the oracle is 0 or there are no cases.

    Raises:
        ValueError: the shapes differ.
    """
    values, oracle = np.asarray(values, np.float64), np.asarray(oracle, np.float64)
    if values.shape != oracle.shape:
        raise ValueError("The model and the oracle must have values for the same cases.")
    best = oracle.sum(0)  # () or (m,)
    return np.divide(values.sum(0), best, out=np.full(np.shape(best), np.nan), where=best > 0)

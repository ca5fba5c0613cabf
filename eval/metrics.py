"""Ranks and the metrics that follow from them.

Every case has one relevant item, the next one. With r its rank among all candidates (1 is best):

    P@k    = HR@k = Recall@k = [r <= k]   (one target: found or not)
    MRR@k  = [r <= k] / r
    NDCG@k = [r <= k] / log2(r + 1)       (the ideal gain is 1)

A figure is the mean over cases. P@k is named as in SR-GNN (Wu et al., AAAI 2019) and the session
literature after it: it is not divided by k. NDCG is that of Järvelin and Kekäläinen (TOIS 2002).
"""

import re
from collections.abc import Sequence

import numpy as np

from tpad import ConfigError

METRICS = ("P", "MRR", "NDCG")
"""What is reported unless something else is asked for."""
HITS = ("P", "HR", "Recall")
"""Names of one metric, which differ only where a case has several targets."""
KNOWN = (*HITS, "MRR", "NDCG")
CUTOFFS = (5, 10, 20)
NOT_FOUND = np.inf
CELLS_IN_CACHE = 1 << 18
"""Scores that are compared at once: so few that they are read from main memory only the first time."""


def target_ranks(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rank of each case's target, ties broken without favour.

    Items that tie with the target share the ranks they occupy: the target gets their mean, its
    expected rank under random tie-breaking, so it may end in .5.

    Args:
        scores: (n, n_items); −inf marks an item that is no candidate or cannot be scored.
        targets: (n,) item rows.

    Returns:
        (n,) float64, `NOT_FOUND` (inf) where the target itself has −inf.

    Raises:
        ValueError: a score is NaN.
    """
    n, n_items = scores.shape
    own = scores[np.arange(n), targets][:, None]  # (n, 1)
    better, tied = np.empty(n, np.int64), np.empty(n, np.int64)  # the target is tied, too
    rows = max(1, CELLS_IN_CACHE // max(n_items, 1))
    for part in (slice(start, start + rows) for start in range(0, n, rows)):
        # A maximum keeps NaN, and is found faster than one is looked for in every place.
        if np.isnan(scores[part].max(initial=-np.inf)):
            raise ValueError("A model gave NaN as a score; it cannot be ranked.")
        better[part] = _count(scores[part] > own[part])
        tied[part] = _count(scores[part] == own[part])
    return np.where(np.isneginf(own[:, 0]), NOT_FOUND, better + (tied + 1) / 2)


def _count(marks: np.ndarray) -> np.ndarray:
    """How many are true in each row, (n, m) -> (n,): row by row, as numpy counts whole arrays of
    booleans several times as fast as it adds them up along an axis."""
    return np.fromiter(map(np.count_nonzero, marks), np.int64, len(marks))


def case_values(ranks: np.ndarray, metric: str, k: int) -> np.ndarray:
    """The metric of every single case: any shape of ranks -> float64 of the same shape.

    Args:
        ranks: ranks from 1, `NOT_FOUND` where the target was not ranked.
        metric: one of `KNOWN`.
        k: cut-off, at least 1.

    Raises:
        ValueError: there is no such metric, or k is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    ranks = np.asarray(ranks, dtype=np.float64)
    if metric in HITS:
        gain = np.ones_like(ranks)
    elif metric == "MRR":
        gain = 1.0 / ranks
    elif metric == "NDCG":
        gain = 1.0 / np.log2(ranks + 1.0)
    else:
        raise ValueError(f"Unknown metric {metric!r}; choose from {', '.join(KNOWN)}.")
    return np.where(ranks <= k, gain, 0.0)


def metric_names(
    metrics: Sequence[str] = METRICS, cutoffs: Sequence[int] = CUTOFFS
) -> list[tuple[str, int]]:
    """All (metric, k) pairs in the order of the report."""
    return [(metric, k) for metric in metrics for k in cutoffs]


def all_case_values(
    ranks: np.ndarray, metrics: Sequence[str] = METRICS, cutoffs: Sequence[int] = CUTOFFS
) -> np.ndarray:
    """Every metric of `metric_names()` for every case: (n,) -> (n, n_metrics) float64."""
    names = metric_names(metrics, cutoffs)
    return np.stack([case_values(ranks, metric, k) for metric, k in names], axis=-1)


def parse_metric(text: str) -> tuple[str, int]:
    """Reads "NDCG@10" as ("NDCG", 10); case does not matter.

    Raises:
        ConfigError: it is no metric with a cut-off.
    """
    found = re.fullmatch(r"(\w+)@([1-9]\d*)", text.strip(), re.ASCII)
    by_name = {name.lower(): name for name in KNOWN}
    if found is None or found[1].lower() not in by_name:
        raise ConfigError(
            f"{text!r} is no metric; write one of {', '.join(KNOWN)} with a cut-off, such as P@20."
        )
    return by_name[found[1].lower()], int(found[2])


def oracle_ratio(values: np.ndarray, oracle: np.ndarray) -> np.ndarray:
    """Share of what can be reached: mean of a model's values over the mean of the oracle's.

    It is a ratio of means, not a mean of ratios: a case that the oracle cannot get right either
    adds to neither. Chance may lift a model above 1 on few cases.

    Args:
        values: (n,) or (n, m) metric values of cases.
        oracle: the same shape, the oracle's values for the same cases.

    Returns:
        () or (m,) float64; NaN where the oracle's mean is 0 or there are no cases.

    Raises:
        ValueError: the shapes differ.
    """
    values, oracle = np.asarray(values, np.float64), np.asarray(oracle, np.float64)
    if values.shape != oracle.shape:
        raise ValueError("The ratio to the oracle needs both models' values for the same cases.")
    best = oracle.sum(0)  # () or (m,)
    return np.divide(values.sum(0), best, out=np.full(np.shape(best), np.nan), where=best > 0)

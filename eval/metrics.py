"""Ranks and the metrics that follow from them.

Every case has one relevant item, the next one. With r its rank among all candidates (1 is best):

    P@k    = [r <= k]                     (the hit rate; each case has one target)
    MRR@k  = [r <= k] / r
    NDCG@k = [r <= k] / log2(r + 1)       (the ideal gain is 1)

A figure is the mean over cases.
"""

from collections.abc import Sequence

import numpy as np

METRICS = ("P", "MRR", "NDCG")
CUTOFFS = (5, 10, 20)
NOT_FOUND = np.inf


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
    if np.isnan(scores).any():
        raise ValueError("A model gave NaN as a score; it cannot be ranked.")
    own = scores[np.arange(len(targets)), targets][:, None]  # (n, 1)
    better = (scores > own).sum(1)  # (n,)
    tied = (scores == own).sum(1)  # (n,), the target included
    return np.where(np.isneginf(own[:, 0]), NOT_FOUND, better + (tied + 1) / 2)


def case_values(ranks: np.ndarray, metric: str, k: int) -> np.ndarray:
    """The metric of every single case: any shape of ranks -> float64 of the same shape.

    Args:
        ranks: ranks from 1, `NOT_FOUND` where the target was not ranked.
        metric: "P", "MRR" or "NDCG".
        k: cut-off, at least 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    ranks = np.asarray(ranks, dtype=np.float64)
    if metric == "P":
        gain = np.ones_like(ranks)
    elif metric == "MRR":
        gain = 1.0 / ranks
    elif metric == "NDCG":
        gain = 1.0 / np.log2(ranks + 1.0)
    else:
        raise ValueError(f"Unknown metric {metric!r}; choose from {', '.join(METRICS)}.")
    return np.where(ranks <= k, gain, 0.0)


def metric_names(
    metrics: Sequence[str] = METRICS, cutoffs: Sequence[int] = CUTOFFS
) -> list[tuple[str, int]]:
    """All (metric, k) pairs in the order of the report."""
    return [(metric, k) for metric in metrics for k in cutoffs]


def all_case_values(ranks: np.ndarray) -> np.ndarray:
    """Every metric of `metric_names()` for every case: (n,) -> (n, n_metrics)."""
    return np.stack([case_values(ranks, metric, k) for metric, k in metric_names()], axis=-1)

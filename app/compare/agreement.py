"""How much the rankings of several models agree."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from app.shell.ranking import top


def overlap(first: Sequence[int], second: Sequence[int]) -> int:
    """Number of items that two lists share."""
    return len(set(first) & set(second))


def rank_biased_overlap(first: Sequence[int], second: Sequence[int], p: float = 0.9) -> float:
    """Agreement of two rankings, from 0 to 1, with most weight on the top.

    Extrapolated rank-biased overlap of two lists of equal length, equation 23 of Webber, Moffat
    and Zobel, "A similarity measure for indefinite rankings" (TOIS 2010): with X_d the number of
    items shared by the first d places,
    `RBO = X_k / k · p^k + (1 − p) / p · sum_{d=1..k} X_d / d · p^d`.

    Args:
        first, second: rows, best first; the longer list is cut to the length of the shorter.
        p: persistence; 0.9 puts 86 % of the weight on the first ten ranks.
    """
    k = min(len(first), len(second))
    if k == 0:
        return 0.0
    shared = np.array([overlap(first[:depth], second[:depth]) for depth in range(1, k + 1)])
    depths = np.arange(1, k + 1)
    powers = p**depths
    return float(shared[-1] / k * powers[-1] + (1 - p) / p * np.sum(shared / depths * powers))


def agreement(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """How much each model's first `k` items agree with those of the first model.

    Returns:
        One row per model, in the columns' order: model, shared (items in common), rbo.
    """
    reference = top(table, table.columns[0], k)
    rows = []
    for model in table.columns:
        own = top(table, model, k)
        rows.append((model, overlap(reference, own), rank_biased_overlap(reference, own)))
    return pd.DataFrame(rows, columns=["model", "shared", "rbo"])

"""How far rankings of the same items by several models agree."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def ranks(scores: np.ndarray, seen: Sequence[int] = ()) -> np.ndarray:
    """(n_items,) int64, place of every item from 1; 0 for those in `seen`, which do not take part.

    Ties keep the items' own order; an item that a model cannot score (-inf) comes last.
    """
    scores = np.asarray(scores, dtype=np.float64).copy()
    scores[np.isnan(scores)] = -np.inf
    taking_part = np.ones(len(scores), dtype=bool)
    taking_part[np.asarray(list(seen), dtype=np.int64)] = False
    places = np.zeros(len(scores), dtype=np.int64)
    order = np.argsort(-scores, kind="stable")  # (n_items,)
    order = order[taking_part[order]]
    places[order] = np.arange(1, len(order) + 1)
    return places


def rank_table(scores: dict[str, np.ndarray], seen: Sequence[int] = ()) -> pd.DataFrame:
    """Ranks of every item under every model: one row an item, one column a model."""
    return pd.DataFrame({model: ranks(values, seen) for model, values in scores.items()})


def top(table: pd.DataFrame, model: str, k: int) -> list[int]:
    """Rows of a model's first `k` items, best first."""
    column = table[model]
    column = column[(column > 0) & (column <= k)]
    return column.sort_values().index.tolist()


def overlap(first: Sequence[int], second: Sequence[int]) -> int:
    """How many items two lists share."""
    return len(set(first) & set(second))


def rank_biased_overlap(first: Sequence[int], second: Sequence[int], p: float = 0.9) -> float:
    """Agreement of two rankings from 0 to 1 that counts the top more than what follows.

    Extrapolated rank-biased overlap of two lists of equal length, equation 23 of Webber, Moffat
    and Zobel, "A similarity measure for indefinite rankings" (TOIS 2010): with X_d the number of
    items shared by the first d places,
    `RBO = X_k / k · p^k + (1 − p) / p · sum_{d=1..k} X_d / d · p^d`.

    Args:
        first, second: rows, best first; the longer list is cut to the shorter one's length.
        p: persistence; 0.9 puts 86 % of the weight on the first ten places.
    """
    k = min(len(first), len(second))
    if k == 0:
        return 0.0
    shared = np.array([overlap(first[:depth], second[:depth]) for depth in range(1, k + 1)])
    depths = np.arange(1, k + 1)
    powers = p**depths
    return float(shared[-1] / k * powers[-1] + (1 - p) / p * np.sum(shared / depths * powers))


def agreement(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """How each model's first `k` items agree with those of the first model.

    Returns:
        One row a model, in the columns' order: model, shared (items in common), rbo.
    """
    reference = top(table, table.columns[0], k)
    rows = []
    for model in table.columns:
        own = top(table, model, k)
        rows.append((model, overlap(reference, own), rank_biased_overlap(reference, own)))
    return pd.DataFrame(rows, columns=["model", "shared", "rbo"])

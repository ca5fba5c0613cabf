"""Rankings of the whole catalogue: the rank of every item, and the first items of each model."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def ranks(scores: np.ndarray, seen: Sequence[int] = ()) -> np.ndarray:
    """The rank of every item from 1, (n_items,) int64; 0 for the items in `seen`.

    Ties keep the order of the items; an item that a model cannot score (-inf) comes last.
    """
    scores = np.asarray(scores, dtype=np.float64).copy()
    scores[np.isnan(scores)] = -np.inf
    is_ranked = np.ones(len(scores), dtype=bool)
    is_ranked[np.asarray(list(seen), dtype=np.int64)] = False
    result = np.zeros(len(scores), dtype=np.int64)
    order = np.argsort(-scores, kind="stable")  # (n_items,)
    order = order[is_ranked[order]]
    result[order] = np.arange(1, len(order) + 1)
    return result


def rank_table(scores: dict[str, np.ndarray], seen: Sequence[int] = ()) -> pd.DataFrame:
    """Ranks of every item under every model: one row per item, one column per model."""
    return pd.DataFrame({model: ranks(values, seen) for model, values in scores.items()})


def top(table: pd.DataFrame, model: str, k: int) -> list[int]:
    """Rows of a model's first `k` items, best first."""
    column = table[model]
    column = column[(column > 0) & (column <= k)]
    return column.sort_values().index.tolist()

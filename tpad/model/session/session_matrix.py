"""Sessions as rows of a sparse matrix of weighted items."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

LEAST_WEIGHT = 1e-6
"""Clicks with a smaller weight, relative to the most recent one, are left out."""


def decayed_rows(
    sessions: Sequence[np.ndarray], n_columns: int, decay: float | None, *, mean: bool = True
) -> sparse.csr_array:
    """Sessions as rows of item weights.

    A click s steps back has the weight `exp(−s / decay)`; clicks on the same item are added. Without a
    decay all distinct items have the same weight.

    Args:
        sessions: n integer arrays of columns, the most recent last; they may be empty.
        n_columns: number of columns.
        decay: in steps, above 0, or None.
        mean: whether the weights of a session are divided by their sum.

    Returns:
        (n, n_columns) float32.
    """
    lengths = np.array([len(session) for session in sessions], dtype=np.int64)
    row = np.repeat(np.arange(len(sessions)), lengths)
    column = np.concatenate([np.zeros(0, np.int64), *sessions]).astype(np.int64)
    steps = np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(len(column))
    weight = np.ones(len(column)) if decay is None else np.exp(-steps / decay)
    kept = weight >= LEAST_WEIGHT
    x = sparse.csr_array(  # adds duplicates
        (weight[kept], (row[kept], column[kept])), shape=(len(sessions), n_columns)
    )
    if decay is None:
        x.data[:] = 1.0
    if not mean:
        return x.astype(np.float32)
    total = np.asarray(x.sum(1)).ravel()  # (n,)
    scale = np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)
    return sparse.csr_array(sparse.diags_array(scale) @ x).astype(np.float32)


def decayed_weights(n: int, decay: float) -> np.ndarray:
    """Weights of the clicks of one session, see `decayed_rows`: (n,), 0 for those that are left out."""
    weight = np.exp(-np.arange(n - 1, -1, -1) / decay)
    return np.where(weight >= LEAST_WEIGHT, weight, 0.0)

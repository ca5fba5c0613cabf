"""Clicked items that stand in for unclicked ones, so that a memory of clicks also covers new items.

**[ours]** An unclicked item is replaced by its nearest clicked items in the embedding set. With A the weights
of the stand-ins (a clicked item stands for itself), an item-item matrix M of clicked items becomes `A M Aᵀ`:
row and column of a new item are the weighted means of those of its stand-ins.
"""

import numpy as np
from scipy import sparse

from tpad.errors import DataError

COUNT = 30
"""Stand-ins of each unclicked item."""
POWER = 3.0
"""Exponent of the cosine similarity in the weights."""
CHUNK = 1024  # unclicked items compared with all clicked ones at once, at most
COSINES = 2**25  # cosines computed at once, at most, if there are many clicked items


def unit_vectors(features: np.ndarray, clicked: np.ndarray) -> np.ndarray:
    """Centred on the clicked items, with length 1: (n_items, d) float32; a zero vector stays zero.

    Args:
        features: (n_items, d).
        clicked: (n_items,) bool, at least one.
    """
    if not clicked.any():
        raise DataError("No item occurs in a training session; give at least one session.")
    centred = features.astype(np.float64) - features[clicked].mean(0, dtype=np.float64)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return (centred / np.where(length > 0, length, 1.0)).astype(np.float32)


def stand_ins(units: np.ndarray, clicked: np.ndarray, count: int = COUNT) -> sparse.csr_array:
    """Weights of the items that stand for each item: (n_items, n_items) float32, rows sum to 1.

    Weights are `cosine ** POWER`, divided by their sum. The row of an unclicked item is empty if no
    clicked item has a positive cosine with it.

    Args:
        units: (n_items, d) vectors of length 1.
        clicked: (n_items,) bool.
        count: stand-ins of each unclicked item.
    """
    known, new = np.flatnonzero(clicked), np.flatnonzero(~clicked)
    count = min(count, len(known))
    rows, columns, weights = [known], [known], [np.ones(len(known))]
    chunk = max(1, min(CHUNK, COSINES // max(1, len(known))))
    for start in range(0, len(new), chunk):
        part = new[start : start + chunk]
        cosine = units[part] @ units[known].T  # (chunk, n_known)
        nearest = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        weight = np.take_along_axis(cosine, nearest, 1).astype(np.float64).clip(min=0) ** POWER
        total = weight.sum(1, keepdims=True)
        rows.append(np.repeat(part, count))
        columns.append(known[nearest].ravel())
        weights.append((weight / np.where(total > 0, total, 1.0)).ravel())
    found = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    matrix = sparse.csr_array(found, shape=(len(units), len(units)), dtype=np.float32)
    matrix.eliminate_zeros()
    return matrix

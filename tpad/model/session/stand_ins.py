"""Clicked items that stand in for unclicked ones, so that a memory of clicks also covers new items.

**[ours]** An unclicked item is replaced by its nearest clicked items in the embedding set. With A the weights
of the stand-ins (a clicked item stands for itself), an item-item matrix M of clicked items becomes `A M Aᵀ`:
row and column of a new item are the weighted means of those of its stand-ins.
"""

import numpy as np
from scipy import sparse

from tpad.index import Index, IndexSettings

COUNT = 30
"""Stand-ins of each unclicked item."""
POWER = 3.0
"""Exponent of the cosine similarity in the weights."""
CHUNK = 256  # unclicked items compared at once
BLOCK = 65_536  # clicked items that they are compared with at once
MOST_PAIRS = 2_000_000_000
"""Pairs of new and clicked items beyond which an approximate index finds the stand-ins."""
PROBES = 128
"""Lists of this index that are read for each new item."""


def stand_ins(units: np.ndarray, clicked: np.ndarray, count: int = COUNT) -> sparse.csr_array:
    """Weights of the items that stand for each item: (n_items, n_items) float32, rows sum to 1.

    Args:
        units: (n_items, d) vectors of length 1.
        clicked: (n_items,) bool.
        count: stand-ins of each unclicked item.
    """
    return with_own_rows(of_new_items(units[~clicked], units, clicked, count), clicked)


def of_new_items(
    new: np.ndarray, units: np.ndarray, clicked: np.ndarray, count: int = COUNT
) -> sparse.csr_array:
    """Weights of the clicked items that stand for each new item: (n_new, n_items) float32.

    Weights are `cosine ** POWER`, divided by their sum. A row is empty if no clicked item has a
    positive cosine with the new item, or if its vector is NaN. In large catalogues an index finds the
    stand-ins, and may miss a few.

    Args:
        new: (n_new, d) vectors of length 1.
        units: (n_items, d) vectors of length 1.
        clicked: (n_items,) bool.
        count: stand-ins of each new item.
    """
    count = min(count, int(clicked.sum()))
    of_clicked, index = np.flatnonzero(clicked), None
    if len(new) * len(of_clicked) > MOST_PAIRS:
        index = Index(units[of_clicked], "ivf", IndexSettings(nprobe=PROBES))
    rows, columns, weights = [], [], []
    for start in range(0, len(new), CHUNK):
        part = np.nan_to_num(new[start : start + CHUNK])
        if index is not None:
            cosine, found = _found(part, index, count)  # (chunk, count)
            nearest = of_clicked[found]
        else:
            cosine, nearest = _nearest(part, units, clicked, count)  # (chunk, count)
        weight = cosine.astype(np.float64).clip(min=0) ** POWER
        total = weight.sum(1, keepdims=True)
        rows.append(np.repeat(np.arange(start, start + len(part)), count))
        columns.append(nearest.ravel())
        weights.append((weight / np.where(total > 0, total, 1.0)).ravel())
    none = np.zeros(0, np.int64)
    place = np.concatenate([none, *rows]), np.concatenate([none, *columns])
    shape = (len(new), len(units))
    matrix = sparse.csr_array((np.concatenate([np.zeros(0), *weights]), place), shape=shape)
    matrix.eliminate_zeros()
    return matrix.astype(np.float32)


def with_own_rows(new: sparse.csr_array, clicked: np.ndarray) -> sparse.csr_array:
    """Insert the rows of clicked items, which stand for themselves: (n_items, n_items).

    Args:
        new: (n_unclicked, n_items), rows of the unclicked items.
        clicked: (n_items,) bool.
    """
    lengths = np.ones(len(clicked), np.int64)
    lengths[~clicked] = np.diff(new.indptr)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    own = np.repeat(clicked, lengths)  # entries of the clicked items
    indices, data = np.empty(len(own), np.int32), np.ones(len(own), np.float32)
    indices[own] = np.flatnonzero(clicked)
    indices[~own], data[~own] = new.indices, new.data
    return sparse.csr_array((data, indices, indptr), shape=new.shape[1:] * 2)


def _nearest(
    new: np.ndarray, units: np.ndarray, clicked: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and rows of the nearest clicked items: (n, count) each, in no order."""
    cosines, rows = [], []
    for start in range(0, len(units), BLOCK):
        part = slice(start, start + BLOCK)
        cosine = new @ units[part].T  # (n, block)
        cosine[:, ~clicked[part]] = -np.inf
        most = min(count, cosine.shape[1])
        best = np.argpartition(-cosine, most - 1, axis=1)[:, :most]
        cosines.append(np.take_along_axis(cosine, best, 1))
        rows.append(best + start)
    cosine, row = np.concatenate(cosines, 1), np.concatenate(rows, 1)
    best = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
    return np.take_along_axis(cosine, best, 1), np.take_along_axis(row, best, 1)


def _found(new: np.ndarray, index: Index, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and rows of an index: (n, count) each; a cosine of 0 where it found fewer."""
    cosines, rows = np.zeros((len(new), count), np.float32), np.zeros((len(new), count), np.int64)
    for number, vector in enumerate(new):
        found, values = index.search(vector, count)
        rows[number, : len(found)], cosines[number, : len(found)] = found, values
    return cosines, rows

"""Sparse matrices in CSR format: weighted sums of rows, and arrays for saving."""

from typing import Any

import numpy as np
from scipy import sparse


def weighted_sum(
    matrix: sparse.csr_array, rows: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The weighted sum of some rows.

    Unlike a product of sparse matrices, the time does not depend on the size of the matrix.

    Args:
        matrix: (n, n_columns).
        rows: (m,), rows may be repeated.
        weights: (m,).

    Returns:
        Columns (c,) in ascending order, and values (c,) float64.
    """
    place, owner = entries_of(matrix, rows)
    columns, inverse = np.unique(matrix.indices[place], return_inverse=True)
    total = np.bincount(inverse, matrix.data[place] * weights[owner], len(columns))
    return columns, total.astype(np.float64, copy=False)  # integers if there are none


def entries_of(matrix: sparse.csr_array, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `matrix.data` of all entries of some rows, and which of `rows` each belongs to."""
    starts = matrix.indptr[rows].astype(np.int64)
    lengths = matrix.indptr[rows + 1] - starts
    owner = np.repeat(np.arange(len(rows)), lengths)
    before = np.cumsum(lengths) - lengths
    return np.arange(len(owner)) + (starts - before)[owner], owner


def values_at(columns: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values at some columns, 0 where there is none.

    Args:
        columns: (c,) in ascending order.
        values: (c,).
        wanted: (n,).
    """
    if not len(columns):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(columns, wanted), len(columns) - 1)
    return np.where(columns[place] == wanted, values[place], 0.0)


def state_of(matrix: sparse.csr_array) -> dict[str, np.ndarray]:
    """Arrays to be saved."""
    return {
        "data": matrix.data.astype(np.float32),
        "indices": matrix.indices.astype(np.int32),
        "indptr": matrix.indptr.astype(np.int64),
    }


def restored(state: dict[str, Any], n_columns: int, what: str) -> sparse.csr_array:
    """The matrix whose `state_of` was saved.

    Args:
        state: the arrays.
        n_columns: number of columns.
        what: name of the matrix, for the error.

    Raises:
        ValueError: an array is missing, or the arrays are no such matrix of finite values of at least 0.
    """
    types = {"data": np.float32, "indices": np.int32, "indptr": np.int64}
    for name, kind in types.items():
        array = state.get(name)
        if array is None or array.ndim != 1 or array.dtype != kind:
            raise ValueError(f"{name} of the {what} is missing or has another type")
    data, indices, indptr = (state[name] for name in types)
    if not len(indptr) or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError(f"the rows of the {what} are not in order")
    if not indptr[-1] == len(indices) == len(data):
        raise ValueError(f"the {what} does not have as many entries as its rows claim")
    if len(indices) and not (indices.min() >= 0 and indices.max() < n_columns):
        raise ValueError(f"the {what} names items that do not exist")
    if not (np.isfinite(data).all() and (data >= 0).all()):
        raise ValueError(f"the {what} has values that are negative, NaN or infinite")
    return sparse.csr_array((data, indices, indptr), shape=(len(indptr) - 1, n_columns))

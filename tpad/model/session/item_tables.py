"""Tables of consecutive items, so that adding items does not copy a large table."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from scipy import sparse
from torch import Tensor

Table = TypeVar("Table", np.ndarray, Tensor)


@dataclass(frozen=True, eq=False)
class ItemTable:
    """Consecutive items: what the memory and the cosine need of them."""

    units: np.ndarray  # (n, d')
    clicked: np.ndarray  # (n,) bool
    stand_ins: sparse.csr_array  # (n, n_known)

    @cached_property
    def spread(self) -> sparse.csr_array:
        """(n_known, n): the unclicked items that each clicked item stands for."""
        matrix = sparse.csr_array(
            sparse.diags_array(~self.clicked * np.float32(1)) @ self.stand_ins
        )
        matrix.eliminate_zeros()
        return matrix.T.tocsr()

    def followed_by(self, other: "ItemTable") -> "ItemTable":
        return ItemTable(
            np.concatenate([self.units, other.units]),
            np.concatenate([self.clicked, other.clicked]),
            sparse.csr_array(sparse.vstack([self.stand_ins, other.stand_ins], "csr")),
        )


def joined(tables: Sequence[np.ndarray]) -> np.ndarray:
    return tables[0] if len(tables) == 1 else np.concatenate(tables)


def take(tables: Sequence[Table], rows: Table) -> Table:
    """Rows of consecutive tables, all arrays or all tensors, without concatenating them.

    Args:
        tables: the first one is not empty.
        rows: (n,) integers, of the kind of the tables and on their device.
    """
    if len(tables) == 1:
        return _rows(tables[0], rows)
    found = _rows(tables[0], rows.clip(max=len(tables[0]) - 1))
    start = len(tables[0])
    for table in tables[1:]:
        inside = (rows >= start) & (rows < start + len(table))
        found[inside] = _rows(table, rows[inside] - start)
        start += len(table)
    return found


def _rows(table: Table, rows: Table) -> Table:
    """`table[rows]`, several times faster for wide tables."""
    if isinstance(table, Tensor):
        return table.index_select(0, rows)
    return table.take(rows, axis=0)

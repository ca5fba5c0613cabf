"""Vectors that a shop has of its items already, as features that TPAD reads [ours].

They join what the student reads of an item, or take its place: alignment and distillation then train
on them, and a new item needs only its vectors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tpad.data.vectors import ItemVectors
from tpad.errors import ConfigError, DataError, shown

TFIDF = "tfidf"
"""The one kind that no file gives: TF-IDF of the item's text, which the encoder makes itself."""


@dataclass(frozen=True, eq=False)
class GivenFeatures:
    """How the vectors of one item become one row of features.

    An item without a vector of a kind gets the mean of the training items that have one, and a column
    tells whether it has one; there is no such column of a kind that every item had.

    Attributes:
        sizes: name of each kind -> size of its vectors, in the order of the columns.
        optional: names of the kinds that some item lacked.
        means: name -> (size,) float32, over the training items that have one.
    """

    sizes: Mapping[str, int]
    optional: tuple[str, ...]
    means: Mapping[str, np.ndarray]

    @classmethod
    def fit(cls, tables: Mapping[str, ItemVectors], warm: np.ndarray) -> "GivenFeatures":
        """Learns the means from the training items.

        Args:
            tables: name -> vectors of all items.
            warm: (n_items,) bool.

        Raises:
            DataError: no training item has a vector of some kind.
        """
        for name, table in tables.items():
            if not (table.present & warm).any():
                raise DataError(
                    f"No item of the training sessions has a vector {name!r}; check its item ids."
                )
        return cls(
            {name: table.values.shape[1] for name, table in tables.items()},
            tuple(name for name, table in tables.items() if not table.present.all()),
            {n: t.values[t.present & warm].mean(0).astype(np.float32) for n, t in tables.items()},
        )

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(self.sizes.values()) + len(self.optional)

    def __call__(self, items: Sequence[Mapping[str, np.ndarray] | None]) -> np.ndarray:
        """Rows of features: (n, width) float32.

        Args:
            items: of each item its vectors by name, or None.

        Raises:
                DataError: a vector is lacking that every training item had, or is of another size.
        """
        rows = [self._row(vectors or {}) for vectors in items]
        return np.stack(rows) if rows else np.zeros((0, self.width), np.float32)

    def _row(self, vectors: Mapping[str, np.ndarray]) -> np.ndarray:
        wanted = ", ".join(f"{name} ({size} numbers)" for name, size in self.sizes.items())
        unknown = [name for name in vectors if name not in self.sizes]
        if unknown:
            raise DataError(f"There is no kind of vector {unknown[0]!r} here; there are: {wanted}.")
        if not vectors and len(self.optional) < len(self.sizes):
            raise DataError(
                f"This bundle reads the vectors that its shop has of each item: {wanted}; give a "
                "NewItem(vectors={name: vector}), or an item of the catalogue."
            )
        parts = []
        for name, size in self.sizes.items():
            vector = vectors.get(name)
            if vector is None and name not in self.optional:
                raise DataError(f"The item has no vector {name!r} ({size} numbers); give it, too.")
            if vector is not None and np.shape(vector) != (size,):
                raise DataError(
                    f"The vector {name!r} of an item must have the shape ({size},), not "
                    f"{np.shape(vector)}."
                )
            parts.append(self.means[name] if vector is None else vector)
            if name in self.optional:
                parts.append(np.array([vector is not None]))
        return np.concatenate(parts).astype(np.float32)

    # --- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """The means, named as `restore` wants them."""
        return {f"given.{name}": mean for name, mean in self.means.items()}

    def as_json(self) -> dict[str, Any]:
        """Everything else."""
        return {"sizes": dict(self.sizes), "optional": list(self.optional), "width": self.width}

    @classmethod
    def restore(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "GivenFeatures":
        """From what `as_json` and `arrays` gave."""
        sizes = {name: int(size) for name, size in facts["sizes"].items()}
        return cls(sizes, tuple(facts["optional"]), {n: arrays[f"given.{n}"] for n in sizes})


def rows_of(tables: Mapping[str, ItemVectors], n_items: int) -> list[dict[str, np.ndarray]]:
    """The vectors of each item of a dataset, by name; those that it has."""
    return [
        {name: table.values[row] for name, table in tables.items() if table.present[row]}
        for row in range(n_items)
    ]


def check_complete(tables: Mapping[str, ItemVectors], item_ids: Sequence[str]) -> None:
    """Refuses items that nothing would be known of.

    Args:
        tables: name -> vectors of all items, which are all that is read.
        item_ids: (n_items,).

    Raises:
        ConfigError: there is no table.
        DataError: an item has no vector of any kind.
    """
    if not tables:
        raise ConfigError("--features-only reads nothing but vectors; give --features NAME=FILE.")
    lacking = np.flatnonzero(~np.any([table.present for table in tables.values()], axis=0))
    if len(lacking):
        raise DataError(
            f"{len(lacking):,} items, such as '{shown(item_ids[lacking[0]])}', have no vector in any file of "
            "--features; add theirs, or leave out --features-only."
        )

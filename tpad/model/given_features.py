"""Given item vectors, which a shop already has, as features of its items [ours].

They are used in addition to the student's features, or instead of them. In the latter case, no base model
is used: the vectors themselves are the embeddings, and a new item needs nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tpad.data.vectors import ItemVectors
from tpad.errors import ConfigError, DataError, shown
from tpad.items import NewItem
from tpad.model.parts import columns

TFIDF = "tfidf"
"""Name of TF-IDF features of the text, which need no file: the encoder computes them."""


@dataclass(frozen=True, eq=False)
class GivenFeatures:
    """Concatenates the given vectors of an item to one row of features.

    A missing vector is replaced by the mean over the training items. For vectors that are missing in some
    items, a column of 0 or 1 says whether the item has one.

    Attributes:
        sizes: name -> size of the vectors, in the order of the columns.
        optional: names of the vectors that some items do not have.
        means: name -> (size,) float32, mean over the training items that have one.
    """

    sizes: Mapping[str, int]
    optional: tuple[str, ...]
    means: Mapping[str, np.ndarray]

    @classmethod
    def fit(cls, tables: Mapping[str, ItemVectors], warm: np.ndarray) -> "GivenFeatures":
        """Compute the means over the training items.

        Args:
            tables: name -> vectors of all items.
            warm: (n_items,) bool, the training items.

        Raises:
            DataError: no training item has a vector of some name.
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

    @property
    def parts(self) -> dict[str, int]:
        """Parts of the embeddings: "given:" and the name of the vectors -> number of columns."""
        return {
            f"given:{name}": size + (name in self.optional) for name, size in self.sizes.items()
        }

    def split(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Rows of features (n, width) as `parts`: name -> (n, columns of the part)."""
        return {name: rows[:, own] for name, own in columns(self.parts).items()}

    def __call__(self, items: Sequence[Mapping[str, np.ndarray] | None]) -> np.ndarray:
        """Rows of features: (n, width) float32.

        Args:
            items: vectors of each item by name, or None.

        Raises:
            DataError: a vector is missing that all items of the shop have, or has another size.
        """
        rows = [self._row(vectors or {}) for vectors in items]
        return np.stack(rows) if rows else np.zeros((0, self.width), np.float32)

    def of_items(
        self, items: Sequence[NewItem], tfidf: Callable[[Sequence[NewItem]], np.ndarray]
    ) -> np.ndarray:
        """Rows of features of items: (n, width) float32.

        Args:
            items: contents of the items.
            tfidf: computes TF-IDF of the items' text, (n, d), if the features include it.

        Raises:
            DataError: as for a call.
        """
        vectors = [item.vectors or {} for item in items]
        if TFIDF in self.sizes:
            vectors = [{**own, TFIDF: x} for own, x in zip(vectors, tfidf(items), strict=True)]
        return self(vectors)

    def example(self) -> dict[str, np.ndarray]:
        """Vectors of zeros, such as an item could bring."""
        return {n: np.zeros(size, np.float32) for n, size in self.sizes.items() if n != TFIDF}

    def _row(self, vectors: Mapping[str, np.ndarray]) -> np.ndarray:
        known = ", ".join(f"{name} ({size} numbers)" for name, size in self.sizes.items())
        unknown = [name for name in vectors if name not in self.sizes]
        if unknown:
            raise DataError(
                f"This bundle does not use item vectors {unknown[0]!r}; it uses {known}."
            )
        if not vectors and len(self.optional) < len(self.sizes):
            raise DataError(
                f"This bundle needs item vectors: {known}; give NewItem(vectors={{name: vector}}), or an "
                "item of the catalogue."
            )
        parts = []
        for name, size in self.sizes.items():
            vector = vectors.get(name)
            if vector is None and name not in self.optional:
                raise DataError(f"The item has no vector {name!r} ({size} numbers); add it.")
            if vector is not None and np.shape(vector) != (size,):
                raise DataError(
                    f"The vector {name!r} of an item must have shape ({size},), not {np.shape(vector)}."
                )
            parts.append(self.means[name] if vector is None else vector)
            if name in self.optional:
                parts.append(np.array([vector is not None]))
        return np.concatenate(parts).astype(np.float32)

    # --- saving ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """The means, for `restore`."""
        return {f"given.{name}": mean for name, mean in self.means.items()}

    def as_json(self) -> dict[str, Any]:
        """Everything except the means, for `restore`."""
        return {"sizes": dict(self.sizes), "optional": list(self.optional), "width": self.width}

    @classmethod
    def restore(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "GivenFeatures":
        """Restore from the results of `as_json` and `arrays`.

        Raises:
            KeyError, TypeError, ValueError: they are damaged or inconsistent.
        """
        sizes = {name: int(size) for name, size in facts["sizes"].items()}
        means = {name: arrays[f"given.{name}"] for name in sizes}
        for name, mean in means.items():
            if mean.shape != (sizes[name],) or not np.isfinite(mean).all():
                raise ValueError("the means of the given vectors have a wrong shape or value")
        return cls(sizes, tuple(facts["optional"]), means)


def vectors_by_item(tables: Mapping[str, ItemVectors], n_items: int) -> list[dict[str, np.ndarray]]:
    """The vectors that each item of a dataset has, by name."""
    return [
        {name: table.values[row] for name, table in tables.items() if table.present[row]}
        for row in range(n_items)
    ]


def check_complete(tables: Mapping[str, ItemVectors], item_ids: Sequence[str]) -> None:
    """Check that each item has at least one vector, for models that use nothing else.

    Args:
        tables: name -> vectors of all items.
        item_ids: (n_items,).

    Raises:
        ConfigError: there are no tables.
        DataError: an item has no vector in any table.
    """
    if not tables:
        raise ConfigError(
            "--features-only uses nothing but given vectors; give --features NAME=FILE, or --features "
            "tfidf."
        )
    missing = np.flatnonzero(~np.any([table.present for table in tables.values()], axis=0))
    if len(missing):
        raise DataError(
            f"{len(missing):,} items, such as '{shown(item_ids[missing[0]])}', have no vector in any "
            "file of --features; add their vectors, or add --features tfidf, which every item has."
        )

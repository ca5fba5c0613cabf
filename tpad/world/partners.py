"""Partners: items that follow an item for a reason that no attribute shows.

In a real shop some items are bought together because a page links them or because they are offered as a
bundle. Only clicks tell. Each item of the demo shop has a few partners of its own, drawn at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tpad.world.attributes import Product

WEIGHTS = (0.5, 0.25, 0.15, 0.1)


@dataclass(frozen=True)
class Partners:
    """The partners of each item of a shop.

    Attributes:
        rows: (n_items, k) int64, rows of the partners of each item.
        weights: (k,), the probability of each of them; sums to 1.
    """

    rows: np.ndarray
    weights: np.ndarray

    def matrix(self) -> np.ndarray:
        """`B[i, j]`, the probability that a partner of item i is item j: (n_items, n_items), rows sum to 1."""
        matrix = np.zeros((len(self.rows), len(self.rows)))
        np.put_along_axis(matrix, self.rows, self.weights[None, :], axis=1)
        return matrix

    def as_json(self) -> dict:
        """Both arrays as plain JSON values."""
        return {"weights": self.weights.tolist(), "rows": self.rows.tolist()}

    @classmethod
    def from_json(cls, values: dict) -> "Partners":
        """The partners that `as_json` wrote."""
        return cls(np.asarray(values["rows"]), np.asarray(values["weights"]))


def draw_partners(products: Sequence[Product], seed: int) -> Partners:
    """Draw the partners of each item, all different, from the other types of its department.

    All items are equally likely, whatever their attributes and popularity, and whether they are new or not.
    A partner's partners are drawn like any others, so the relation has a direction.
    """
    rng = np.random.default_rng([seed, 211])
    kinds = np.array([p.look.type for p in products])
    departments = np.array([p.department for p in products])
    rows = [
        rng.choice(
            np.flatnonzero((departments == product.department) & (kinds != product.look.type)),
            len(WEIGHTS),
            replace=False,
        )
        for product in products
    ]
    return Partners(np.stack(rows), np.array(WEIGHTS))

"""The oracle: the best possible ranking, by the law of the demo shop."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tpad.errors import DataError
from tpad.world.attributes import Look, Product
from tpad.world.law import Law, LawConfig
from tpad.world.partners import Partners

ATTRIBUTES = ("type", "colour", "pattern", "emblem", "spec", "brand", "tier")
OCCASION = "occasion"  # not in the tables of version 1
ATTRIBUTE_PREFIX = "attr_"
VERSION = 2
"""Version of `world.json`. Shops of version 1 have no partners and no occasions."""
NOT_IN_VERSION_1 = {"other_occasion": 1.0, "partner_share": 0.0, "zipf_shift": 0.0}
"""Settings of the law that version 1 lacks -> the values at which they change nothing."""


def products_of(items: pd.DataFrame) -> list[Product]:
    """Read the true attributes from the `attr_*` columns of an item table of the demo shop."""
    missing = [a for a in ATTRIBUTES if ATTRIBUTE_PREFIX + a not in items.columns]
    if missing:
        raise DataError(
            f"The item table has no column {ATTRIBUTE_PREFIX}{missing[0]}: only the items.csv of "
            "a demo shop has an oracle."
        )
    columns = [items[ATTRIBUTE_PREFIX + a].tolist() for a in ATTRIBUTES]
    occasion = ATTRIBUTE_PREFIX + OCCASION
    columns.append(items[occasion].tolist() if occasion in items.columns else [""] * len(items))
    return [Product(Look(*facts[:4]), *facts[4:]) for facts in zip(*columns, strict=True)]


def attribute_table(items: pd.DataFrame) -> np.ndarray:
    """The true attributes, one-hot: (n_items, n) float32; n is 0 if the table has none."""
    one_hot = [np.zeros((len(items), 0), np.float32)]
    for name in items.columns:
        if str(name).startswith(ATTRIBUTE_PREFIX):
            codes, values = pd.factorize(items[name].astype(str), sort=True)
            one_hot.append(np.eye(len(values), dtype=np.float32)[codes])
    return np.concatenate(one_hot, axis=1)


class Oracle:
    """A model that ranks by the exact law of the demo shop."""

    can_score_new_items = True

    def __init__(self, law: Law) -> None:
        self.law = law

    @classmethod
    def load(cls, items: pd.DataFrame, world_json: Path) -> "Oracle":
        """Load the law from the item table (with `attr_*` columns) and `world.json`.

        Raises:
            DataError: the file is of a newer version, or does not belong to the table.
        """
        world = json.loads(Path(world_json).read_text("utf-8"))
        if world["version"] > VERSION:
            raise DataError(
                f"{world_json} has version {world['version']}, but this version of tpad reads versions "
                f"up to {VERSION}; update tpad."
            )
        popularity = np.asarray(world["popularity"])
        if len(popularity) != len(items):
            raise DataError(
                f"{world_json} describes {len(popularity)} items but the item table has {len(items)}; "
                "make the shop again with `python -m tpad world`."
            )
        products = products_of(items)
        if world["version"] == 1:
            law = Law.of(products, popularity, LawConfig(**NOT_IN_VERSION_1 | world["law"]))
            return cls(law)
        if not all(product.occasion for product in products):
            raise DataError(
                f"{world_json} belongs to a table with the column {ATTRIBUTE_PREFIX}{OCCASION}; use "
                "the items.csv beside it."
            )
        partners = Partners.from_json(world["partners"])
        return cls(Law.of(products, popularity, LawConfig(**world["law"]), partners))

    def fit(self, dataset: object) -> "Oracle":
        """Does nothing: the law is known."""
        return self

    def scores(self, sessions: Sequence[np.ndarray]) -> np.ndarray:
        """Log-probability of every next item: (n_sessions, n_items) float32, −inf where impossible."""
        result = np.empty((len(sessions), len(self.law.popularity)), dtype=np.float32)
        with np.errstate(divide="ignore"):
            for row, session in enumerate(sessions):
                result[row] = np.log(self.law.next_item(np.asarray(session)))
        return result

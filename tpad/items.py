"""The content of an item."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class NewItem:
    """The content of an item, usually of one that is not in the catalogue.

    Attributes:
        image: the picture; None if there is none.
        title: the title; "" if there is none.
        description: a longer text; "" if there is none.
        category: the shop's category; "" and categories that the model has not seen are unknown.
        price: the price in the shop's currency; None if unknown.
        vectors: name -> (d,), given vectors of the item, for a bundle that was trained with such
            vectors. They are ignored in comparisons.

    Example:
        >>> import tpad
        >>> tpad.NewItem(title="back cover for Orbit5", price=12.0).title
        'back cover for Orbit5'
    """

    image: Image.Image | None = None
    title: str = ""
    description: str = ""
    category: str = ""
    price: float | None = None
    vectors: Mapping[str, np.ndarray] | None = field(default=None, compare=False)

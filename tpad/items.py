"""An item as content alone: what is known of it before anybody has clicked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class NewItem:
    """An item that is in no catalogue, or the content of one that is.

    Attributes:
        image: its picture; None if there is none.
        title: its title; "" if there is none.
        description: a longer text; "" if there is none.
        category: the shop's category; "" or one that the model has not seen counts as unknown.
        price: in the shop's own currency; None if unknown.
        vectors: name -> (d,), vectors that the shop has of it, for a bundle that was trained with
            such (not compared).

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

"""The features of an item under names, in a fixed order, and side by side as one vector."""

import numpy as np
import torch
from torch import Tensor

from tpad.mllm.features import ItemFeatures

KINDS = ("vision", "image", "text", "last")
"""Kinds of features, in the order in which they stand side by side; all but the first by layer."""


def named_features(features: ItemFeatures) -> dict[str, np.ndarray]:
    """`ItemFeatures` as a flat mapping in a fixed order: name -> (n, d) float32."""
    named = {"vision": features.vision}
    for kind in KINDS[1:]:
        layers: dict[int, np.ndarray] = getattr(features, kind)
        named |= {f"{kind}.{layer}": layers[layer] for layer in sorted(layers)}
    # The last token is the same for every item before the first layer.
    named.pop("last.0", None)
    return named


def place(name: str) -> tuple[int, int]:
    """Where a named feature stands in `named_features`."""
    kind, _, layer = name.partition(".")
    return KINDS.index(kind), int(layer or 0)


def table_of(features: dict[str, np.ndarray]) -> Tensor:
    """Named features side by side, (n, D), in the order that `Student` gives them."""
    return torch.from_numpy(np.concatenate(list(features.values()), axis=1))

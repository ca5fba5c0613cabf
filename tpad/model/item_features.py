"""Names and order of item features, and their concatenation to one vector."""

import numpy as np
import torch
from torch import Tensor

from tpad.mllm.features import ItemFeatures

KINDS = ("vision", "image", "text", "last")
"""Kinds of features in the order of concatenation; all but the first have one part per layer."""


def named_features(features: ItemFeatures) -> dict[str, np.ndarray]:
    """`ItemFeatures` as a flat mapping in a fixed order: name -> (n, d) float32."""
    named = {"vision": features.vision} if features.vision.shape[1] else {}
    for kind in KINDS[1:]:
        layers: dict[int, np.ndarray] = getattr(features, kind)
        named |= {f"{kind}.{layer}": layers[layer] for layer in sorted(layers)}
    # At layer 0, the last token is the same for every item.
    named.pop("last.0", None)
    return named


def sort_key(name: str) -> tuple[int, int]:
    """Sort key of a feature's name, for the order of `named_features`."""
    kind, _, layer = name.partition(".")
    return KINDS.index(kind), int(layer or 0)


def concatenated(features: dict[str, np.ndarray]) -> Tensor:
    """Concatenated features, (n, D), in the order of `Student.features`."""
    return torch.from_numpy(np.concatenate(list(features.values()), axis=1))

"""Names and order of item features, and their concatenation to one vector."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tpad.mllm.features import ItemFeatures

KINDS = ("vision", "image", "text", "last")
"""Kinds of features in the order of concatenation; all but the first have one part per layer."""


MEANS = ("image", "text")
"""Those that are means over tokens of the item."""


def named_features(features: ItemFeatures, kinds: Sequence[str] = KINDS) -> dict[str, np.ndarray]:
    """`ItemFeatures` as a flat mapping in the order of `KINDS`: name -> (n, d) float32.

    Args:
        features: of n items.
        kinds: those that are used.
    """
    named = {"vision": features.vision} if features.vision.shape[1] and "vision" in kinds else {}
    for kind in [kind for kind in KINDS[1:] if kind in kinds]:
        layers: dict[int, np.ndarray] = getattr(features, kind)
        named |= {f"{kind}.{layer}": layers[layer] for layer in sorted(layers)}
    # At layer 0, the last token is the same for every item.
    named.pop("last.0", None)
    return named


def kinds(tau: str) -> tuple[str, ...]:
    """Kinds of features that are used, by how `k_tau` is learned ("words" or "sessions")."""
    return KINDS if tau == "words" else MEANS


def sort_key(name: str) -> tuple[int, int]:
    """Sort key of a feature's name, for the order of `named_features`."""
    kind, _, layer = name.partition(".")
    return KINDS.index(kind), int(layer or 0)


def concatenated(features: dict[str, np.ndarray]) -> Tensor:
    """Concatenated features, (n, D), in the order of `Student.features`."""
    return torch.from_numpy(np.concatenate(list(features.values()), axis=1))

"""Item features that need no bundle: the inputs of baselines and references."""

import numpy as np

from tpad import Dataset
from tpad.model.item_encoder import RANDOM_SIZE
from tpad.model.plain_features import field_table, text_table
from tpad.world.oracle import attribute_table


def random_features(dataset: Dataset, seed: int) -> np.ndarray:
    """(n_items, 128) Gaussian noise, which only distinguishes the items."""
    rng = np.random.default_rng([seed, 17])
    return rng.standard_normal((len(dataset.items), RANDOM_SIZE)).astype(np.float32)


def text_features(dataset: Dataset) -> np.ndarray:
    """TF-IDF of the text, as in a bundle's set: (n_items, n) float32."""
    return _with_fields(dataset, text_table(dataset.items, ~dataset.cold))


def attribute_features(dataset: Dataset) -> np.ndarray | None:
    """True attributes of the demo shop: (n_items, n) float32; None for other data."""
    attributes = attribute_table(dataset.items)
    return _with_fields(dataset, attributes) if attributes.shape[1] else None


def _with_fields(dataset: Dataset, features: np.ndarray) -> np.ndarray:
    """Features with price and category appended, which all compared sets include."""
    fields = field_table(dataset.items, ~dataset.cold)
    return np.concatenate([features, fields], axis=1)

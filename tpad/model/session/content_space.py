"""The space in which items are compared by content: features, centred on the clicked items."""

from typing import Any

import numpy as np

from tpad.errors import DataError

CHUNK = 65_536  # rows transformed at once
MOST_AXES = 512  # principal axes that are kept
LEAST_VARIANCE = 1e-4  # of the largest variance; a smaller one would be mostly noise


class ContentSpace:
    """Turns features into unit vectors, whose dot product is the cosine similarity of two items.

    Args:
        mean: (d,), the mean of the clicked items.
        matrix: (d, d'), by which centred features are multiplied; None keeps them as they are.
    """

    def __init__(self, mean: np.ndarray, matrix: np.ndarray | None = None) -> None:
        self.mean, self.matrix = mean, matrix

    @classmethod
    def fit(
        cls, features: np.ndarray, clicked: np.ndarray, whitening: float = 0.0
    ) -> "ContentSpace":
        """Fit to the clicked items.

        With λ the variances along the principal axes, each axis is multiplied by λ ^ −whitening. So
        groups of features on a larger scale, such as prices beside texts, dominate less **[ours; full
        whitening: Zhang et al. 2024, arXiv 2402.10602]**.

        Args:
            features: (n_items, d), finite.
            clicked: (n_items,) bool, at least one.
            whitening: 0 leaves the features as they are, 0.5 gives all axes the same variance.
        """
        if not clicked.any():
            raise DataError("No item occurs in a training session; give at least one session.")
        mean = features[clicked].mean(0, dtype=np.float64)
        if not whitening:
            return cls(mean)
        centred = features[clicked].astype(np.float64) - mean  # (n, d)
        variance, axes = np.linalg.eigh(centred.T @ centred / len(centred))  # (d,), (d, d)
        largest = variance[-1]
        if not largest > 0:  # all clicked items are alike
            return cls(mean)
        variance, axes = variance[-MOST_AXES:], axes[:, -MOST_AXES:]
        matrix = axes * variance.clip(min=LEAST_VARIANCE * largest) ** -whitening
        return cls(mean, matrix.astype(np.float32))  # half the size of a file

    @property
    def width(self) -> int:
        """Size d' of the unit vectors."""
        return len(self.mean) if self.matrix is None else self.matrix.shape[1]

    def units(self, features: np.ndarray) -> np.ndarray:
        """Vectors of length 1; a zero vector stays zero: (n, d) -> (n, d') float32."""
        units = np.empty((len(features), self.width), np.float32)
        for start in range(0, len(features), CHUNK):
            part = slice(start, start + CHUNK)
            centred = features[part].astype(np.float64) - self.mean
            if self.matrix is not None:
                centred = centred @ self.matrix
            length = np.linalg.norm(centred, axis=1, keepdims=True)
            units[part] = centred / np.where(length > 0, length, 1.0)
        return units

    def state(self) -> dict[str, np.ndarray]:
        """Arrays to be saved."""
        return {"mean": self.mean} | ({} if self.matrix is None else {"matrix": self.matrix})

    @classmethod
    def restored(cls, state: dict[str, Any], n_features: int) -> "ContentSpace":
        """The space whose `state` was saved.

        Args:
            state: the arrays.
            n_features: size d of the features.

        Raises:
            ValueError: an array has the wrong shape or type, or is not finite.
        """
        for name, kind, n_axes in (("mean", np.float64, 1), ("matrix", np.float32, 2)):
            array = state.get(name)
            if array is None and name == "matrix":
                continue
            if array is None or array.dtype != kind or array.ndim != n_axes:
                raise ValueError(f"the {name} of the content space is missing or has another type")
            if array.shape[0] != n_features or not np.isfinite(array).all():
                raise ValueError(f"the {name} of the content space has a wrong shape or value")
        return cls(state["mean"], state.get("matrix"))

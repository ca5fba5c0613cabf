"""The space in which items are compared by content: features, centred on the clicked items.

Each part of the features has a space of its own, and all parts count the same. The similarity of two items
is the mean of their cosines in the parts **[ours]**.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tpad.errors import DataError
from tpad.model.parts import TAU, Parts, compared

CHUNK = 65_536  # rows transformed at once
MOST_AXES = 512  # principal axes of a part that are kept
LEAST_VARIANCE = 1e-4  # of the largest variance; a smaller one would be mostly noise


@dataclass(frozen=True, eq=False)
class PartSpace:
    """The space of one part.

    Attributes:
        mean: (d,) float64, the mean of the clicked items.
        matrix: (d, d') float32, by which centred features are multiplied; None keeps them as they are.
    """

    mean: np.ndarray
    matrix: np.ndarray | None = None

    @classmethod
    def fit(cls, features: np.ndarray, whitening: float) -> "PartSpace":
        """Fit to features of clicked items, (n, d); `whitening` as in `ContentSpace.fit`."""
        mean = features.mean(0, dtype=np.float64)
        if not whitening:
            return cls(mean)
        centred = features.astype(np.float64) - mean  # (n, d)
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
        """Vectors of length 1; a zero vector stays zero: (n, d) -> (n, d') float64."""
        centred = features.astype(np.float64) - self.mean
        return _normalised(centred if self.matrix is None else centred @ self.matrix)


class ContentSpace:
    """Turns features into unit vectors, whose dot product is the similarity of two items.

    Args:
        parts: space of each part, in the order of the columns.
        behaviour: number of the part that says which items are clicked in the same way, by which
            stand-ins are found; None if all parts do.
    """

    def __init__(self, parts: Sequence[PartSpace], behaviour: int | None = None) -> None:
        self.parts, self.behaviour = tuple(parts), behaviour

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        clicked: np.ndarray,
        whitening: float = 0.0,
        parts: Parts | None = None,
    ) -> "ContentSpace":
        """Fit to the clicked items.

        With λ the variances along the principal axes of a part, each axis is multiplied by λ ^ −whitening.
        So groups of features on a larger scale, such as prices beside texts, dominate less **[ours; full
        whitening: Zhang et al. 2024, arXiv 2402.10602]**.

        Args:
            features: (n_items, d), finite.
            clicked: (n_items,) bool, at least one.
            whitening: 0 leaves the features as they are, 0.5 gives all axes the same variance.
            parts: of the features; by default they are one part. The transitional part is the
                behaviour, if there is one.
        """
        if not clicked.any():
            raise DataError("No item occurs in a training session; give at least one session.")
        sizes = compared(parts, features.shape[1])
        known = features[clicked]
        spaces = [
            PartSpace.fit(known[:, start:stop], whitening)
            for start, stop in pairwise(np.cumsum([0, *sizes.values()]))
        ]
        several = len(sizes) > 1 and TAU in sizes
        return cls(spaces, list(sizes).index(TAU) if several else None)

    @property
    def width(self) -> int:
        """Size d' of the unit vectors."""
        return sum(part.width for part in self.parts)

    @property
    def of_behaviour(self) -> slice:
        """The columns of the unit vectors by which stand-ins are found."""
        if self.behaviour is None:
            return slice(0, self.width)
        start = sum(part.width for part in self.parts[: self.behaviour])
        return slice(start, start + self.parts[self.behaviour].width)

    def units(self, features: np.ndarray) -> np.ndarray:
        """Vectors of length 1; a zero vector stays zero: (n, d) -> (n, d') float32."""
        units = np.empty((len(features), self.width), np.float32)
        bounds = list(pairwise(np.cumsum([0, *(len(part.mean) for part in self.parts)])))
        for start in range(0, len(features), CHUNK):
            some = slice(start, start + CHUNK)
            found = [
                part.units(features[some, first:last])
                for part, (first, last) in zip(self.parts, bounds, strict=True)
            ]
            # An item may be average in one part; the others then count for more.
            units[some] = found[0] if len(found) == 1 else _normalised(np.concatenate(found, 1))
        return units

    def state(self) -> dict[str, np.ndarray]:
        """Arrays to be saved."""
        state = {"behaviour": np.array([-1 if self.behaviour is None else self.behaviour])}
        for number, part in enumerate(self.parts):
            state[f"{number}.mean"] = part.mean
            if part.matrix is not None:
                state[f"{number}.matrix"] = part.matrix
        return state

    @classmethod
    def restored(cls, state: Mapping[str, Any], n_features: int) -> "ContentSpace":
        """The space whose `state` was saved.

        Args:
            state: the arrays.
            n_features: size d of the features.

        Raises:
            ValueError: an array has the wrong shape or type, or is not finite.
        """
        parts: list[PartSpace] = []
        while f"{len(parts)}.mean" in state:
            number = len(parts)
            mean, matrix = state[f"{number}.mean"], state.get(f"{number}.matrix")
            for array, kind, n_axes in ((mean, np.float64, 1), (matrix, np.float32, 2)):
                if array is None:
                    continue
                if array.dtype != kind or array.ndim != n_axes or len(array) != len(mean):
                    raise ValueError("an array of the content space has a wrong type or shape")
                if not np.isfinite(array).all():
                    raise ValueError("an array of the content space is not finite")
            parts.append(PartSpace(mean, matrix))
        behaviour = int(state["behaviour"].item())
        if sum(len(part.mean) for part in parts) != n_features or not -1 <= behaviour < len(parts):
            raise ValueError("the content space does not match the features")
        return cls(parts, None if behaviour < 0 else behaviour)


def _normalised(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths; a zero row stays zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)

"""Quality of embedding sets without a recommender: three cheap measures, computed once."""

import threading
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tpad.data.columns import Columns

if TYPE_CHECKING:
    from tpad.bundle import Bundle

CATEGORY_NEIGHBOURS, NEXT_NEIGHBOURS = 10, 20
MAX_SAMPLE = 4000
"""Items and transitions that are measured; larger numbers are sampled at random."""
CELLS_AT_ONCE = 4_000_000


def effective_rank(vectors: np.ndarray) -> float:
    """Effective number of directions in which the vectors spread: exp(−Σ p log p), p_i = σ_i / Σ σ.

    σ are the singular values of the centred vectors (Roy and Vetterli, EUSIPCO 2007). It is 1 if all
    vectors are on a line, and at most the number of dimensions.

    Args:
        vectors: (n, d).
    """
    centred = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    small = centred if len(centred) >= centred.shape[1] else centred.T
    spectrum = np.sqrt(np.clip(np.linalg.eigvalsh(small.T @ small), 0, None))
    if not spectrum.sum() > 0:
        return 0.0
    p = spectrum / spectrum.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def same_category(
    vectors: np.ndarray, categories: np.ndarray, k: int = CATEGORY_NEIGHBOURS
) -> float:
    """Share of an item's k nearest neighbours (by cosine) that have its category.

    The mean over items that have a category: Σ_i |{j in kNN(i): c_j = c_i}| / (k n). NaN if no item
    has one.

    Args:
        vectors: (n_items, d).
        categories: (n_items,) str, "" if unknown.
        k: number of neighbours.
    """
    rows = _some(np.flatnonzero(categories != ""))
    k = min(k, len(vectors) - 1)
    if not len(rows) or k < 1:
        return float("nan")
    near = np.concatenate([nearest(vectors, part, k) for part in _chunks(rows, len(vectors))])
    return float((categories[near] == categories[rows][:, None]).mean())


def next_is_near(
    vectors: np.ndarray, current: np.ndarray, following: np.ndarray, k: int = NEXT_NEIGHBOURS
) -> np.ndarray:
    """Whether the next item is among the k nearest of the current one, by cosine: (n,) bool.

    Args:
        vectors: (n_items, d).
        current, following: (n,) rows of the two items of each transition.
        k: number of neighbours, without the current item.
    """
    k = min(k, len(vectors) - 1)
    if not len(current) or k < 1:
        return np.zeros(len(current), bool)
    rows, place = np.unique(current, return_inverse=True)
    near = np.concatenate([nearest(vectors, part, k) for part in _chunks(rows, len(vectors))])
    return (near[place] == following[:, None]).any(1)


def nearest(vectors: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k nearest vectors by cosine, (n, k), unordered.

    Args:
        vectors: (n_items, d).
        rows: (n,) the vectors whose neighbours are returned; no vector is its own neighbour.
        k: below n_items.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    cosines = unit[rows] @ unit.T  # (n, n_items)
    cosines[np.arange(len(rows)), rows] = -np.inf
    return np.argpartition(-cosines, k - 1, axis=1)[:, :k]


def transitions(sessions: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Each item of the sessions and the next one, two arrays (n,), without repeats of the same item."""
    pairs = [np.stack([items[:-1], items[1:]]) for items in sessions if len(items) > 1]
    if not pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    current, following = np.concatenate(pairs, axis=1).astype(np.int64)
    keep = _some(np.flatnonzero(current != following))
    return current[keep], following[keep]


class Quality:
    """The measures of a bundle's sets, computed when they are first requested."""

    def __init__(self, bundle: "Bundle", titles: dict[str, str]) -> None:
        self.bundle, self.titles = bundle, titles
        self._lock = threading.Lock()
        self._rows: dict[str, tuple] = {}

    def table(self) -> pd.DataFrame:
        """One row per set.

        Returns:
            Columns set, title, dimensions, effective_rank, same_category, next_warm, next_cold
            (NaN without such transitions).
        """
        columns = [
            "set",
            "title",
            "dimensions",
            "effective_rank",
            "same_category",
            "next_warm",
            "next_cold",
        ]
        return pd.DataFrame([self.measure(name) for name in self.bundle.sets], columns=columns)

    def has(self, name: str) -> bool:
        """Whether a set has been measured."""
        return name in self._rows

    def measure(self, name: str) -> tuple:
        """The row of one set."""
        with self._lock:  # once for all visitors
            if name not in self._rows:
                self._rows[name] = self._row(name)
            return self._rows[name]

    def _row(self, name: str) -> tuple:
        dataset, vectors = self.bundle.dataset, self.bundle.embeddings[name]
        current, following = transitions(dataset.test.items)
        found = next_is_near(vectors, current, following)
        cold = self.bundle.cold[following]
        parts = [float(found[mask].mean()) if mask.any() else np.nan for mask in (~cold, cold)]
        categories = dataset.items[Columns.CATEGORY].fillna("").to_numpy(dtype=object)
        return (
            name,
            self.titles.get(name, name),
            vectors.shape[1],
            effective_rank(vectors[_some(np.arange(len(vectors)))]),
            same_category(vectors, categories),
            *parts,
        )


def _some(rows: np.ndarray) -> np.ndarray:
    """All rows, or a sample of `MAX_SAMPLE` of them, the same at every call."""
    if len(rows) <= MAX_SAMPLE:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, MAX_SAMPLE, replace=False))


def _chunks(rows: np.ndarray, width: int) -> list[np.ndarray]:
    return np.array_split(rows, max(1, -(-len(rows) * width // CELLS_AT_ONCE)))

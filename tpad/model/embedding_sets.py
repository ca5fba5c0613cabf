"""The embedding sets, and their files: as a bundle keeps them, in half precision, or with ids."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tpad.errors import BundleError
from tpad.io.tensor_files import write_arrays


@dataclass(frozen=True)
class EmbeddingSet:
    """One way to embed items; every set gets the same recommender.

    Attributes:
        name: in settings, files and commands.
        title: what a person reads.
        about: what it is, for a model card.
        parts: what the vectors are made of, side by side; each has a method of `ItemEncoder`.
        reads_pictures: whether pictures are read.
        has_fields: whether price and category are appended.
    """

    name: str
    title: str
    about: str
    parts: tuple[str, ...]
    reads_pictures: bool = True
    has_fields: bool = True


EMBEDDING_SETS = {
    one.name: one
    for one in (
        EmbeddingSet(
            "random", "Random vectors", "random vectors, to compare with", ("random",), False, False
        ),
        EmbeddingSet(
            "tfidf", "TF-IDF of the text", "TF-IDF of the text, reduced by SVD", ("tfidf",), False
        ),
        EmbeddingSet("vision", "Vision tower", "vision tower only", ("vision",)),
        EmbeddingSet(
            "vision_tfidf",
            "Vision tower + TF-IDF",
            "vision tower joined with TF-IDF of the text",
            ("vision", "tfidf"),
        ),
        EmbeddingSet(
            "knowledge",
            "Knowledge-MLLM",
            "knowledge features of the multimodal LLM",
            ("knowledge",),
        ),
        EmbeddingSet(
            "transfer",
            "Transfer-MLLM, not aligned",
            "transition-aware features without alignment",
            ("transfer",),
        ),
        EmbeddingSet(
            "tpad",
            "TPAD",
            "TPAD: intrinsic and transitional part of the item, and its fields",
            ("tpad",),
        ),
    )
}
"""All embedding sets by name, TPAD last."""
LARGEST = float(np.finfo(np.float16).max)


def as_stored(name: str, vectors: np.ndarray) -> np.ndarray:
    """Rounded to what float16 holds, clipped to its range: (n_items, d) float32.

    What is trained or measured on these numbers sees exactly what a bundle's reader sees.

    Args:
        name: of the set, to be named in an error.
        vectors: (n_items, d).

    Raises:
        BundleError: a value is NaN or infinite.
    """
    if not np.isfinite(vectors).all():
        raise BundleError(f"The embeddings {name!r} contain NaN or infinity; train again.")
    return np.clip(vectors, -LARGEST, LARGEST).astype(np.float16).astype(np.float32)


def write_embeddings(path: Path, name: str, vectors: np.ndarray) -> None:
    """Writes a set; `vectors` as in `as_stored`."""
    write_arrays(path, {"x": as_stored(name, vectors).astype(np.float16)})


def read_embeddings(path: Path, n_items: int) -> np.ndarray:
    """(n_items, d) float32 of a file in half precision.

    Raises:
        BundleError: it cannot be read, or holds other items.
    """
    try:
        vectors = load_file(path)["x"]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BundleError(f"{path} cannot be read; train the bundle again.") from error
    if vectors.ndim != 2 or len(vectors) != n_items:
        raise BundleError(
            f"{path} has shape {vectors.shape}, but there are {n_items} items; "
            "train the bundle again."
        )
    if vectors.dtype != np.float16 or not np.isfinite(vectors).all():
        raise BundleError(
            f"{path} holds NaN, infinity or numbers of the kind {vectors.dtype}; train the bundle "
            "again."
        )
    return np.ascontiguousarray(vectors, np.float32)


def write_with_ids(
    path: Path, item_ids: Sequence[str], vectors: np.ndarray, facts: Mapping[str, str] | None = None
) -> None:
    """Writes vectors that are to be read without a bundle, in one step.

    Args:
        path: `.safetensors`; it gets a tensor "x", and the ids as a JSON list "item_ids" in its
            metadata.
        item_ids: (n_items,).
        vectors: (n_items, d).
        facts: further metadata.
    """
    metadata = {"item_ids": json.dumps(list(item_ids)), **(facts or {})}
    write_arrays(path, {"x": vectors}, metadata)

"""The list of embedding sets, and their files: in half precision for bundles, or with item ids."""

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
    """One way to embed items. All sets use the same recommender.

    Attributes:
        name: name in settings, files and commands.
        title: name in tables and in the app.
        about: description for the model card.
        parts: concatenated parts of the vectors; a method of `ItemEncoder` computes each part.
        reads_pictures: whether it uses pictures.
        has_fields: whether price and category are appended.
    """

    name: str
    title: str
    about: str
    parts: tuple[str, ...]
    reads_pictures: bool = True
    has_fields: bool = True

    @property
    def needs_tower(self) -> bool:
        """Whether it has features of the vision tower alone."""
        return "vision" in self.parts


EMBEDDING_SETS = {
    one.name: one
    for one in (
        EmbeddingSet(
            "random", "Random vectors", "random vectors, for comparison", ("random",), False, False
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
PARTS = "parts"
"""Metadata of a file with ids: the parts of the vectors as JSON, see `tpad.model.parts`."""
LARGEST = float(np.finfo(np.float16).max)


def as_stored(name: str, vectors: np.ndarray) -> np.ndarray:
    """Round vectors to float16, as a bundle stores them: (n_items, d) float32.

    Values outside the range of float16 are clipped. Training and evaluation use these rounded vectors, so
    their results hold for the stored bundle.

    Args:
        name: name of the set, for error messages.
        vectors: (n_items, d).

    Raises:
        BundleError: a value is NaN or infinite.
    """
    if not np.isfinite(vectors).all():
        raise BundleError(f"The embeddings {name!r} contain NaN or infinity; train again.")
    return np.clip(vectors, -LARGEST, LARGEST).astype(np.float16).astype(np.float32)


def write_embeddings(path: Path, name: str, vectors: np.ndarray) -> None:
    """Write the vectors of a set, rounded as in `as_stored`."""
    write_arrays(path, {"x": as_stored(name, vectors).astype(np.float16)})


def read_embeddings(path: Path, n_items: int) -> np.ndarray:
    """Read the vectors of a set: (n_items, d) float32.

    Raises:
        BundleError: the file cannot be read, or has another number of items.
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
            f"{path} contains NaN, infinity or numbers of type {vectors.dtype}; train the bundle again."
        )
    return np.ascontiguousarray(vectors, np.float32)


def write_with_ids(
    path: Path, item_ids: Sequence[str], vectors: np.ndarray, facts: Mapping[str, str] | None = None
) -> None:
    """Write vectors with their item ids, atomically, for use without a bundle.

    Args:
        path: safetensors file. The tensor is named "x"; the metadata contain the ids as a JSON list
            "item_ids".
        item_ids: (n_items,).
        vectors: (n_items, d).
        facts: further metadata.
    """
    metadata = {"item_ids": json.dumps(list(item_ids)), **(facts or {})}
    write_arrays(path, {"x": vectors}, metadata)

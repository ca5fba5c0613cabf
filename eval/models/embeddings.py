"""Embedding sets from files: vectors of the items from any source, and ablations of TPAD.

`tpad.data.vectors.VectorFile` lists the kinds of files. `python -m tpad ablate` writes a folder of ablations.
"""

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from tpad import DataError
from tpad.data.vectors import ItemVectors, VectorFile, load_vectors
from tpad.model.embedding_sets import PARTS


def load_embeddings(
    path: Path,
    item_ids: Sequence[str],
    warm: np.ndarray,
    say: Callable[[str], None] = warnings.warn,
) -> np.ndarray:
    """Vectors of all items, (n_items, d) float32; with one more column if items have none, see `filled`.

    Args:
        path: the file.
        item_ids: of the dataset, in its order.
        warm: (n_items,) bool, which items occur in training sessions.
        say: called with a sentence if some items have no vector, or some vectors no item.

    Raises:
        DataError: the file cannot be read or does not fit the items, or no training item has a vector.
    """
    return filled(load_vectors(path, item_ids, say), warm, path)


def filled(vectors: ItemVectors, warm: np.ndarray, path: Path) -> np.ndarray:
    """(n_items, d) float32, with missing vectors filled in and marked.

    An item without a vector gets the mean vector of the training items, which the recommender's
    standardisation turns into zeros. The additional last column is 1 for items with a vector and 0 for
    items without.

    Args:
        vectors: of all items.
        warm: (n_items,) bool, which items occur in training sessions.
        path: source of the vectors, for the error.

    Raises:
        DataError: no training item has a vector.
    """
    values, present = vectors.values, vectors.present
    if not (present & warm).any():
        raise DataError(
            f"No item of the training sessions has a vector in {path}; check its item ids."
        )
    if present.all():
        return values
    mean = values[present & warm].mean(0)
    known = np.where(present[:, None], values, mean)
    return np.concatenate([known, present[:, None]], axis=1).astype(np.float32)


def load_ablations(
    folder: Path, item_ids: Sequence[str], fingerprint: str
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, int]]]:
    """The sets of a folder written by `python -m tpad ablate`: file name -> (n_items, d), and -> parts.

    Args:
        folder: with one safetensors file per set.
        item_ids: of the dataset, in its order.
        fingerprint: of the dataset that is evaluated.

    Raises:
        DataError: there is no set, a set was not trained on this dataset, or the sets belong to
            different runs.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise DataError(
            f"There is no embedding set in {folder}; make them with `python -m tpad ablate`."
        )
    sets, parts, runs = {}, {}, set()
    for path in paths:
        facts = _metadata(path)
        if not {"dataset", "base", "full_config", PARTS} <= facts.keys():
            raise DataError(
                f"{path} does not say what it was trained on; make it with `python -m tpad ablate`, "
                "or pass it as --embeddings NAME=FILE."
            )
        if facts["dataset"] != fingerprint:
            raise DataError(
                f"{path} was trained on another dataset or split than the one that is evaluated; run "
                "`python -m tpad ablate` on this one."
            )
        runs.add((facts["base"], facts["full_config"]))
        if len(runs) > 1:
            raise DataError(
                f"{path} comes from another model or other settings than the sets before it in "
                f"{folder}; keep the sets of one run."
            )
        file = VectorFile.read(path)
        if sorted(file.ids or []) != sorted(item_ids) or not file.of(item_ids).present.all():
            raise DataError(f"{path} has other items than the dataset; make it again.")
        sets[path.stem] = file.of(item_ids).values
        parts[path.stem] = json.loads(facts[PARTS])
    return sets, parts


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "np") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is damaged ({error}); make it again.") from error

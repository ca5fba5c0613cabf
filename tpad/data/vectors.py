"""Vectors that somebody has for the items of a shop, in files.

| file | what it holds |
| --- | --- |
| `.safetensors` | `features` (n, d) in the order of the item table; `features` or `x` with the metadata `item_ids` (a JSON list), as `python -m tpad export` writes it; perhaps `present` (n,); or one vector an item, named by its item_id |
| `.npz` | `features` (n, d) with `item_id` (n,), or in the order of the item table; perhaps `present` (n,) |
| `.parquet` | `item_id` and either one column of vectors or one column a dimension; perhaps `present` |

Nothing is unpickled.
"""

import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from tpad.data.columns import Columns
from tpad.errors import ConfigError, DataError

FEATURES, PRESENT = "features", "present"
EXPORTED, ITEM_IDS = "x", "item_ids"  # tensor and metadata in files of `tpad`
KINDS = (".safetensors", ".npz", ".parquet")


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """One vector an item, in the order of a dataset.

    Attributes:
        values: (n_items, d) float32; zeros where an item has none.
        present: (n_items,) bool, which items have one; at least one has.
    """

    values: np.ndarray
    present: np.ndarray


@dataclass(frozen=True, eq=False)
class VectorFile:
    """What a file holds, not yet held against the items of a dataset.

    Attributes:
        path: where it was read from.
        ids: item ids; None where the rows are in the dataset's order.
        vectors: (n, d), whatever was there.
        present: (n,), likewise.
    """

    path: Path
    ids: list[str] | None
    vectors: np.ndarray
    present: np.ndarray

    @classmethod
    def read(cls, path: Path) -> "VectorFile":
        """Reads a file of any kind.

        Raises:
            DataError: there is no such file, it is of another kind, or damaged.
        """
        if path.suffix not in KINDS:
            raise DataError(f"{path} is no embedding file; give one of {', '.join(KINDS)}.")
        if not path.is_file():
            raise DataError(f"{path} does not exist; give an embedding file.")
        try:
            read = {".safetensors": _safetensors, ".npz": _npz, ".parquet": _parquet}[path.suffix]
            ids, vectors, present = read(path)
        except (OSError, ValueError, SafetensorError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is damaged ({error}); make it again.") from error
        if ids is not None and len(ids) != len(vectors):
            raise DataError(f"{path} has {len(ids):,} item ids but {len(vectors):,} vectors.")
        return cls(path, ids, vectors, present)

    def of(self, item_ids: Sequence[str]) -> ItemVectors:
        """The vectors of the items of a dataset, in its order.

        Raises:
            DataError: the file does not fit the items.
        """
        found = self.some_of(item_ids)
        if not found.present.any():
            raise DataError(
                f"{self.path} has a vector for no item of the dataset; check its item ids."
            )
        return found

    def some_of(self, item_ids: Sequence[str]) -> ItemVectors:
        """As `of`, but it may be that none of these items has a vector."""
        vectors, present = self.vectors, self.present
        if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or not vectors.shape[1]:
            raise DataError(
                f"The vectors in {self.path} have shape {vectors.shape} and type {vectors.dtype}; "
                "they must be numbers with one row an item."
            )
        if self.ids is None and len(vectors) != len(item_ids):
            raise DataError(
                f"{self.path} has {len(vectors):,} rows in the order of the item table, but the "
                f"dataset has {len(item_ids):,} items; add an item_id to each row."
            )
        if present.shape != (len(vectors),):
            raise DataError(f"`present` in {self.path} must have one value a row of `features`.")
        present = present.astype(bool)
        if self.ids is not None:
            place = self._index.get_indexer(pd.Index(item_ids))  # (n_items,), −1: it has none
            present = np.where(place >= 0, present[place], False)
            vectors = vectors[place]
        vectors = vectors.astype(np.float32)
        if not np.isfinite(vectors[present]).all():
            row = int(np.flatnonzero(present)[~np.isfinite(vectors[present]).all(1)][0])
            raise DataError(
                f"The vector of item '{item_ids[row]}' in {self.path} holds no finite numbers."
            )
        return ItemVectors(np.where(present[:, None], vectors, np.float32(0)), present)

    def part(self, item_ids: Sequence[str]) -> "VectorFile":
        """What the file holds of some items, as a smaller file with ids would."""
        found = self.some_of(item_ids)
        ids = np.array(item_ids, object)[found.present].tolist()
        values = found.values[found.present]
        return VectorFile(self.path, ids, values, np.ones(len(ids), bool))

    @cached_property
    def _index(self) -> pd.Index:
        index = pd.Index(self.ids)
        if index.has_duplicates:
            twice = index[index.duplicated()][0]
            raise DataError(f"{self.path} has two vectors for item '{twice}'; keep one.")
        return index


def load_vectors(path: Path, item_ids: Sequence[str]) -> ItemVectors:
    """Reads a file, see `VectorFile`, and brings it into the order of a dataset's items."""
    return VectorFile.read(path).of(item_ids)


def parse_named_files(texts: Iterable[str]) -> dict[str, Path]:
    """Paths by name, of several `name=FILE`.

    Raises:
        ConfigError: one is not of that form, or a name comes twice.
    """
    pairs = [parse_named_file(text) for text in texts]
    files = dict(pairs)
    if len(files) < len(pairs):
        raise ConfigError("Two --features have the same name; give each its own.")
    return files


def parse_named_file(text: str) -> tuple[str, Path]:
    """Name and path of `name=FILE`.

    Raises:
        ConfigError: it is not of that form, or the name is unusable.
    """
    name, mark, path = text.partition("=")
    if not mark or not path or not name.replace("_", "").replace("-", "").isalnum():
        raise ConfigError(f"{text!r} must have the form name=FILE, as in clip=clip.safetensors.")
    return name, Path(path)


_Parts = tuple[list[str] | None, np.ndarray, np.ndarray]
"""`ids`, `vectors` and `present` of a `VectorFile`."""


def _safetensors(path: Path) -> _Parts:
    with safe_open(path, "np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        told = (file.metadata() or {}).get(ITEM_IDS)
    # Without the ids beside it, "x" is an item's name.
    name = EXPORTED if told is not None and EXPORTED in arrays else FEATURES
    if name in arrays:
        vectors = arrays[name]
        ids = None if told is None else [str(one) for one in json.loads(told)]
        return ids, vectors, arrays.get(PRESENT, np.ones(len(vectors), bool))
    sizes = {values.shape for values in arrays.values()}
    if len(sizes) != 1:
        raise DataError(
            f"{path} has no `features`, and its tensors differ in shape; give one vector an item, "
            "all of one size."
        )
    return list(arrays), np.stack(list(arrays.values())), np.ones(len(arrays), bool)


def _npz(path: Path) -> _Parts:
    with np.load(path, allow_pickle=False) as file:
        if FEATURES not in file:
            raise DataError(f"{path} has no array `features`; it has {', '.join(file.files)}.")
        vectors = file[FEATURES]
        ids = file[Columns.ITEM_ID].astype(str).tolist() if Columns.ITEM_ID in file else None
        present = file[PRESENT] if PRESENT in file else np.ones(len(vectors), bool)
    return ids, vectors, present


def _parquet(path: Path) -> _Parts:
    frame = pd.read_parquet(path)
    if Columns.ITEM_ID not in frame:
        raise DataError(f"{path} has no column item_id; add it.")
    ids = frame[Columns.ITEM_ID].astype(str).tolist()
    present = frame[PRESENT].to_numpy() if PRESENT in frame else np.ones(len(frame), bool)
    rest = frame.drop(columns=[Columns.ITEM_ID, PRESENT], errors="ignore")
    if rest.shape[1] != 1 or not pd.api.types.is_object_dtype(rest.dtypes.iloc[0]):
        return ids, rest.to_numpy(), present
    column = rest.iloc[:, 0]
    known = column.notna().to_numpy() & present.astype(bool)
    sizes = {np.shape(vector) for vector in column[known]}
    if len(sizes) != 1:
        raise DataError(f"The vectors in column {rest.columns[0]} of {path} differ in size.")
    vectors = np.zeros((len(frame), *sizes.pop()), np.float32)
    vectors[known] = np.stack(column[known].to_list())
    return ids, vectors, known

"""Reads item vectors that were computed elsewhere.

| file | content |
| --- | --- |
| `.safetensors` | `features` (n, d) in the order of the item table; `features` or `x` with the metadata `item_ids` (a JSON list), as `python -m tpad export` writes it; optionally `present` (n,); or one tensor per item, named by its item_id |
| `.npz` | `features` (n, d) with `item_id` (n,), or in the order of the item table; optionally `present` (n,) |
| `.npy` | (n, d) in the order of the item table |
| `.parquet` | `item_id` and either one column of vectors or one column per dimension; optionally `present` |

Numbers may have any precision, including bfloat16 and float8 in `.safetensors`. `tpad.data.ids` converts
the ids. Nothing is unpickled.
"""

import warnings
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from tpad.data.columns import Columns
from tpad.data.ids import ids_of_json, to_ids
from tpad.data.parquet_table import read_parquet, refuse_unpacking
from tpad.data.tables import to_booleans
from tpad.errors import ConfigError, DataError, shown
from tpad.io.git_lfs import refuse_pointer

FEATURES, PRESENT = "features", "present"
EXPORTED, ITEM_IDS = "x", "item_ids"  # tensor and metadata in files of `tpad`
SUFFIXES = (".safetensors", ".npz", ".npy", ".parquet")
_NUMPY_TYPES = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """One vector per item, in the order of a dataset.

    Attributes:
        values: (n_items, d) float32; zeros for an item without a vector.
        present: (n_items,) bool, which items have a vector; at least one has.
    """

    values: np.ndarray
    present: np.ndarray


@dataclass(frozen=True, eq=False)
class VectorFile:
    """The content of a file, not yet matched with the items of a dataset.

    Attributes:
        path: of the file.
        ids: item ids; None if the rows are in the order of the dataset.
        vectors: (n, d), not yet checked.
        present: (n,), not yet checked.
    """

    path: Path
    ids: list[str] | None
    vectors: np.ndarray
    present: np.ndarray

    @classmethod
    def read(cls, path: Path) -> "VectorFile":
        """Read a file of any of these formats.

        Raises:
            DataError: the file does not exist, has another format, or is damaged.
        """
        if path.suffix not in SUFFIXES:
            raise DataError(f"{path} is not an embedding file; give one of {', '.join(SUFFIXES)}.")
        if not path.is_file():
            raise DataError(f"{path} does not exist; give an embedding file.")
        refuse_pointer(path)
        read = {".safetensors": _safetensors, ".npz": _npz, ".npy": _npy, ".parquet": _parquet}
        try:
            ids, vectors, present = read[path.suffix](path)
        except (OSError, ValueError, MemoryError, SafetensorError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is damaged ({shown(error, 200)}); write it again.") from error
        if ids is not None and vectors.ndim and len(ids) != len(vectors):
            raise DataError(f"{path} has {len(ids):,} item ids but {len(vectors):,} vectors.")
        return cls(path, ids, vectors, present)

    def of(self, item_ids: Sequence[str]) -> ItemVectors:
        """The vectors of a dataset's items, in its order.

        Raises:
            DataError: the file does not match the items.
        """
        found = self.some_of(item_ids)
        if not found.present.any():
            raise DataError(
                f"{self.path} has no vector for any item of the dataset{self._examples(item_ids)}; check "
                "its item ids."
            )
        return found

    def some_of(self, item_ids: Sequence[str]) -> ItemVectors:
        """As `of`, but possibly without a vector for any of the items."""
        vectors, present = self.vectors, self.present
        if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or not vectors.shape[1]:
            raise DataError(
                f"The vectors in {self.path} have shape {vectors.shape} and type {vectors.dtype}; "
                "they must be numbers with one row per item."
            )
        if self.ids is None and len(vectors) != len(item_ids):
            raise DataError(
                f"{self.path} has {len(vectors):,} rows in the order of the item table, but the "
                f"dataset has {len(item_ids):,} items; add an item_id to each row."
            )
        if present.shape != (len(vectors),):
            raise DataError(
                f"`present` in {self.path} must have one value for each row of `features`."
            )
        present = to_booleans(pd.Series(present, name=PRESENT), str(self.path))
        if self.ids is not None:
            place = self._index.get_indexer(pd.Index(item_ids))  # (n_items,), −1 for none
            present = np.where(place >= 0, present[place], False)
            vectors = vectors[place]
        vectors = vectors.astype(np.float32)
        if not np.isfinite(vectors[present]).all():
            row = int(np.flatnonzero(present)[~np.isfinite(vectors[present]).all(1)][0])
            raise DataError(
                f"The vector of item '{shown(item_ids[row])}' in {self.path} is not finite."
            )
        return ItemVectors(np.where(present[:, None], vectors, np.float32(0)), present)

    def coverage(self, item_ids: Sequence[str]) -> str:
        """Describe items without a vector and vectors without an item; "" if there are none.

        Args:
            item_ids: of a dataset, as in `of`.
        """
        known = self.some_of(item_ids).present
        missing = np.flatnonzero(~known)
        parts = []
        if missing.size:
            parts.append(
                f"{missing.size:,} of {len(known):,} items have no vector in {self.path}, such as "
                f"'{shown(item_ids[missing[0]])}'"
            )
        others = [] if self.ids is None else self._index.difference(pd.Index(item_ids))
        if len(others):
            parts.append(
                f"{len(others):,} vectors in {self.path} belong to no item, such as that of "
                f"'{shown(others[0])}'"
            )
        return "; ".join(parts) + "." if parts else ""

    def part(self, item_ids: Sequence[str]) -> "VectorFile":
        """The vectors of some items, as a smaller file with ids."""
        found = self.some_of(item_ids)
        ids = np.array(item_ids, object)[found.present].tolist()
        values = found.values[found.present]
        return VectorFile(self.path, ids, values, np.ones(len(ids), bool))

    def _examples(self, item_ids: Sequence[str]) -> str:
        if not self.ids or not len(item_ids):
            return ""
        return f" (it has '{shown(self.ids[0])}', the item table '{shown(item_ids[0])}')"

    @cached_property
    def _index(self) -> pd.Index:
        index = pd.Index(self.ids)
        if index.has_duplicates:
            twice = index[index.duplicated()][0]
            raise DataError(f"{self.path} has two vectors for item '{shown(twice)}'; keep one.")
        return index


def load_vectors(
    path: Path, item_ids: Sequence[str], say: Callable[[str], None] = warnings.warn
) -> ItemVectors:
    """Read a file (see `VectorFile`) and sort its vectors in the order of a dataset's items.

    Args:
        path: the file.
        item_ids: of the dataset, in its order.
        say: called with a message if some items have no vector, or some vectors no item.
    """
    file = VectorFile.read(path)
    found, message = file.of(item_ids), file.coverage(item_ids)
    if message:
        say(message)
    return found


def parse_named_files(texts: Iterable[str]) -> dict[str, Path]:
    """Parse several `name=FILE`; returns the paths by name.

    Raises:
        ConfigError: one has another form, or a name is repeated.
    """
    pairs = [parse_named_file(text) for text in texts]
    files = dict(pairs)
    if len(files) < len(pairs):
        raise ConfigError("Two --features have the same name; give each its own.")
    return files


def parse_named_file(text: str) -> tuple[str, Path]:
    """Parse `name=FILE`; returns name and path.

    Raises:
        ConfigError: the text has another form, or the name is invalid.
    """
    name, mark, path = text.partition("=")
    if not mark or not path or not name.replace("_", "").replace("-", "").isalnum():
        raise ConfigError(
            f"{shown(text)!r} must have the form name=FILE, as in clip=clip.safetensors."
        )
    return name, Path(path)


_Parts = tuple[list[str] | None, np.ndarray, np.ndarray]
"""`ids`, `vectors` and `present` of a `VectorFile`."""


def _safetensors(path: Path) -> _Parts:
    with safe_open(path, "np") as file:
        names = list(file.keys())
        id_list = (file.metadata() or {}).get(ITEM_IDS)
        kinds = {name: file.get_slice(name).get_dtype() for name in names}
        arrays = {name: file.get_tensor(name) for name in names if kinds[name] in _NUMPY_TYPES}
    arrays |= _other_types(path, {name: kinds[name] for name in names if name not in arrays})
    # Without a list of ids, "x" is the id of an item.
    name = EXPORTED if id_list is not None and EXPORTED in arrays else FEATURES
    if name in arrays:
        vectors = arrays[name]
        ids = None if id_list is None else ids_of_json(id_list, str(path))
        return ids, vectors, arrays.get(PRESENT, _all_present(vectors))
    sizes = {values.shape for values in arrays.values()}
    if len(sizes) != 1:
        raise DataError(
            f"{path} has no `features`, and its tensors differ in shape; give one vector for each item, "
            "all of the same size."
        )
    if EXPORTED in arrays and arrays[EXPORTED].ndim == 2:
        raise DataError(
            f"{path} has no item ids, as the files inside a bundle; write vectors with ids by `python -m "
            "tpad export BUNDLE --embeddings FILE`."
        )
    vectors = np.stack([arrays[name] for name in names])
    return to_ids(names, str(path)).tolist(), vectors, np.ones(len(names), bool)


def _all_present(vectors: np.ndarray) -> np.ndarray:
    return np.ones(len(vectors) if vectors.ndim else 0, bool)


def _other_types(path: Path, kinds: dict[str, str]) -> dict[str, np.ndarray]:
    """Tensors of types that NumPy does not have, such as bfloat16, as float32."""
    if not kinds:
        return {}
    arrays = {}
    with safe_open(path, "pt") as file:
        for name, kind in kinds.items():
            try:
                if kind.startswith("C"):  # complex: a part would be lost
                    raise TypeError(kind)
                arrays[name] = file.get_tensor(name).float().numpy()
            except (SafetensorError, RuntimeError, TypeError, NotImplementedError) as error:
                raise DataError(
                    f"The tensor '{shown(name)}' in {path} has the unsupported type {kind}; "
                    "save it as float16 or float32."
                ) from error
    return arrays


def _npz(path: Path) -> _Parts:
    with zipfile.ZipFile(path) as packed:
        unpacked = sum(part.file_size for part in packed.infolist())
    refuse_unpacking(path, unpacked, "arrays")
    with np.load(path, allow_pickle=False) as file:
        if FEATURES not in file:
            raise DataError(
                f"{path} has no array `features`; it has {shown(', '.join(file.files))}."
            )
        vectors = _unpickled(lambda: file[FEATURES], path, FEATURES)
        present = _all_present(vectors)
        if PRESENT in file:
            present = _unpickled(lambda: file[PRESENT], path, PRESENT)
        if Columns.ITEM_ID not in file:
            return None, vectors, present
        names = _unpickled(lambda: file[Columns.ITEM_ID], path, Columns.ITEM_ID)
    return to_ids(names.reshape(-1), str(path)).tolist(), vectors, present


def _npy(path: Path) -> _Parts:
    vectors = _unpickled(lambda: np.load(path, allow_pickle=False), path, FEATURES)
    return None, vectors, _all_present(vectors)


def _unpickled(read: Callable[[], np.ndarray], path: Path, name: str) -> np.ndarray:
    """An array; a `DataError` if it contains Python objects, which would have to be unpickled."""
    try:
        return read()
    except ValueError as error:
        if not str(error).startswith("Object arrays"):
            raise
        kind = {Columns.ITEM_ID: "str", PRESENT: "bool"}.get(name, "np.float32")
        raise DataError(
            f"The array `{name}` in {path} holds Python objects (dtype=object), which are not read; "
            f"save it with .astype({kind})."
        ) from error


def _parquet(path: Path) -> _Parts:
    frame = read_parquet(path)
    if Columns.ITEM_ID not in frame:
        raise DataError(f"{path} has no column item_id; add it.")
    ids = to_ids(frame[Columns.ITEM_ID], path.name).tolist()
    known = np.ones(len(frame), bool)
    if PRESENT in frame:
        known = to_booleans(frame[PRESENT], path.name)
    rest = frame.drop(columns=[Columns.ITEM_ID, PRESENT], errors="ignore")
    if rest.shape[1] != 1 or not pd.api.types.is_object_dtype(rest.dtypes.iloc[0]):
        return ids, _numbers(rest, path), known
    column = rest.iloc[:, 0]
    known = known & column.notna().to_numpy()
    sizes = {np.shape(vector) for vector in column[known]}
    if len(sizes) != 1:
        raise DataError(f"The vectors in column {shown(rest.columns[0])} of {path} differ in size.")
    vectors = np.zeros((len(frame), *sizes.pop()), np.float32)
    vectors[known] = np.stack(column[known].to_list())
    return ids, vectors, known


def _numbers(frame: pd.DataFrame, path: Path) -> np.ndarray:
    """(n, d) from one column per dimension; NaN for missing values."""
    for name, kind in frame.dtypes.items():
        if not pd.api.types.is_numeric_dtype(kind):
            raise DataError(
                f"The column {shown(name)} of {path} holds no numbers; keep item_id, present and one "
                "column per dimension, or one column of vectors."
            )
    return frame.to_numpy(dtype=float, na_value=np.nan)

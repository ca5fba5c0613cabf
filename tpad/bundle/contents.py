"""Reads the parts of a bundle: only listed files, with one clear message for every error."""

import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from tpad.bundle.files import inside, list_all, safe_path
from tpad.data.columns import Columns
from tpad.data.dataset import Dataset
from tpad.data.parquet_table import refuse_bomb
from tpad.errors import BundleError, TpadError, one_line

AGAIN = "train or download the bundle again"
ROWS_PER_BYTE = 10  # maximum rows of a table per byte of its file
_TEXTS = (
    Columns.ITEM_ID,
    Columns.TITLE,
    Columns.DESCRIPTION,
    Columns.CATEGORY,
    Columns.IMAGE,
)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any error in the block into a `BundleError` that names the file.

    Args:
        path: the file or folder that is read.
    """
    try:
        yield
    except BundleError:
        raise
    except TpadError as error:
        raise BundleError(f"{path} cannot be used: {one_line(error)}; {AGAIN}.") from error
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of a Rust library is not an Exception
        raise BundleError(f"{path} is damaged ({one_line(error)}); {AGAIN}.") from error


def read_json(path: Path) -> Any:
    """Read a JSON file that contains no NaN, infinity or invalid text.

    Raises:
        OSError, ValueError, RecursionError: the file cannot be read or is invalid.
    """
    value = json.loads(path.read_text("utf-8"), parse_constant=_reject_constant)
    json.dumps(value, ensure_ascii=False).encode()  # raises an error for lone surrogates
    return value


def _reject_constant(name: str) -> None:
    raise ValueError(f"JSON has no number {name}")


class ListedFiles:
    """The files of a bundle that may be opened.

    Args:
        folder: folder of the bundle.
        names: relative paths that `bundle.json` lists; None for all files of the folder.
    """

    def __init__(self, folder: Path, names: Collection[str] | None) -> None:
        self.folder, self.names = folder, names

    def file(self, name: str) -> Path:
        """The path of a file.

        Raises:
            BundleError: the file is not listed, is missing, or is a link to outside the bundle.
        """
        path = safe_path(self.folder, name)
        if self.names is not None and name not in self.names:
            raise BundleError(f"{path} is not listed in bundle.json, so it is not opened; {AGAIN}.")
        if not path.is_file():
            raise BundleError(f"{path} is missing; {AGAIN}.")
        if not inside(self.folder, path):
            raise BundleError(f"{path} is a link that leads out of the bundle; put the file there.")
        return path

    def has(self, name: str) -> bool:
        """Whether the file exists, listed or not."""
        return safe_path(self.folder, name).exists()

    def checked_folder(self, name: str) -> Path:
        """The path of a folder in which all files may be opened, for libraries that read folders.

        Raises:
            BundleError: the folder is missing, or contains a file that may not be opened.
        """
        path = safe_path(self.folder, name)
        if not path.is_dir():
            raise BundleError(f"{path} is missing; {AGAIN}.")
        for found in list_all(self.folder, name):
            self.file(found)
        return path


def read_dataset(folder: Path, facts: dict[str, Any], names: Collection[str]) -> Dataset:
    """Read and check items and sessions.

    Args:
        folder: folder of the bundle.
        facts: the entry "dataset" of `bundle.json`.
        names: the files that `bundle.json` lists.

    Raises:
        BundleError: a table is damaged, or a picture is not listed.
    """
    listed, root = ListedFiles(folder, names), facts.get("image_root") or ""
    for name in ("items.parquet", "sessions.parquet"):
        path = listed.file(name)
        with reading(path):
            rows = pq.read_metadata(path).num_rows
        if rows > ROWS_PER_BYTE * path.stat().st_size:
            raise BundleError(
                f"{path} claims to have {rows:,} rows, which do not fit in it; {AGAIN}."
            )
        with reading(path):
            refuse_bomb(path)
    images = safe_path(folder, root) if root else folder
    with reading(folder / "items.parquet and sessions.parquet"):
        dataset = Dataset.load_saved(folder, image_root=images)
    with reading(folder / "items.parquet"):
        _check_items(folder / "items.parquet", dataset.items)
    if dataset.n_items != facts["n_items"]:
        raise BundleError(
            f"{folder / 'items.parquet'} has {dataset.n_items} items, but bundle.json says "
            f"{facts['n_items']}; train the bundle again."
        )
    _check_pictures(listed, root, dataset.items[Columns.IMAGE])
    return dataset


def _check_items(path: Path, items: pd.DataFrame) -> None:
    for column in _TEXTS:
        values = items[column].tolist()
        row = next((row for row, value in enumerate(values) if not _is_text(value)), None)
        if row is not None:
            raise BundleError(f"{path} has no valid text in row {row + 1} of '{column}'; {AGAIN}.")
    ids = items[Columns.ITEM_ID]
    if not ids.is_unique or ids.eq("").any():
        raise BundleError(f"{path} has an empty or repeated item_id; {AGAIN}.")
    if items[Columns.PRICE].dtype != np.float64 or np.isinf(items[Columns.PRICE]).any():
        raise BundleError(f"{path} has a 'price' that is not a number; {AGAIN}.")


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # a lone surrogate
        return False


def _check_pictures(listed: ListedFiles, root: str, images: Sequence[str]) -> None:
    """Check that all existing pictures of the item table are listed."""
    for image in dict.fromkeys(images):
        name = os.path.normpath(f"{root}/{image}" if root else image).replace(os.sep, "/")
        if not image or "\0" in name or listed.names is None or name in listed.names:
            continue
        if os.path.lexists(listed.folder / name):
            raise BundleError(
                f"{listed.folder / name} is a picture of {listed.folder / 'items.parquet'} that is "
                f"not listed in bundle.json; {AGAIN}."
            )

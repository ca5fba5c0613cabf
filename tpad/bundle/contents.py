"""Reading the parts of a bundle: only what it lists, and every fault as one sentence."""

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
ROWS_PER_BYTE = 10  # most rows of a table, for each byte of its file
_TEXTS = (
    Columns.ITEM_ID,
    Columns.TITLE,
    Columns.DESCRIPTION,
    Columns.CATEGORY,
    Columns.IMAGE,
)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong in reading a part of a bundle becomes a BundleError that names the file.

    Args:
        path: of the file or folder that is read.
    """
    try:
        yield
    except BundleError:
        raise
    except TpadError as error:
        raise BundleError(f"{path} cannot be used: {one_line(error)}; {AGAIN}.") from error
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # damaged files make Rust libraries panic, which is no Exception
        raise BundleError(f"{path} is damaged ({one_line(error)}); {AGAIN}.") from error


def read_json(path: Path) -> Any:
    """A JSON file without NaN, infinity and broken text.

    Raises:
        OSError, ValueError, RecursionError: it is no such file.
    """
    value = json.loads(path.read_text("utf-8"), parse_constant=_no_number)
    json.dumps(value, ensure_ascii=False).encode()  # refuses halves of characters
    return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


class Listed:
    """The files of a bundle that may be opened.

    Args:
        folder: of the bundle.
        names: relative paths that `bundle.json` lists; None for all that lie in the folder.
    """

    def __init__(self, folder: Path, names: Collection[str] | None) -> None:
        self.folder, self.names = folder, names

    def file(self, name: str) -> Path:
        """The path of a file.

        Raises:
            BundleError: it is not listed, missing, or leads out of the bundle.
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
        """Whether there is such a file, listed or not."""
        return safe_path(self.folder, name).exists()

    def whole(self, name: str) -> Path:
        """The path of a folder that a library reads, of which every file may be opened.

        Raises:
            BundleError: it is missing, or holds a file that may not be opened.
        """
        path = safe_path(self.folder, name)
        if not path.is_dir():
            raise BundleError(f"{path} is missing; {AGAIN}.")
        for found in list_all(self.folder, name):
            self.file(found)
        return path


def read_dataset(folder: Path, facts: dict[str, Any], names: Collection[str]) -> Dataset:
    """Items and sessions, checked.

    Args:
        folder: of the bundle.
        facts: what `bundle.json` says of the dataset.
        names: the files that it lists.

    Raises:
        BundleError: a table is damaged, or a picture is there that is not listed.
    """
    listed, root = Listed(folder, names), facts.get("image_root") or ""
    for name in ("items.parquet", "sessions.parquet"):
        path = listed.file(name)
        with reading(path):
            rows = pq.read_metadata(path).num_rows
        if rows > ROWS_PER_BYTE * path.stat().st_size:
            raise BundleError(f"{path} claims {rows:,} rows, more than it can hold; {AGAIN}.")
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
            raise BundleError(f"{path} holds no text in '{column}' of row {row + 1}; {AGAIN}.")
    ids = items[Columns.ITEM_ID]
    if not ids.is_unique or ids.eq("").any():
        raise BundleError(f"{path} has an empty item_id, or one twice; {AGAIN}.")
    if items[Columns.PRICE].dtype != np.float64 or np.isinf(items[Columns.PRICE]).any():
        raise BundleError(f"{path} holds what is no number in 'price'; {AGAIN}.")


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # half of a character
        return False


def _check_pictures(listed: Listed, root: str, images: Sequence[str]) -> None:
    """Pictures are opened by the names in the table, so each that is there must be listed."""
    for image in dict.fromkeys(images):
        name = os.path.normpath(f"{root}/{image}" if root else image).replace(os.sep, "/")
        if not image or "\0" in name or listed.names is None or name in listed.names:
            continue
        if os.path.lexists(listed.folder / name):
            raise BundleError(
                f"{listed.folder / name} is a picture of {listed.folder / 'items.parquet'} that is "
                f"not listed in bundle.json; {AGAIN}."
            )

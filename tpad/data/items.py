"""The item table: reading, checking and mending it."""

from pathlib import Path

import numpy as np
import pandas as pd

from tpad.data.columns import Columns
from tpad.data.ids import to_ids
from tpad.data.images import find_faults
from tpad.data.report import ReportBuilder
from tpad.data.tables import read_table, require_columns, to_numbers, to_text
from tpad.errors import DataError, shown

BARE = "item without title and image"  # what a report calls it
TEXT_COLUMNS = (Columns.TITLE, Columns.DESCRIPTION, Columns.CATEGORY, Columns.IMAGE)
ITEM_COLUMNS = (
    Columns.ITEM_ID,
    Columns.TITLE,
    Columns.DESCRIPTION,
    Columns.CATEGORY,
    Columns.PRICE,
    Columns.IMAGE,
)


def read_items(
    source: str | Path | pd.DataFrame,
    report: ReportBuilder,
    image_root: str | Path | None = None,
) -> pd.DataFrame:
    """Read an item table and bring it into the standard form.

    Rows without an id and repeated ids are left out (the first of them stays). A price that is
    negative or no number becomes NaN; a picture that is not there, or outside the folder, becomes
    "". Pictures are not decoded here: see `tpad.data.dataset.check_images`.

    Args:
        source: path of a CSV or Parquet table, or a frame of the same columns.
        report: counts what was left out or mended.
        image_root: folder that the `image` column is relative to; by default the table's own.
            For a frame without it, pictures are not looked for.

    Returns:
        RangeIndex; `ITEM_COLUMNS` first (all but price are str, "" is missing; price is float64,
        NaN is missing), then the table's further columns.

    Raises:
        DataError: the file is no table, has no `item_id`, or neither `title` nor `image`.
    """
    before = len(report)
    if isinstance(source, pd.DataFrame):
        name, frame = "the item table", source.copy()
        frame.index = pd.RangeIndex(1, len(frame) + 1)
    else:
        name, frame = Path(source).name, read_table(source, report)
        image_root = Path(source).parent if image_root is None else image_root
    frame = standard_items(frame, name, report, image_root)
    if frame.empty:
        raise DataError(
            f"{name} has no row with an item_id ({report.evidence(before)}); fill that column."
        )
    return frame


def standard_items(
    frame: pd.DataFrame, name: str, report: ReportBuilder, image_root: str | Path | None
) -> pd.DataFrame:
    """Rows of an item table in the standard form; all as in `read_items`.

    Args:
        frame: rows as `read_table` gives them, or some of them.
        name: the table's, for messages.
    """
    require_item_columns(list(frame.columns), name)
    frame[Columns.ITEM_ID] = to_ids(frame[Columns.ITEM_ID], name)
    for column in TEXT_COLUMNS:
        present = column in frame.columns
        text = to_text(frame[column], name) if present else pd.Series("", frame.index, "str")
        frame[column] = text

    frame = _unique_ids(frame, name, report)
    frame[Columns.PRICE] = _prices(frame, name, report)
    if image_root is not None:
        _clear_missing_images(frame, name, Path(image_root), report)
    bare = ((frame[Columns.TITLE] == "") & (frame[Columns.IMAGE] == "")).to_numpy(dtype=bool)
    report.error(
        BARE,
        "the item is kept, though little can be known of it",
        _rows(frame, bare, name),
        int(bare.sum()),
    )
    further = [column for column in frame.columns if column not in ITEM_COLUMNS]
    return frame[[*ITEM_COLUMNS, *further]].reset_index(drop=True)


def require_item_columns(columns: list[str], name: str) -> None:
    """Raise a `DataError` if an item table lacks a column that it needs."""
    require_columns(pd.DataFrame(columns=columns), [Columns.ITEM_ID], name)
    if Columns.TITLE not in columns and Columns.IMAGE not in columns:
        raise DataError(
            f"{name} has neither a column '{Columns.TITLE}' nor '{Columns.IMAGE}'; add one of them."
        )


def _unique_ids(frame: pd.DataFrame, name: str, report: ReportBuilder) -> pd.DataFrame:
    ids = frame[Columns.ITEM_ID]
    missing = (ids == "").to_numpy(dtype=bool)
    report.error(
        "missing item_id",
        "the item is left out",
        (f"{name} row {row}" for row in frame.index[missing]),
        int(missing.sum()),
    )
    repeated = ids.duplicated().to_numpy(dtype=bool) & ~missing
    report.error(
        "duplicate item_id",
        "the first row is kept",
        _rows(frame, repeated, name),
        int(repeated.sum()),
    )
    return frame[~missing & ~repeated].copy()


def _prices(frame: pd.DataFrame, name: str, report: ReportBuilder) -> np.ndarray:
    """(n,) float64, NaN where missing or not usable."""
    if Columns.PRICE not in frame.columns:
        return np.full(len(frame), np.nan)
    prices, unreadable = to_numbers(frame[Columns.PRICE])
    negative = prices < 0
    for reason, bad in (("price is no number", unreadable), ("negative price", negative)):
        report.error(reason, "the price counts as missing", _rows(frame, bad, name), int(bad.sum()))
    prices[negative] = np.nan
    return prices


def _clear_missing_images(
    frame: pd.DataFrame, name: str, image_root: Path, report: ReportBuilder
) -> None:
    """Empty the `image` field where there is no such file inside the folder."""
    faults = find_faults(image_root, frame[Columns.IMAGE].tolist(), decode=False)
    report.error(
        "missing image",
        "the item counts as one without image",
        (f"{name} row {frame.index[i]}: {sentence}" for i, sentence in faults.items()),
        len(faults),
    )
    frame.iloc[list(faults), frame.columns.get_loc(Columns.IMAGE)] = ""


def _rows(frame: pd.DataFrame, bad: np.ndarray, name: str):
    """Examples that name the row and its item."""
    ids = frame[Columns.ITEM_ID]
    return (
        f"{name} row {frame.index[i]} (item '{shown(ids.iloc[i])}')" for i in np.flatnonzero(bad)
    )

"""Reads, checks and repairs the item table."""

from pathlib import Path

import numpy as np
import pandas as pd

from tpad.data.columns import Columns
from tpad.data.ids import to_ids
from tpad.data.images import find_invalid_images
from tpad.data.report import ReportBuilder
from tpad.data.tables import read_table, require_columns, to_numbers, to_text
from tpad.errors import DataError, shown

NO_CONTENT = "item without title, image and description"  # reason in a report
CONTENT_COLUMNS = (Columns.TITLE, Columns.IMAGE, Columns.DESCRIPTION)  # one of them is needed
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
    """Read an item table and convert it to the standard form.

    Rows without an id are skipped, and so are rows that repeat an earlier id. A price that is
    negative or not a number becomes NaN; a picture that does not exist, or lies outside the folder,
    becomes "". Pictures are not decoded here: see `tpad.data.dataset.check_images`.

    Args:
        source: path of a CSV or Parquet table, or a frame with the same columns.
        report: counts the rows that are skipped or repaired.
        image_root: folder that the `image` column is relative to; by default the folder of the
            table. For a frame without `image_root`, pictures are not checked.

    Returns:
        RangeIndex; `ITEM_COLUMNS` first (price is float64 with NaN for missing, the others are str
        with "" for missing), then the further columns of the table.

    Raises:
        DataError: the file is not a table, has no `item_id`, or none of `CONTENT_COLUMNS`.
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
    """Convert rows of an item table to the standard form, as `read_items` does.

    Args:
        frame: all rows that `read_table` returns, or some of them.
        name: name of the table, for messages.
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
    no_content = (frame[list(CONTENT_COLUMNS)] == "").all(axis=1).to_numpy(dtype=bool)
    report.error(
        NO_CONTENT,
        "the item is kept, although little is known about it",
        _rows(frame, no_content, name),
        int(no_content.sum()),
    )
    further = [column for column in frame.columns if column not in ITEM_COLUMNS]
    return frame[[*ITEM_COLUMNS, *further]].reset_index(drop=True)


def require_item_columns(columns: list[str], name: str) -> None:
    """Raise a `DataError` if an item table lacks a column that it needs."""
    require_columns(pd.DataFrame(columns=columns), [Columns.ITEM_ID], name)
    if not set(CONTENT_COLUMNS) & set(columns):
        raise DataError(
            f"{name} has neither a column '{Columns.TITLE}' nor '{Columns.IMAGE}' nor "
            f"'{Columns.DESCRIPTION}'; add one of them."
        )


def _unique_ids(frame: pd.DataFrame, name: str, report: ReportBuilder) -> pd.DataFrame:
    ids = frame[Columns.ITEM_ID]
    missing = (ids == "").to_numpy(dtype=bool)
    report.error(
        "missing item_id",
        "the item is skipped",
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
    """(n,) float64, NaN if missing or invalid."""
    if Columns.PRICE not in frame.columns:
        return np.full(len(frame), np.nan)
    prices, unreadable = to_numbers(frame[Columns.PRICE])
    negative = prices < 0
    for reason, bad in (("price is not a number", unreadable), ("negative price", negative)):
        report.error(
            reason, "the price is treated as missing", _rows(frame, bad, name), int(bad.sum())
        )
    prices[negative] = np.nan
    return prices


def _clear_missing_images(
    frame: pd.DataFrame, name: str, image_root: Path, report: ReportBuilder
) -> None:
    """Clear the `image` field if there is no such file inside the folder."""
    invalid = find_invalid_images(image_root, frame[Columns.IMAGE].tolist(), decode=False)
    report.error(
        "missing image",
        "the item is used without its image",
        (f"{name} row {frame.index[i]}: {sentence}" for i, sentence in invalid.items()),
        len(invalid),
    )
    frame.iloc[list(invalid), frame.columns.get_loc(Columns.IMAGE)] = ""


def _rows(frame: pd.DataFrame, bad: np.ndarray, name: str):
    """Examples for a report, each with the row number and the item."""
    ids = frame[Columns.ITEM_ID]
    return (
        f"{name} row {frame.index[i]} (item '{shown(ids.iloc[i])}')" for i in np.flatnonzero(bad)
    )

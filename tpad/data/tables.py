"""Reads a CSV or Parquet table, and converts its columns to text, numbers and booleans.

Types are not guessed from the values: every CSV cell is read as text, so that the id "007" stays "007"
and "NA" stays "NA". The index of a frame holds the row numbers as a person counts them: the header of a
CSV file is row 1 (blank lines do not count), and so is the first row of a Parquet file.

`tpad.data.ids` converts ids, and `tpad.data.times` converts times.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tpad.data.report import ReportBuilder
from tpad.data.table_stream import table_frames
from tpad.errors import DataError, shown
from tpad.io.texts import half_character

_TRUE, _FALSE = ("true", "1", "1.0"), ("false", "0", "0.0", "")


def read_table(path: str | Path, report: ReportBuilder) -> pd.DataFrame:
    """Read a UTF-8 CSV (comma or tab, with a header) or a Parquet file.

    Args:
        path: the file; its content decides the format, not its name.
        report: counts the rows with too many or too few fields; these rows are skipped.

    Returns:
        The table, indexed by row number; all columns of a CSV file are text.

    Raises:
        DataError: the file does not exist, is empty, damaged, not UTF-8, or of another format.
    """
    return pd.concat(list(table_frames(Path(path), report)))


def require_columns(frame: pd.DataFrame, columns: list[str], name: str) -> None:
    """Raise a `DataError` for the first of `columns` that is missing in the table `name`."""
    for column in columns:
        if column not in frame.columns:
            present = ", ".join(shown(name) for name in frame.columns[:12])
            raise DataError(
                f"{name} has no column '{column}' (it has: {present}); add or rename the column."
            )


def to_text(column: pd.Series, table: str = "The table") -> pd.Series:
    """Convert to text without surrounding spaces; missing becomes "", and 1.0 becomes "1".

    Args:
        column: the values, indexed by row number.
        table: name of the table, for errors.

    Raises:
        DataError: a value is a list or another collection, or not valid UTF-8.
    """
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy(dtype=float, na_value=np.nan)
        whole = np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2**53)
        text = pd.Series(values, index=column.index).astype(str)
        text[whole] = pd.Series(values[whole].astype(np.int64), index=text.index[whole]).astype(str)
        text[np.isnan(values)] = ""
        return text
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if column.dtype == object:
        column = _all_text(column, table)
    missing = column.isna()
    return column.astype("str").mask(missing, "").str.strip()


def to_numbers(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Parse numbers.

    Returns:
        values: (n,) float64, NaN if missing or unreadable.
        unreadable: (n,) bool, True if the value is neither missing nor a finite number.
    """
    if pd.api.types.is_numeric_dtype(column.dtype) and column.dtype != bool:
        values = column.to_numpy(dtype=float, na_value=np.nan).copy()
        unreadable = np.isinf(values)
    else:
        text = to_text(column)
        values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=float, na_value=np.nan).copy()
        unreadable = (text != "").to_numpy(dtype=bool) & ~np.isfinite(values)
    values[unreadable] = np.nan
    return values, unreadable


def to_booleans(column: pd.Series, table: str) -> np.ndarray:
    """Parse true and false (in any case) or 1 and 0; missing values are false: (n,) bool.

    Args:
        column: the values, indexed by row number.
        table: name of the table, for errors.

    Raises:
        DataError: there is another value.
    """
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.fillna(False).to_numpy(bool)
    text = to_text(column, table).str.lower()
    wrong = np.flatnonzero(~text.isin((*_TRUE, *_FALSE)))
    if wrong.size:
        raise DataError(
            f"{table} row {column.index[wrong[0]]} has '{shown(column.iloc[wrong[0]])}' in the column "
            f"{shown(column.name)}; write true or false (or 1 or 0)."
        )
    return text.isin(_TRUE).to_numpy(bool)


def _all_text(column: pd.Series, table: str) -> pd.Series:
    """Convert a column of objects to text; missing values stay."""
    try:
        return column.map(_as_text, na_action="ignore").astype("str")
    except (TypeError, UnicodeError):
        for row, value in column.items():
            where = f"{table} row {row} holds"
            what = f"in the column {shown(column.name)}"
            try:
                if not _is_missing(value):
                    _as_text(value).encode()
            except TypeError:
                kind = type(value).__name__
                raise DataError(
                    f"{where} a list or another collection ({kind}) {what}; give one text or number "
                    "in each row."
                ) from None
            except UnicodeEncodeError as error:  # possible only in a frame made in Python
                raise DataError(
                    f"{where} {half_character(error)} {what}; remove it or write the whole character."
                ) from None
            except UnicodeDecodeError:
                raise DataError(f"{where} text {what} that is not UTF-8; correct it.") from None
        raise


def _as_text(value: Any) -> str:
    if isinstance(value, (list, tuple, dict, set, np.ndarray)):
        raise TypeError
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _is_missing(value: Any) -> bool:
    return np.ndim(value) == 0 and bool(pd.isna(value))

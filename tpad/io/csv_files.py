"""Writes CSV that is safe to open in a spreadsheet: no cell is interpreted as a formula.

Spreadsheets execute a cell that begins with "=", "+", "-", "@" or a control character. Such text is
prefixed with an apostrophe, as OWASP advises; numbers do not change. `original_cell` removes the
apostrophe.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import IO, Any, Literal

import pandas as pd

from tpad.io.texts import checked_text

_MARK = "'"
_FORMULA = re.compile(r"[\s']*[=+\-@＝＋－＠]|'*[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def safe_cell(value: Any) -> Any:
    """The value, prefixed with an apostrophe if it is text that could start a formula."""
    if not isinstance(value, str) or not _FORMULA.match(value) or _NUMBER.fullmatch(value):
        return value
    return _MARK + value


def original_cell(text: str) -> str:
    """The inverse of `safe_cell`."""
    marked = text.startswith(_MARK) and _FORMULA.match(text, 1)
    return text[1:] if marked else text


def csv_text(frame: pd.DataFrame, *, index: bool = False) -> str:
    """Format a table as CSV with a header, commas and "\\n".

    Args:
        frame: the table; text in cells, header and index is made safe.
        index: write the index as the first columns.

    Raises:
        DataError: a text contains half of a surrogate pair, which UTF-8 cannot represent.
    """
    frame = frame.reset_index() if index else frame
    columns = [_safe_column(column) for _, column in frame.items()]
    made = pd.concat(columns, axis=1) if columns else frame.copy()
    made.columns = pd.Index([safe_cell(name) for name in frame.columns])
    texts = chain(made.columns, *(column for column in columns if column.dtype == object))
    text = made.to_csv(index=False, lineterminator="\n", quoting=_quoting(texts))
    return checked_text(text, "A text of the table")


def write_rows(file: IO[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a header and rows as CSV, one row at a time.

    Args:
        file: open for writing with `newline=""`.
        header: names of the columns.
        rows: cells of each row.
    """
    for row in chain([header], rows):
        cells = [safe_cell(cell) for cell in row]
        csv.writer(file, lineterminator="\n", quoting=_quoting(cells)).writerow(cells)


def _quoting(cells: Iterable[Any]) -> Literal[0, 2]:
    """Quote all text if there is a carriage return: in the minimal mode, `csv` would not quote it."""
    has_return = any(isinstance(cell, str) and "\r" in cell for cell in cells)
    return csv.QUOTE_NONNUMERIC if has_return else csv.QUOTE_MINIMAL


def _safe_column(column: pd.Series) -> pd.Series:
    kinds = pd.api.types
    if kinds.is_numeric_dtype(column.dtype) or kinds.is_datetime64_any_dtype(column.dtype):
        return column
    return pd.Series([safe_cell(cell) for cell in column], column.index, object)

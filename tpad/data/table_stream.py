"""Streams a CSV or Parquet table of any length, a number of rows at a time.

`tpad.data.tables.read_table` joins the same parts, so both accept and refuse the same files.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from tpad.data.csv_table import csv_columns, csv_frames
from tpad.data.parquet_table import parquet_columns, parquet_frames
from tpad.data.report import ReportBuilder
from tpad.errors import DataError
from tpad.io.git_lfs import refuse_pointer


def table_frames(
    path: Path, report: ReportBuilder, columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """As `stream_table`, in parts of any size."""
    if is_parquet(path):
        return parquet_frames(path, columns)
    return csv_frames(path, report, columns)


def stream_table(
    path: str | Path, rows: int, report: ReportBuilder, columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Yield the frame that `read_table` returns, in parts of `rows` rows (the last may be shorter).

    Args:
        path: a UTF-8 CSV (comma or tab, with a header) or a Parquet file.
        rows: number of rows of one part.
        report: counts the rows with too many or too few fields, after the last part; these rows are
            skipped.
        columns: columns to read; all by default. Names that the table does not have are ignored.

    Raises:
        DataError: as in `read_table`; some errors are found only while reading.
    """
    waiting: list[pd.DataFrame] = []
    for part in table_frames(Path(path), report, columns):
        waiting.append(part)
        if sum(map(len, waiting)) < rows:
            continue
        joined = pd.concat(waiting)
        whole = len(joined) // rows * rows
        for start in range(0, whole, rows):
            yield joined.iloc[start : start + rows]
        waiting = [joined.iloc[whole:]] if whole < len(joined) else []
    if waiting:
        yield pd.concat(waiting)


def table_columns(path: str | Path) -> list[str]:
    """Names of the columns, in their order; errors as in `stream_table`."""
    path = Path(path)
    return parquet_columns(path) if is_parquet(path) else csv_columns(path)


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its content, not its name; a `DataError` if it cannot be read."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}; give the path of a CSV or Parquet table.")
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); check its permissions."
        ) from error
    refuse_pointer(path)
    if head != b"PAR1" and head and path.suffix.lower() in (".parquet", ".pq"):
        raise DataError(f"{path.name} is not a Parquet file; write it again, or name it .csv.")
    return head == b"PAR1"

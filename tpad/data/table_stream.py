"""Reading a CSV or Parquet table of any length, so many rows at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from tpad.data.report import ReportBuilder
from tpad.data.tables import checked_names, csv_names, delimiter_of, refuse_other_kinds
from tpad.errors import DataError

BLOCK = 1 << 24  # bytes of CSV read at once; no row may be longer
ROWS = 8192  # of Parquet read at once
_HEAD = 1 << 16  # bytes that the kind of file and the header are told from


def stream_table(
    path: str | Path, rows: int, report: ReportBuilder, columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """The frame that `read_table` gives, in pieces of `rows` rows (the last may be shorter).

    Args:
        path: a UTF-8 CSV (comma or tab, with a header) or a Parquet file.
        rows: of one piece.
        report: counts the rows that have too many or too few fields, once the last piece was given;
            they are left out.
        columns: those to read; all by default. Names that the table lacks are passed over.

    Raises:
        DataError: as `read_table` does, some of it only when the fault is reached.
    """
    path = Path(path)
    head = _head(path)
    is_parquet = head[:4] == b"PAR1"
    parts = _parquet(path, columns) if is_parquet else _csv(path, head, report, columns)
    waiting: list[pd.DataFrame] = []
    for part in parts:
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
    """Names of the columns, from the table's beginning; errors as in `stream_table`."""
    path = Path(path)
    head = _head(path)
    if head[:4] == b"PAR1":
        return _open_parquet(path).schema_arrow.names
    header = _header(head)
    return [name.strip() for name in csv_names(path, header, delimiter_of(header)) if name.strip()]


def _head(path: Path) -> bytes:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}; give the path of a CSV or Parquet table.")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its rights.") from error
    if not head.strip():
        raise DataError(f"{path.name} is empty; it needs a header row and at least one data row.")
    if head[:4] != b"PAR1":
        refuse_other_kinds(path, head[: head.rfind(b"\n") + 1] or head)
        if path.suffix.lower() in (".parquet", ".pq"):
            raise DataError(f"{path.name} is not a Parquet file; write it again, or name it .csv.")
    return head


def _header(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").split(b"\n", 1)[0]


def _open_parquet(path: Path) -> pa_parquet.ParquetFile:
    try:
        file = pa_parquet.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path) from error
    checked_names(file.schema_arrow.names, path)
    return file


def _parquet(path: Path, columns: Sequence[str] | None) -> Iterator[pd.DataFrame]:
    with _open_parquet(path) as file:
        names = [n for n in file.schema_arrow.names if columns is None or n in columns]
        number = 1
        try:
            for batch in file.iter_batches(ROWS, columns=names):
                frame = batch.to_pandas().reset_index(drop=True)
                frame.index = pd.RangeIndex(number, number + len(frame))
                number += len(frame)
                yield frame
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(path) from error


def _csv(
    path: Path, head: bytes, report: ReportBuilder, columns: Sequence[str] | None
) -> Iterator[pd.DataFrame]:
    header = _header(head)
    names = csv_names(path, header, delimiter_of(header))
    malformed: list[tuple[int, int, int]] = []  # row number, fields expected, fields found

    def on_invalid_row(row: pa_csv.InvalidRow) -> str:
        malformed.append((row.number, row.expected_columns, row.actual_columns))
        if row.text.count('"') % 2:
            raise _unclosed(path, row.number)
        return "skip"

    # Columns without a name are what spreadsheets leave at the right edge.
    wanted = [n for n in names if n.strip() and (columns is None or n.strip() in columns)]
    number, last = 2, ""
    try:
        reader = pa_csv.open_csv(
            path,
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=BLOCK),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter_of(header),
                newlines_in_values=True,
                invalid_row_handler=on_invalid_row,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), include_columns=wanted
            ),
        )
        for batch in reader:
            if not len(batch):
                continue
            frame = batch.to_pandas()
            frame.columns = [name.strip() for name in wanted]
            # Row numbers pass over the malformed ones.
            bad = [row for row, *_ in malformed if row >= number]
            numbers = np.setdiff1d(np.arange(number, number + len(frame) + len(bad)), bad)
            frame.index = pd.Index(numbers[: len(frame)])
            number = int(frame.index[-1]) + 1
            last = frame.iloc[-1, -1]
            yield frame
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise DataError(
                f"{path.name} is not UTF-8 (near row {number}); save it as UTF-8, for instance "
                "with `iconv -f LATIN1 -t UTF-8`."
            ) from error
        raise DataError(f"{path.name} is not a table that can be read: {error}.") from error
    # Only a quoted field can hold a line break, so a last field that does must end the file by '"'.
    if "\n" in last and not _tail(path).rstrip().endswith(b'"'):
        raise _unclosed(path, number - 1)
    report.error(
        "row with too many or too few fields",
        "the row is left out",
        (f"{path.name} row {row}: {found} fields, not {due}" for row, due, found in malformed),
        len(malformed),
    )


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _HEAD))
        return file.read()


def _damaged(path: Path) -> DataError:
    return DataError(f"{path.name} is a damaged Parquet file; write it again from its source.")


def _unclosed(path: Path, row: int) -> DataError:
    return DataError(
        f"{path.name} row {row} opens a quote that is never closed; "
        "close it, or double the quotes that belong to the text."
    )

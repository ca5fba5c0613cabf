"""Reading a CSV or Parquet table, and turning its columns into ids, prices and times.

Nothing is guessed from the values: every CSV cell is read as text, so that the id "007" stays
"007" and "NA" stays "NA". A frame's index holds the row numbers a person sees: in a CSV the header
is row 1 (blank lines are not counted), in a Parquet file the first row is row 1.
"""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from tpad.data.report import ReportBuilder
from tpad.errors import DataError
from tpad.texts import half_character

_LARGEST_BLOCK = 2**31 - 2  # pyarrow's limit for one block of CSV, in bytes
_LATEST_TIME = 100_000_000_000  # Unix seconds; the year 5138. Milliseconds of today are above it.
_ISO_TIME = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
_OTHER_KINDS = {
    b"PK\x03\x04": "an Excel workbook or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "gzip-compressed",
    b"BZh": "bzip2-compressed",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def read_table(path: str | Path, report: ReportBuilder) -> pd.DataFrame:
    """Read a UTF-8 CSV (comma or tab, with a header) or a Parquet file.

    Args:
        path: the file; its content decides how it is read, not its name.
        report: counts the rows that have too many or too few fields; they are left out.

    Returns:
        The table, indexed by row number; columns of a CSV are all text.

    Raises:
        DataError: there is no such file, it is empty, of another kind, or not UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}; give the path of a CSV or Parquet table.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its rights.") from error
    if not data.strip():
        raise DataError(f"{path.name} is empty; it needs a header row and at least one data row.")
    frame = _read_parquet(path, data) if data[:4] == b"PAR1" else _read_csv(path, data, report)
    if frame.empty:
        raise DataError(f"{path.name} has columns but no usable row; add at least one data row.")
    return frame


def require_columns(frame: pd.DataFrame, columns: list[str], name: str) -> None:
    """Raise a `DataError` that names the first of `columns` which the table `name` lacks."""
    for column in columns:
        if column not in frame.columns:
            present = ", ".join(map(str, frame.columns[:12]))
            raise DataError(
                f"{name} has no column '{column}' (it has: {present}); add or rename the column."
            )


def to_text(column: pd.Series) -> pd.Series:
    """Text without spaces around it; missing becomes "", and whole numbers lose their ".0"."""
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy(dtype=float, na_value=np.nan)
        whole = np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2**53)
        text = pd.Series(values, index=column.index).astype(str)
        text[whole] = pd.Series(values[whole].astype(np.int64), index=text.index[whole]).astype(str)
        text[np.isnan(values)] = ""
        return text
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    try:
        if column.dtype == object:
            column = column.map(_decoded, na_action="ignore")
        missing = column.isna()
        return column.astype("str").mask(missing, "").str.strip()
    except UnicodeEncodeError as error:  # only a frame made in Python can hold such a text
        raise DataError(
            f"Column '{column.name}' holds {half_character(error)}; remove it or write the whole "
            "character."
        ) from error


def to_numbers(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Parse numbers.

    Returns:
        values: (n,) float64, NaN where missing or unreadable.
        unreadable: (n,) bool, True where something is written that is no finite number.
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


def to_unix_seconds(column: pd.Series, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Parse timestamps: a number is Unix seconds; ISO 8601 dates are accepted as well.

    A fraction of a second is cut off. A date without an offset is taken as UTC.

    Args:
        column: the timestamps as read.
        name: the table's name, for the error.

    Returns:
        seconds: (n,) int64, 0 where unreadable.
        unreadable: (n,) bool, True also where nothing is written.

    Raises:
        DataError: the numbers are too large for seconds, as milliseconds are.
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        values = _datetime_seconds(column)
    else:
        values, _ = to_numbers(column)
        if not pd.api.types.is_numeric_dtype(column.dtype):
            text = to_text(column)
            dates = np.isnan(values) & text.str.fullmatch(_ISO_TIME).to_numpy(dtype=bool)
            if dates.any():
                parsed = pd.to_datetime(text[dates], format="ISO8601", utc=True, errors="coerce")
                values[dates] = _datetime_seconds(parsed)
    known = values[~np.isnan(values)]
    if known.size and np.median(known) > _LATEST_TIME:
        raise DataError(
            f"{name} has timestamps such as {known[0]:.0f}, too large for Unix seconds; "
            "if they are milliseconds, divide the column by 1000."
        )
    unreadable = ~((values >= 0) & (values <= _LATEST_TIME))  # NaN counts as unreadable
    return np.where(unreadable, 0, values).astype(np.int64), unreadable


def _decoded(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _datetime_seconds(column: pd.Series) -> np.ndarray:
    """(n,) float64 Unix seconds, NaN for a missing date."""
    if column.dt.tz is None:
        column = column.dt.tz_localize("UTC")
    missing = column.isna().to_numpy()
    seconds = column.dt.tz_convert("UTC").dt.as_unit("s").astype("int64").to_numpy()
    return np.where(missing, np.nan, seconds.astype(float))


def _read_parquet(path: Path, data: bytes) -> pd.DataFrame:
    try:
        frame = pa_parquet.read_table(io.BytesIO(data)).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path.name} is a damaged Parquet file; write it again from its source."
        ) from error
    frame = frame.reset_index(drop=True)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    frame.columns = checked_names([str(column) for column in frame.columns], path)
    return frame


def _read_csv(path: Path, data: bytes, report: ReportBuilder) -> pd.DataFrame:
    refuse_other_kinds(path, data)
    if path.suffix.lower() in (".parquet", ".pq"):
        raise DataError(f"{path.name} is not a Parquet file; write it again, or name it .csv.")
    malformed: list[tuple[int, int, int]] = []  # row number, fields expected, fields found
    header, unclosed = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").split(b"\n", 1)[0], []

    def on_invalid_row(row: pa_csv.InvalidRow) -> str:
        malformed.append((row.number, row.expected_columns, row.actual_columns))
        if row.text.count('"') % 2:
            unclosed.append(row.number)
        return "skip"

    read = pa_csv.ReadOptions(use_threads=False, block_size=min(len(data) + 2, _LARGEST_BLOCK))
    parse = pa_csv.ParseOptions(
        delimiter=delimiter_of(header),
        newlines_in_values=True,
        invalid_row_handler=on_invalid_row,
    )
    names = csv_names(path, header, parse.delimiter)
    try:
        table = pa_csv.read_csv(
            io.BytesIO(data if data.endswith(b"\n") else data + b"\n"),
            read_options=read,
            parse_options=parse,
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path.name} is not a table that can be read: {error}.") from error
    # Columns without a name are what spreadsheets leave at the right edge.
    columns = {name.strip(): table.column(i) for i, name in enumerate(names) if name.strip()}
    frame = pa.table(columns).to_pandas()
    numbers = np.setdiff1d(
        np.arange(2, len(frame) + len(malformed) + 2), [row for row, *_ in malformed]
    )
    frame.index = pd.Index(numbers)
    # Only a quoted field can hold a line break, so a last field that does must end the file by '"'.
    if len(frame) and "\n" in frame.iloc[-1, -1] and not data.rstrip().endswith(b'"'):
        unclosed.append(frame.index[-1])
    if unclosed:
        raise DataError(
            f"{path.name} row {unclosed[0]} opens a quote that is never closed; "
            "close it, or double the quotes that belong to the text."
        )
    report.error(
        "row with too many or too few fields",
        "the row is left out",
        (f"{path.name} row {row}: {found} fields, not {due}" for row, due, found in malformed),
        len(malformed),
    )
    return frame


def delimiter_of(header: bytes) -> str:
    """Tab or comma, whichever a CSV's first line has more of."""
    return "\t" if header.count(b"\t") > header.count(b",") else ","


def csv_names(path: Path, header: bytes, delimiter: str) -> list[str]:
    """The columns that a CSV's first line names, checked."""
    try:
        table = pa_csv.read_csv(
            io.BytesIO(header + b"\n"), parse_options=pa_csv.ParseOptions(delimiter=delimiter)
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path.name} has a header that cannot be read: {error}.") from error
    names = table.column_names
    checked_names([name.strip() for name in names], path)
    if len(names) == 1 and ";" in names[0]:
        raise DataError(
            f"{path.name} separates its columns by ';'; save it with commas (and decimal points)."
        )
    return names


def checked_names(names: list[str], path: Path) -> list[str]:
    """The same names; a `DataError` if one comes twice."""
    for name in names:
        if name and names.count(name) > 1:
            raise DataError(f"{path.name} has two columns '{name}'; rename or remove one of them.")
    return names


def refuse_other_kinds(path: Path, data: bytes) -> None:
    """Raise a `DataError` unless `data` is UTF-8 text."""
    for magic, kind in _OTHER_KINDS.items():
        if data.startswith(magic):
            raise DataError(f"{path.name} is {kind}, not a table; save it as UTF-8 CSV or Parquet.")
    if b"\0" in data:
        raise DataError(f"{path.name} is not a text file; save it as UTF-8 CSV or Parquet.")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path.name} is not UTF-8 (line {line} holds the byte 0x{data[error.start]:02X}); "
            "save it as UTF-8, for instance with `iconv -f LATIN1 -t UTF-8`."
        ) from error

"""Reads a Parquet table in parts, from an untrusted file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from tpad.data.csv_table import checked_names
from tpad.errors import DataError, shown

ROWS = 8192  # read at once
FIRST_ROWS = 16  # from which the size of all rows is estimated
FREE_BYTES = 1 << 30  # that every file may unpack to
MAX_RATIO = 50  # of unpacked to packed size, beyond `FREE_BYTES`
_FAULTS = (pa.ArrowException, OSError, ValueError, OverflowError)
_PANDAS_INDEX = "__index_level_"  # prefix of columns that hold the row labels of a frame
_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}


def parquet_columns(path: Path) -> list[str]:
    """Names of the columns; errors as in `parquet_frames`."""
    with _open(path) as file:
        return _names(file)


def parquet_frames(path: Path, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yield parts of a table, indexed by row number from 1.

    The named index of a pandas frame is a column like the others; unnamed row labels are dropped.
    Integers keep all their digits, also in columns with missing values.

    Args:
        path: the file.
        columns: columns to read; all by default.

    Raises:
        DataError: the file is damaged, has text that is not UTF-8, a repeated column or no row, or
            unpacks to far more than its own size.
    """
    with _open(path) as file:
        names = [name for name in _names(file) if columns is None or name in columns]
        n_rows, unpacked, number = file.metadata.num_rows, 0, 1
        try:
            _refuse_bomb(path, file, names)
            for batch in file.iter_batches(ROWS, columns=names):
                if not len(batch):
                    continue
                unpacked += sum(map(_size, batch.columns))
                refuse_unpacking(path, unpacked, f"{n_rows:,} rows")
                _check_text(path, batch, number)
                frame = _to_pandas(batch)
                frame.index = pd.RangeIndex(number, number + len(frame))
                number += len(frame)
                yield frame
        except _FAULTS as error:
            raise _damaged(path) from error
        if number == 1:
            raise DataError(
                f"{path.name} has columns but no usable row; add at least one data row."
            )


def refuse_bomb(path: Path) -> None:
    """Raise a `DataError` if a table unpacks to far more than its own size; few rows are read."""
    with _open(path) as file:
        try:
            _refuse_bomb(path, file, _names(file))
        except _FAULTS as error:
            raise _damaged(path) from error


def _refuse_bomb(path: Path, file: pa_parquet.ParquetFile, names: list[str]) -> None:
    facts = file.metadata
    groups = (facts.row_group(group) for group in range(facts.num_row_groups))
    stored = sum(group.total_byte_size for group in groups)
    # Repeated values are stored once, so the size of all rows is also estimated from the first ones.
    first = next(file.iter_batches(FIRST_ROWS, columns=names), None)
    if first is not None and len(first):
        stored = max(stored, sum(map(_size, first.columns)) / len(first) * facts.num_rows)
    refuse_unpacking(path, stored, f"{facts.num_rows:,} rows")


def read_parquet(path: Path) -> pd.DataFrame:
    """The whole table; see `parquet_frames`."""
    return pd.concat(list(parquet_frames(path)))


def refuse_unpacking(path: Path, unpacked: float, what: str) -> None:
    """Raise a `DataError` if a file unpacks to more than `FREE_BYTES` and `MAX_RATIO` times its size.

    Args:
        path: the file.
        unpacked: bytes in memory.
        what: content of the file, for the message.
    """
    size = path.stat().st_size
    if unpacked > max(FREE_BYTES, MAX_RATIO * size):
        raise DataError(
            f"{path.name} has {size / 1e6:,.1f} MB but unpacks to {unpacked / 1e9:,.1f} GB "
            f"({what}); remove repeated rows, or split it into several files."
        )


def _open(path: Path) -> pa_parquet.ParquetFile:
    try:
        file = pa_parquet.ParquetFile(path)
        checked_names(file.schema_arrow.names, path)
    except _FAULTS as error:
        raise _damaged(path) from error
    return file


def _names(file: pa_parquet.ParquetFile) -> list[str]:
    return [name for name in file.schema_arrow.names if not name.startswith(_PANDAS_INDEX)]


def _size(column: pa.Array) -> int:
    """Bytes of a column with dictionary encoding removed."""
    return (column.dictionary_decode() if pa.types.is_dictionary(column.type) else column).nbytes


def _check_text(path: Path, batch: pa.RecordBatch, number: int) -> None:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            if "UTF8" not in str(error):
                raise
            row = number + next(
                at for at in range(len(column)) if not _is_text(column[at : at + 1])
            )
            raise DataError(
                f"{path.name} row {row} holds text in column '{shown(name)}' that is not UTF-8; "
                "write it again as UTF-8."
            ) from error


def _is_text(column: pa.Array) -> bool:
    try:
        pa.concat_arrays([column]).take(pa.array([0])).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _to_pandas(batch: pa.RecordBatch) -> pd.DataFrame:
    # pandas would convert integers with missing values to floats, which lose digits above 2**53.
    gaps = {c.type for c in batch.columns if pa.types.is_integer(c.type) and c.null_count}
    return batch.to_pandas(
        ignore_metadata=True, types_mapper=lambda kind: _NULLABLE[kind] if kind in gaps else None
    )


def _damaged(path: Path) -> DataError:
    return DataError(f"{path.name} is a damaged Parquet file; write it again from its source.")

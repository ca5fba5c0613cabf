"""Reads Parquet, Arrow and CSV files: selected columns, some rows at a time."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from tpad.errors import DataError
from tpad.importers.columns import check_unique
from tpad.importers.lines import BOM, Lines
from tpad.importers.source import plain_file

_END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream
_STREAM = _END[:4]
_DELIMITERS = (",", ";", "\t")
Row = tuple | None
"""Values of the selected columns; None for a row with too many or too few fields."""


class Table(Protocol):
    """An open file.

    Attributes:
        schema: names and types of its columns; in a CSV file, all are text.
        first: number of the first row; in a CSV file, the header is row 1.
        done: bytes of the (compressed) file that were read so far.
    """

    schema: pa.Schema
    first: int

    @property
    def done(self) -> int: ...

    def batches(self, names: list[str], rows: int) -> Iterator[Iterable[Row]]:
        """Yield selected columns ("" is a column of empty text), at most `rows` rows at once."""

    def close(self) -> None: ...


@contextmanager
def opened(path: Path) -> Iterator[Table]:
    """Open the table of a file.

    Raises:
        DataError: it has another format, or is damaged.
    """
    with plain_file(path).open("rb") as file:
        magic = file.read(6)
    is_arrow = magic.startswith((b"PAR1", b"ARROW1", _STREAM))
    try:
        table: Table = ArrowTable(path, magic) if is_arrow else CsvTable(path)
        try:
            check_unique(table.schema.names, path.name)
            yield table
        finally:
            table.close()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is damaged; save the dataset again.") from error


class ArrowTable:
    """A Parquet file, Arrow stream or Arrow file."""

    first = 1

    def __init__(self, path: Path, magic: bytes) -> None:
        self._size, self._seen = path.stat().st_size, 0
        self._rows = 0
        self._parquet: pq.ParquetFile | None = None
        if magic.startswith(b"PAR1"):
            self._parquet = pq.ParquetFile(path)
            self.schema, self._rows = self._parquet.schema_arrow, self._parquet.metadata.num_rows
            return
        self._map = pa.memory_map(str(path))
        if magic == b"ARROW1":
            file = pa.ipc.open_file(self._map)
            self._batches = (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            with path.open("rb") as stream:
                stream.seek(max(0, self._size - len(_END)))
                if stream.read() != _END:  # otherwise a truncated file would only seem shorter
                    raise pa.ArrowInvalid("no end of the stream")
            file = pa.ipc.open_stream(self._map)
            self._batches = iter(file)
        self.schema = file.schema

    def close(self) -> None:
        (self._parquet or self._map).close()

    @property
    def done(self) -> int:
        """Bytes read so far; for Parquet, estimated from the rows."""
        if self._parquet is None:
            return self._map.tell()
        return self._size * self._seen // max(self._rows, 1)

    def batches(self, names: list[str], rows: int) -> Iterator[Iterable[Row]]:
        """See `Table`."""
        for batch in self._read([name for name in names if name], rows):
            columns = [
                batch.column(name).to_pylist() if name else [""] * batch.num_rows for name in names
            ]
            yield zip(*columns, strict=True)

    def _read(self, names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        if self._parquet is not None:
            for batch in self._parquet.iter_batches(rows, columns=names):
                self._seen += batch.num_rows
                yield batch
            return
        for batch in self._batches:
            for start in range(0, batch.num_rows, rows):
                yield batch.select(names).slice(start, rows)


class CsvTable:
    """UTF-8 text with a header, separated by commas, semicolons or tabs, optionally gzip-compressed."""

    first = 2

    def __init__(self, path: Path) -> None:
        self._name, self._lines = path.name, Lines(path)
        try:
            header = self._header()
        except DataError:
            self.close()
            raise
        delimiter = max(_DELIMITERS, key=header.count)
        self._names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter))]
        self._rows = csv.reader(self._texts(), delimiter=delimiter, strict=True)
        # Spreadsheets leave columns without a name at the right edge.
        self.schema = pa.schema([(name, pa.string()) for name in self._names if name])

    def close(self) -> None:
        self._lines.__exit__()

    @property
    def done(self) -> int:
        """Bytes read so far."""
        return self._lines.done

    def batches(self, names: list[str], rows: int) -> Iterator[Iterable[Row]]:
        """See `Table`."""
        places = [self._names.index(name) if name else -1 for name in names]
        count = len(self._names)
        held: list[Row] = []
        while fields := self._next():
            whole = len(fields) == count
            held.append(tuple([fields[at] if at >= 0 else "" for at in places]) if whole else None)
            if len(held) == rows:
                yield held
                held = []
        yield held

    def _next(self) -> list[str]:
        """The fields of the next row that is not blank; [] at the end."""
        try:
            for fields in self._rows:
                if fields:
                    return fields
        except csv.Error as error:
            raise DataError(
                f"{self._name} cannot be read as CSV near line {self._lines.number:,} ({error}); "
                "close each quote, and double the quotes inside the text."
            ) from error
        return []

    def _header(self) -> str:
        for text in self._texts():
            if "\0" in text:
                raise DataError(f"{self._name} is not a Parquet, Arrow or CSV file; convert it.")
            if text.lstrip().startswith(("{", "[")):
                raise DataError(
                    f"{self._name} is JSON, not a Parquet, Arrow or CSV file; save it as Parquet, or use "
                    "the format of the dataset that it comes from."
                )
            if text.strip():
                return text
        raise DataError(f"{self._name} holds only blank lines; download it again.")

    def _texts(self) -> Iterator[str]:
        """Lines with their line ends, as `csv` needs them."""
        while line := self._lines.next():
            if self._lines.number == 1:
                line = line.removeprefix(BOM)
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{self._name} is neither Parquet nor Arrow, nor CSV in UTF-8 (line "
                    f"{self._lines.number:,}); convert it, for instance with "
                    "`iconv -f LATIN1 -t UTF-8`."
                ) from error

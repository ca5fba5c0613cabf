"""Reads a CSV table in parts: UTF-8, comma or tab, with a header; every cell is text."""

import codecs
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from tpad.data.report import ReportBuilder
from tpad.errors import DataError, shown

BLOCK = 1 << 24  # bytes read at once; no row may be longer
MAX_COLUMNS = 10_000
_BOM = codecs.BOM_UTF8
_QUOTED = re.compile(rb'"[^"]*"')
_OTHER_FORMATS = {
    b"PK\x03\x04": "an Excel workbook or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "gzip-compressed",
    b"BZh": "bzip2-compressed",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def csv_columns(path: Path) -> list[str]:
    """Names of the columns, without surrounding spaces and empty names; errors as in `csv_frames`."""
    with path.open("rb") as file:
        return [name.strip() for name in _Table(path, file).names if name.strip()]


def csv_frames(
    path: Path, report: ReportBuilder, columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Yield parts of a table, indexed by row number (the header is row 1, blank lines do not count).

    Args:
        path: the file.
        report: counts the rows with too many or too few fields, after the last part; these rows are
            skipped.
        columns: columns to read; all by default.

    Raises:
        DataError: the file is not such a table; some errors are found only while reading.
    """
    with path.open("rb") as file:
        yield from _Table(path, file).frames(report, columns)


class _Table:
    """A CSV file whose header has been read."""

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        self.path, self.text = path, CheckedText(path, file)
        header = self.text.header()
        self.delimiter = "\t" if header.count(b"\t") > header.count(b",") else ","
        self.names = self._names(header)
        self.malformed: list[tuple[int, int, int]] = []  # row, fields expected, fields found
        self.open_quotes: list[int] = []  # of these rows, those with an odd number of quotes

    def frames(
        self, report: ReportBuilder, columns: Sequence[str] | None
    ) -> Iterator[pd.DataFrame]:
        stripped = [name.strip() for name in self.names]
        # Spreadsheets leave columns without a name at the right edge.
        wanted = {
            f"{at}": name
            for at, name in enumerate(stripped)
            if name and (columns is None or name in columns)
        }
        number, last = 2, ""
        try:
            for batch in self._reader(list(wanted)):
                self._refuse_open_quote()
                if not len(batch):
                    continue
                ends = batch.column(batch.num_columns - 1)[-1].as_py()
                frame = batch.select(list(wanted)).to_pandas().set_axis(wanted.values(), axis=1)
                # Row numbers skip the malformed rows.
                bad = [row for row, *_ in self.malformed if row >= number]
                numbers = np.setdiff1d(np.arange(number, number + len(batch) + len(bad)), bad)
                frame.index = pd.Index(numbers[: len(batch)])
                number, last = int(frame.index[-1]) + 1, ends
                yield frame
        except pa.ArrowException as error:
            raise self._unreadable(error, number) from error
        # Only a quoted field can contain a line break, so the file must then end with '"'.
        if "\n" in last and self.text.last != b'"':
            self.open_quotes.append(number - 1)
        self._refuse_open_quote()
        if number == 2:
            raise self._no_row()
        report.error(
            "row with too many or too few fields",
            "the row is skipped",
            (
                f"{self.path.name} row {row}: {found} fields, not {due}"
                for row, due, found in self.malformed
            ),
            len(self.malformed),
        )

    def _reader(self, wanted: list[str]) -> pa_csv.CSVStreamingReader:
        """Batches of the wanted columns, named by position, followed by the last column of the file."""
        end = str(len(self.names) - 1)
        return pa_csv.open_csv(
            pa.PythonFile(self.text, "r"),
            read_options=pa_csv.ReadOptions(
                use_threads=False,
                block_size=BLOCK,
                column_names=[str(at) for at in range(len(self.names))],
                skip_rows=1,
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=self.delimiter,
                newlines_in_values=True,
                invalid_row_handler=self._note_invalid,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types={str(at): pa.string() for at in range(len(self.names))},
                include_columns=[*(name for name in wanted if name != end), end],
            ),
        )

    def _note_invalid(self, row: pa_csv.InvalidRow) -> str:
        # Exceptions raised in here are lost.
        if row.text.count('"') % 2:
            self.open_quotes.append(row.number)
        self.malformed.append((row.number, row.expected_columns, row.actual_columns))
        return "skip"

    def _names(self, header: bytes) -> list[str]:
        name = self.path.name
        if header.count(b'"') % 2:
            raise DataError(f"{name} has a line break or an open quote in its header; correct it.")
        # Commas within quotes separate no fields; the reader takes quadratic time for many columns.
        fields = _QUOTED.sub(b"", header).count(self.delimiter.encode()) + 1
        if fields > MAX_COLUMNS:
            raise too_many_columns(self.path, fields)
        try:
            table = pa_csv.read_csv(
                io.BytesIO(header + b"\n"),
                read_options=pa_csv.ReadOptions(block_size=len(header) + 2),
                parse_options=pa_csv.ParseOptions(delimiter=self.delimiter),
            )
        except pa.ArrowException as error:
            raise DataError(f"{name} has a header that cannot be read: {shown(error)}.") from error
        names = table.column_names
        checked_names([name.strip() for name in names], self.path)
        if not any(each.strip() for each in names):
            raise DataError(f"{name} has no column names; name the columns in line 1.")
        if len(names) == 1 and ";" in names[0]:
            raise DataError(
                f"{name} separates its columns by ';'; save it with commas, and with decimal points."
            )
        return names

    def _refuse_open_quote(self) -> None:
        if self.open_quotes:
            raise DataError(
                f"{self.path.name} row {self.open_quotes[0]} opens a quote that is never closed; "
                "close it, or double the quotes inside the text."
            )

    def _no_row(self) -> DataError:
        start = f"{self.path.name} has columns but no usable row"
        if not self.malformed:
            return DataError(f"{start}; add at least one data row.")
        _, due, found = self.malformed[0]
        same = sum(row[2] == found for row in self.malformed)
        rows = "1 row has" if same == 1 else f"{same:,} rows have"
        fields = "1 field" if found == 1 else f"{found:,} fields"
        return DataError(
            f"{start}: {rows} {fields}, the header has {due:,}; give each row as many fields as the "
            "header."
        )

    def _unreadable(self, error: pa.ArrowException, number: int) -> DataError:
        if "straddling" in str(error):
            return DataError(
                f"{self.path.name} has a row of more than {BLOCK / 2**20:.0f} MiB (after row "
                f"{number - 1}); shorten it, or close the open quote."
            )
        if "Could not skip" in str(error):  # the header is all there is
            return self._no_row()
        return DataError(f"{self.path.name} cannot be read as a table: {shown(error, 200)}.")


class CheckedText(io.RawIOBase):
    """The bytes of a CSV file from its header on; they are checked to be UTF-8.

    Byte order marks and blank lines before the header are skipped, and a missing line end at the end
    of the file is added.
    """

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        self.path, self.file = path, file
        self.last = b""  # last byte that is neither space nor line break
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._lines = 0  # lines read so far
        self._end = b""

    def header(self) -> bytes:
        """The first line that is not blank, without its end; the next `read` starts with it again."""
        start, line, content = 0, b"", b""
        while line := self.file.readline(BLOCK):
            if not start:
                self._refuse_other_formats(line)
            content = line
            while content.startswith(_BOM):
                content = content.removeprefix(_BOM)
            content = content.lstrip(b"\r\n")
            if content:
                break
            start += len(line)
            self._lines += 1
        if not content.strip() and not self._has_more():
            raise DataError(
                f"{self.path.name} is empty; it needs a header row and at least one data row."
            )
        if len(line) == BLOCK and not line.endswith(b"\n"):
            raise DataError(
                f"{self.path.name} has a header of more than {BLOCK / 2**20:.0f} MiB; it is not a table."
            )
        self.file.seek(start + len(line) - len(content))
        header = content.replace(b"\r", b"\n").split(b"\n", 1)[0]
        self._check(header, codecs.getincrementaldecoder("utf-8")(), final=True)
        return header

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self.file.read(size)
        if not block:
            self._check(b"", self._decoder, final=True)
            end, self._end = self._end, b""
            return end
        self._check(block, self._decoder)
        self._lines += block.count(b"\n")
        self.last = block.rstrip()[-1:] or self.last
        self._end = b"" if block.endswith(b"\n") else b"\n"
        return block

    def _has_more(self) -> bool:
        while block := self.file.read(BLOCK):
            if block.strip():
                return True
        return False

    def _refuse_other_formats(self, head: bytes) -> None:
        for magic, kind in _OTHER_FORMATS.items():
            if head.startswith(magic):
                raise DataError(
                    f"{self.path.name} is {kind}, not a table; save it as UTF-8 CSV or Parquet."
                )

    def _check(self, block: bytes, decoder: codecs.IncrementalDecoder, final: bool = False) -> None:
        if b"\0" in block:
            raise DataError(
                f"{self.path.name} is not a text file (line {self._line(block, block.index(0))} "
                "contains a zero byte); save it as UTF-8 CSV or Parquet."
            )
        begun = decoder.getstate()[0]  # bytes of a character that was split between two blocks
        try:
            decoder.decode(block, final)
        except UnicodeDecodeError as error:
            byte = (begun + block)[error.start]
            raise DataError(
                f"{self.path.name} is not UTF-8 (line {self._line(begun + block, error.start)} "
                f"contains the byte 0x{byte:02X}); save it as UTF-8, for instance with "
                "`iconv -f LATIN1 -t UTF-8`."
            ) from error

    def _line(self, block: bytes, at: int) -> int:
        return self._lines + block.count(b"\n", 0, at) + 1


def checked_names(names: list[str], path: Path) -> list[str]:
    """The same names; a `DataError` if one is repeated or there are too many."""
    if len(names) > MAX_COLUMNS:
        raise too_many_columns(path, len(names))
    for name, count in Counter(names).items():
        if name and count > 1:
            raise DataError(
                f"{path.name} has two columns '{shown(name)}'; rename or remove one of them."
            )
    return names


def too_many_columns(path: Path, n: int) -> DataError:
    """The error of a table with more than `MAX_COLUMNS` columns."""
    return DataError(
        f"{path.name} has {n:,} columns, more than {MAX_COLUMNS:,}; keep only those that are "
        "needed."
    )

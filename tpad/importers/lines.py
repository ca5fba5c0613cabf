"""Reads files with one record per line, plain or gzip, from any line and in bounded memory."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from tpad.errors import DataError
from tpad.importers.counts import RowCounts, RowError
from tpad.importers.source import BATCH_BYTES, BATCH_ROWS, Batch, plain_file

MAX_LINE = 1 << 24  # bytes; far above the longest record of the Amazon datasets
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"BZh": "compressed by bzip2; unpack it first",
    b"\xfd7zXZ": "compressed by xz; unpack it first",
    b"PAR1": "a Parquet file; use the format huggingface",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    **{
        b"\x80" + bytes([protocol]): "a pickle; use the format mmsbr, or save it as a table"
        for protocol in range(2, 6)
    },
}


class Lines:
    """The lines of a file, counted from 1."""

    def __init__(self, path: Path, position: list[int] | None = None) -> None:
        self.path = plain_file(path)
        try:
            self._disk = path.open("rb")
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error.strerror}); check its permissions."
            ) from error
        magic = self._disk.peek(6)[:6]  # type: ignore[attr-defined]
        for start, kind in _OTHER_FORMATS.items():
            if magic.startswith(start):
                self._disk.close()
                raise DataError(f"{path.name} is {kind}.")
        self._text: BinaryIO = self._disk
        if magic.startswith(GZIP):
            opened = gzip.GzipFile(fileobj=self._disk, mode="rb")
            self._text = io.BufferedReader(opened, 1 << 18)  # type: ignore[assignment,type-var]
        self.offset, self.number = position or (0, 0)
        if self.offset:
            self._guarded(self._text.seek, self.offset)

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self._text.close()
        self._disk.close()

    @property
    def position(self) -> list[int]:
        """Where reading can continue: bytes of text and lines so far."""
        return [self.offset, self.number]

    @property
    def done(self) -> int:
        """Bytes of the (compressed) file that were read so far."""
        return self._disk.tell()

    def next(self) -> bytes:
        """The next line with its line end; b"" after the last one.

        Raises:
            DataError: the file is truncated or damaged, or has no line ends.
        """
        line = self._guarded(self._text.readline, MAX_LINE + 1)
        if len(line) > MAX_LINE:
            raise DataError(
                f"{self.path.name} line {self.number + 1} is longer than "
                f"{MAX_LINE >> 20} MB; the file must have one record per line."
            )
        self.offset += len(line)
        self.number += bool(line)
        return line

    def _guarded(self, read: Callable[[int], Any], argument: int) -> Any:
        try:
            return read(argument)
        except EOFError as error:
            raise DataError(
                f"{self.path.name} ends in the middle of its gzip data, after line "
                f"{self.number:,}; it is incomplete; download it again."
            ) from error
        except (OSError, zlib.error) as error:
            raise DataError(
                f"{self.path.name} is damaged after line {self.number:,} ({error}); "
                "download it again."
            ) from error


def first_line(path: Path) -> str:
    """The first line that is not blank.

    Raises:
        DataError: there is no such file or line.
    """
    with Lines(path) as lines:
        while line := lines.next():
            if line.removeprefix(BOM).strip():
                return line.removeprefix(BOM).decode("utf-8", "replace").strip("\r\n")
    raise DataError(f"{path.name} holds only blank lines; download it again.")


Note = Callable[[str, str], None]
"""Records a change of the current row: its reason and the action."""
Parse = Callable[[str, Note], tuple]


class LineReader:
    """Rows of a file with one record per line.

    Args:
        path: the file.
        schema: of the rows.
        parse: makes a row from the text of a line, or raises a `RowError`; calls the `Note` for
            changes.
        has_header: the first line is a header and is skipped.
        encodings: tried in this order for each line.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        parse: Parse,
        *,
        has_header: bool = False,
        encodings: tuple[str, ...] = ("utf-8",),
    ) -> None:
        self.path, self.schema, self.size = path, schema, path.stat().st_size
        self._parse, self._has_header, self._encodings = parse, has_header, encodings

    def batches(self, counts: RowCounts, position: Any, limit: int | None) -> Iterator[Batch]:
        """See `tpad.importers.source.Reader`; blank lines are skipped."""
        parse, left = self._parse, float("inf") if limit is None else limit
        rows: list[tuple] = []
        with Lines(self.path, position) as lines:
            header = self._has_header and position is None
            seen, start = 0, lines.offset

            def note(reason: str, action: str) -> None:
                counts.change(reason, action, (f"{self.path.name} line {lines.number}",))

            while left > 0 and (line := lines.next()):
                if lines.number == 1:
                    line = line.removeprefix(BOM)
                if not line.strip():
                    continue
                if header:
                    header = False
                    continue
                left -= 1
                seen += 1
                counts.read += 1
                try:
                    rows.append(parse(self._decoded(line), note))
                except RowError as error:
                    shown = f" ('{error.shown[:80]}')" if error.shown else ""
                    where = f"{self.path.name} line {lines.number}{shown}"
                    counts.drop(error.reason, (where,))
                if seen == BATCH_ROWS or lines.offset - start > BATCH_BYTES:
                    yield Batch(rows, lines.position, lines.done)
                    rows, seen, start = [], 0, lines.offset
            yield Batch(rows, lines.position, lines.done)

    def _decoded(self, line: bytes) -> str:
        for encoding in self._encodings:
            try:
                return line.decode(encoding).rstrip("\r\n")
            except UnicodeDecodeError:
                continue
        raise RowError("line is not UTF-8")

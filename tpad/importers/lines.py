"""Files of one record a line, plain or gzip, read on from any line in bounded memory."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from tpad.errors import DataError
from tpad.importers.source import BATCH_BYTES, BATCH_ROWS, Batch, plain_file
from tpad.importers.tally import Fault, Tally

LONGEST_LINE = 1 << 24  # bytes; the longest record of Amazon's is far below
GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
_OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"BZh": "compressed by bzip2; unpack it first",
    b"\xfd7zXZ": "compressed by xz; unpack it first",
    b"PAR1": "a Parquet file; use the format huggingface",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}


class Lines:
    """The lines of an open file, counted from 1, without their line ends."""

    def __init__(self, path: Path, position: list[int] | None = None) -> None:
        self.path = plain_file(path)
        try:
            self._disk = path.open("rb")
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error.strerror}); check its rights."
            ) from error
        magic = self._disk.peek(6)[:6]  # type: ignore[attr-defined]
        for start, kind in _OTHER_KINDS.items():
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
        """Where `Lines` can go on: bytes of text and lines so far."""
        return [self.offset, self.number]

    @property
    def done(self) -> int:
        """Bytes read of the file as it lies on disk."""
        return self._disk.tell()

    def next(self) -> bytes:
        """The next line with its end; b"" after the last.

        Raises:
            DataError: the file is cut off or damaged, or has no lines.
        """
        line = self._guarded(self._text.readline, LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise DataError(
                f"{self.path.name} line {self.number + 1} is longer than "
                f"{LONGEST_LINE >> 20} MB; the file must have one record a line."
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
                f"{self.number:,}; it is not whole, so download it again."
            ) from error
        except (OSError, zlib.error) as error:
            raise DataError(
                f"{self.path.name} is damaged after line {self.number:,} ({error}); "
                "download it again."
            ) from error


def first_line(path: Path) -> str:
    """The first line that is not blank, to tell what a file holds.

    Raises:
        DataError: there is no such file, or no such line.
    """
    with Lines(path) as lines:
        while line := lines.next():
            if line.removeprefix(BOM).strip():
                return line.removeprefix(BOM).decode("utf-8", "replace").strip("\r\n")
    raise DataError(f"{path.name} holds only blank lines; download it again.")


Note = Callable[[str, str], None]
"""Records a change of the current row: reason and action."""
Parse = Callable[[str, Note], tuple]


class LineReader:
    """Rows of a file that has one record a line.

    Args:
        path: the file.
        schema: of the rows.
        parse: makes a row of a line's text, or raises a `Fault`; tells changes to the `Note`.
        has_header: the first line holds names and is skipped.
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

    def batches(self, tally: Tally, position: Any, limit: int | None) -> Iterator[Batch]:
        """See `tpad.importers.source.Reader`; blank lines are no rows."""
        parse, left = self._parse, float("inf") if limit is None else limit
        rows: list[tuple] = []
        with Lines(self.path, position) as lines:
            header = self._has_header and position is None
            seen, start = 0, lines.offset

            def note(reason: str, action: str) -> None:
                tally.change(reason, action, (f"{self.path.name} line {lines.number}",))

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
                tally.read += 1
                try:
                    rows.append(parse(self._decoded(line), note))
                except Fault as fault:
                    shown = f" ('{fault.shown[:80]}')" if fault.shown else ""
                    where = f"{self.path.name} line {lines.number}{shown}"
                    tally.drop(fault.reason, (where,))
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
        raise Fault("line is not UTF-8")

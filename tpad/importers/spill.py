"""Spills rows to disk between two passes: numbered Arrow files, each divided into the same parts.

All rows of one owner (a session or user) are in the same part, so that each part can be sorted by
itself: memory is bounded by the largest part, not by the file.
"""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from tpad.errors import DataError

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class Spill:
    """A folder of Arrow files `00000.arrow`, …, each with `parts` record batches.

    Args:
        folder: created if missing.
        parts: number of parts.
    """

    def __init__(self, folder: Path, parts: int = 1) -> None:
        self.folder, self.parts = folder, parts
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, number: int, table: pa.Table, owners: str | None = None) -> None:
        """Write file `number` atomically; the column `owners` decides the part of each row."""
        if owners is None:
            pieces = [table]
        else:
            part = _parts_of(table[owners], self.parts)
            table = table.take(pa.array(np.argsort(part, kind="stable")))
            ends = np.cumsum(np.bincount(part, minlength=self.parts))
            starts = ends - np.bincount(part, minlength=self.parts)
            pieces = [table.slice(s, e - s) for s, e in zip(starts, ends, strict=True)]
        path = self._path(number)
        beside = path.with_suffix(".part")
        with (
            pa.OSFile(str(beside), "wb") as sink,
            pa.ipc.new_file(sink, table.schema, options=_OPTIONS) as writer,
        ):
            for piece in pieces:
                writer.write_batch(_one_batch(piece))
        os.replace(beside, path)

    def part(self, part: int, files: int) -> pa.Table:
        """The rows of a part in the first `files` files, in the order of writing."""
        return pa.Table.from_batches([self._read(number, part) for number in range(files)])

    def tables(self, files: int) -> Iterator[pa.Table]:
        """Everything, part by part."""
        for number in range(files):
            for part in range(self.parts):
                yield pa.Table.from_batches([self._read(number, part)])

    def _read(self, number: int, part: int) -> pa.RecordBatch:
        try:
            with pa.OSFile(str(self._path(number)), "rb") as file:
                return pa.ipc.open_file(file).get_batch(part)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{self._path(number)} is missing or damaged; remove {self.folder.parent} and run "
                "the command again."
            ) from error

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05}.arrow"


def _parts_of(owners: pa.ChunkedArray, parts: int) -> np.ndarray:
    """(n,) int64, the part of each row; unlike with `hash`, the same in every run."""
    encoded = owners.combine_chunks().dictionary_encode()
    codes = np.fromiter(
        (zlib.crc32(owner.encode()) % parts for owner in encoded.dictionary.to_pylist()), np.int64
    )
    return codes[encoded.indices.to_numpy(zero_copy_only=False)]


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)

"""Hugging Face `datasets` on disk: a `save_to_disk` folder (Arrow streams), or Parquet files.

A table with a user or a session is one of interactions, any other with an item id one of items.
Columns are found by their usual names or by `--column`; further columns of items are kept as text
where they are plain values. Pictures inside the tables are not taken out; web addresses are kept.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tpad.data.columns import Columns
from tpad.errors import DataError
from tpad.importers.columns import check_columns, find_roles, further_columns, require_role
from tpad.importers.settings import RATING, ImportSettings
from tpad.importers.source import (
    BATCH_ROWS,
    CLICKS,
    ITEM_FIELDS,
    Batch,
    Source,
    click_maker,
    plain_file,
    to_price,
)  # fmt: skip
from tpad.importers.tally import Fault, Tally

_OWNERS = (Columns.SESSION_ID, Columns.USER_ID)
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream
Make = Callable[[tuple, Callable[[str, str], None]], tuple]


def open_huggingface(files: list[Path], settings: ImportSettings) -> Source:
    """Readers of every Arrow or Parquet file in the order of the folders."""
    headers = {file: _schema(file) for given in files for file in _unfolded(given)}
    check_columns(settings, [schema.names for schema in headers.values()])
    roles = {file: find_roles(schema.names, settings) for file, schema in headers.items()}
    of_clicks = {file for file in headers if any(role in roles[file] for role in _OWNERS)}
    has = {
        role: bool(of_clicks) and all(role in roles[file] for file in of_clicks)
        for role in (*_OWNERS, RATING)
    }
    by_session = has[Columns.SESSION_ID] and settings.sessions in (None, "given")
    owner = Columns.SESSION_ID if by_session else Columns.USER_ID
    extra = further_columns(
        (name, roles[file])
        for file, schema in headers.items()
        for name in schema.names
        if file not in of_clicks and _is_plain(schema.field(name).type)
    )
    item_schema = pa.schema([*ITEM_FIELDS, *extra])
    left_out = dict.fromkeys(
        name for file, schema in headers.items() if file not in of_clicks
        for name in schema.names if not _is_plain(schema.field(name).type)
    )  # fmt: skip
    notes = [f"The column '{name}' is left out: it holds no plain values." for name in left_out]
    source = Source(
        [], [], has[Columns.USER_ID], has[Columns.SESSION_ID],
        "given" if has[Columns.SESSION_ID] else "gap", has[RATING], tuple(notes),
    )  # fmt: skip
    for file, schema in headers.items():
        if file in of_clicks:
            names = [owner, Columns.ITEM_ID, Columns.TIMESTAMP]
            read = [require_role(roles[file], name, schema.names, file.name) for name in names]
            rating = [roles[file][RATING]] if RATING in roles[file] else []
            source.clicks.append(_Rows(file, CLICKS, [*read, *rating], _click(settings)))
        else:
            require_role(roles[file], Columns.ITEM_ID, schema.names, file.name)
            wanted = [roles[file].get(name, name) for name in item_schema.names]
            read = [name if name in schema.names else "" for name in wanted]
            source.items.append(_Rows(file, item_schema, read, _item))
    return source


class _Rows:
    """Rows of one Arrow or Parquet file; a position is the number of the next batch."""

    def __init__(self, path: Path, schema: pa.Schema, read: list[str], make: Make) -> None:
        self.path, self.schema, self.size = path, schema, path.stat().st_size
        self._read, self._make = read, make

    def batches(self, tally: Tally, position: Any, limit: int | None) -> Iterator[Batch]:
        left = float("inf") if limit is None else limit
        number, row = position or (0, 0)
        names = [name for name in self._read if name]

        def note(reason: str, action: str) -> None:
            tally.change(reason, action, (f"{self.path.name} row {row}",))

        with _opened(self.path) as opened:
            for at, table in enumerate(opened.batches(names)):
                if at < number:
                    continue
                if left <= 0:
                    break
                columns = [
                    table.column(name).to_pylist() if name else [""] * table.num_rows
                    for name in self._read
                ]
                rows: list[tuple] = []
                for values in zip(*columns, strict=True):
                    if left <= 0:
                        break
                    row, left = row + 1, left - 1
                    tally.read += 1
                    try:
                        rows.append(self._make(values, note))
                    except Fault as fault:
                        shown = f" ('{fault.shown[:80]}')" if fault.shown else ""
                        tally.drop(fault.reason, (f"{self.path.name} row {row}{shown}",))
                yield Batch(rows, [at + 1, row], opened.done)


def _click(settings: ImportSettings) -> Make:
    click = click_maker(settings)

    def make(values: tuple, note: Callable[[str, str], None]) -> tuple:
        owner, item, time, *rating = values
        return click(_text(owner), _text(item), time, *rating)

    return make


def _item(values: tuple, note: Callable[[str, str], None]) -> tuple:
    item, title, description, category, price, *others = values
    if not _text(item):
        raise Fault("missing item_id")
    texts = map(_text, (item, title, description, category))
    return *texts, to_price(price, note), *map(_text, others)


def _unfolded(given: Path) -> list[Path]:
    """The tables of a folder of `save_to_disk`, or of any folder of Parquet files; a file itself."""
    if not given.is_dir():
        return [plain_file(given)]
    if (given / "dataset_dict.json").is_file():
        splits = _json(given / "dataset_dict.json").get("splits", [])
        return [file for split in splits for file in _unfolded(given / str(split))]
    if (given / "state.json").is_file():
        try:
            listed = [Path(f["filename"]).name for f in _json(given / "state.json")["_data_files"]]
        except (KeyError, TypeError) as error:
            raise DataError(f"{given / 'state.json'} names no files; save it again.") from error
        return [plain_file(given / name) for name in listed]
    found = sorted(given.rglob("*.parquet"))
    if not found:
        raise DataError(
            f"{given} has neither dataset_dict.json nor state.json nor Parquet files; give a folder "
            "that save_to_disk wrote."
        )
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged; save the dataset again.") from error
    return value if isinstance(value, dict) else {}


def _schema(path: Path) -> pa.Schema:
    with _opened(path) as table:
        return table.schema


class _Table:
    """An open Parquet file, Arrow stream or Arrow file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            magic = file.read(6)
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
                if stream.read() != _END:  # cut between two batches, it would just seem shorter
                    raise pa.ArrowInvalid("no end of the stream")
            file = pa.ipc.open_stream(self._map)
            self._batches = iter(file)
        self.schema = file.schema

    def close(self) -> None:
        (self._parquet or self._map).close()

    @property
    def done(self) -> int:
        """Bytes read so far; of Parquet as the share of its rows."""
        if self._parquet is None:
            return self._map.tell()
        return self._size * self._seen // max(self._rows, 1)

    def batches(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        """Some columns, at most `BATCH_ROWS` rows at once."""
        if self._parquet is not None:
            for batch in self._parquet.iter_batches(BATCH_ROWS, columns=names):
                self._seen += batch.num_rows
                yield batch
            return
        for batch in self._batches:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.select(names).slice(start, BATCH_ROWS)


@contextmanager
def _opened(path: Path) -> Iterator[_Table]:
    """The table of a file.

    Raises:
        DataError: it is neither Parquet nor Arrow, or damaged.
    """
    try:
        table = _Table(path)
        try:
            yield table
        finally:
            table.close()
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path.name} is no Parquet or Arrow file, or a damaged one; save the dataset again."
        ) from error


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_plain(kind.value_type)
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_null(kind))


def _text(value: Any) -> str:
    """Text of a plain value; whole numbers lose their ".0", a list is joined by commas."""
    if isinstance(value, str):
        return value.strip()
    if value is None or isinstance(value, (bytes, dict)):
        return ""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, float):
        if value != value:
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else str(value)
    return str(value)

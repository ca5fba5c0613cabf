"""Hugging Face `datasets` on disk: a `save_to_disk` folder (Arrow streams), Parquet or CSV files.

A table with a user or a session contains interactions, any other table with an item id contains items.
In a table with a list of items per row, as in Transformers4Rec, a row is a session and each item is a
click. Columns are found by their usual names or by `--column`; further columns of items are kept as
text if they are plain values. Pictures inside the tables are ignored; of several web addresses, the
first is kept.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tpad.data.addresses import first_address
from tpad.data.columns import Columns
from tpad.errors import DataError
from tpad.importers.arrow_types import is_list, is_plain, is_single, may_hold_addresses
from tpad.importers.click_logs import WRONG_FIELDS
from tpad.importers.columns import (
    check_columns,
    find_roles,
    further_columns,
    lists_refused,
    require_role,
)
from tpad.importers.counts import RowCounts, RowError
from tpad.importers.markup import plain_text, plain_texts
from tpad.importers.settings import RATING, ImportSettings
from tpad.importers.source import (
    BATCH_ROWS,
    CLICKS,
    ITEM_FIELDS,
    Batch,
    Source,
    click_maker,
    plain_file,
    refuse_list,
    to_price,
)
from tpad.importers.table_files import opened

IMAGE_URL = "image_url"
MAX_ROWS = 10_000_000  # of a file without times; the times of the next file start there
SESSION_ROWS = 256  # rows read at once if each is a list of clicks
_OWNERS = (Columns.SESSION_ID, Columns.USER_ID)
Note = Callable[[str, str], None]
Make = Callable[[tuple, Note], tuple]


@dataclass(frozen=True)
class _File:
    """The schema of a table and the column of each role."""

    path: Path
    schema: pa.Schema
    roles: dict[str, str]

    @property
    def has_lists(self) -> bool:
        """Whether each row holds a list of items."""
        return self.holds_lists(Columns.ITEM_ID)

    @property
    def has_clicks(self) -> bool:
        return any(role in self.roles for role in _OWNERS)

    def holds_lists(self, role: str) -> bool:
        return role in self.roles and is_list(self.schema.field(self.roles[role]).type)

    def column(self, role: str) -> str:
        """The column of a role; a `DataError` if there is none."""
        return require_role(self.roles, role, self.schema.names, self.path.name)

    def is_kept(self, name: str) -> bool:
        """Whether an item column can be kept as text."""
        return name == self.roles.get(IMAGE_URL) or is_plain(self.schema.field(name).type)


def open_huggingface(files: list[Path], settings: ImportSettings) -> Source:
    """Readers of all tables, in the order of the folders."""
    schemas = {file: _schema(file) for given in files for file in _table_files(given)}
    check_columns(settings, [schema.names for schema in schemas.values()])
    tables = [_file(path, schema, settings) for path, schema in schemas.items()]
    of_clicks = [table for table in tables if table.has_clicks]
    of_items = [table for table in tables if not table.has_clicks]
    has = {
        role: bool(of_clicks) and all(role in table.roles for table in of_clicks)
        for role in (*_OWNERS, RATING)
    }
    by_session = has[Columns.SESSION_ID] and settings.sessions in (None, "given")
    owner = Columns.SESSION_ID if by_session else Columns.USER_ID
    extra = further_columns(
        (name, table.roles)
        for table in of_items
        for name in table.schema.names
        if table.is_kept(name)
    )
    ignored = dict.fromkeys(
        name for table in of_items for name in table.schema.names if not table.is_kept(name)
    )
    notes = [
        f"The column '{name}' is ignored: it does not contain plain values." for name in ignored
    ]
    for table in of_clicks:
        if table.has_lists:
            notes.append(f"Each row of {table.path.name} is a list of items; each is a click.")
            if by_session and Columns.TIMESTAMP not in table.roles:
                notes.append(
                    f"{table.path.name} holds no times: the timestamp is the row's number."
                )
    item_schema = pa.schema([*ITEM_FIELDS, *extra])
    return Source(
        [_clicks(table, owner, number, settings) for number, table in enumerate(of_clicks)],
        [_items(table, item_schema) for table in of_items],
        has[Columns.USER_ID],
        has[Columns.SESSION_ID],
        "given" if has[Columns.SESSION_ID] else "gap",
        has[RATING],
        tuple(notes),
    )


def _file(path: Path, schema: pa.Schema, settings: ImportSettings) -> _File:
    roles = find_roles(schema.names, settings)
    picture = roles.get(IMAGE_URL)
    if picture and not may_hold_addresses(schema.field(picture).type):
        del roles[IMAGE_URL]
    return _File(path, schema, roles)


def _clicks(table: _File, owner: str, number: int, settings: ImportSettings) -> "_Rows":
    """The reader of a table of interactions.

    Args:
        table: the file.
        owner: role of the owner of a click.
        number: of the file, from 0; without times, its rows come after those of earlier files.
        settings: of the import.

    Raises:
        DataError: a column is missing, or contains lists where a single value is needed.
    """
    is_timed = (
        Columns.TIMESTAMP in table.roles or not table.has_lists or owner != Columns.SESSION_ID
    )
    times = [Columns.TIMESTAMP] if is_timed else []
    ratings = [RATING] if RATING in table.roles else []
    roles = [owner, Columns.ITEM_ID, *times, *ratings]
    columns = [table.column(role) for role in roles]
    for role, name in zip(roles, columns, strict=True):
        kind = table.schema.field(name).type
        is_listed = is_list(kind) and table.has_lists and role != owner
        if not is_single(kind.value_type if is_listed else kind):
            raise lists_refused(table.path.name, name)
    first_time = None if is_timed else number * MAX_ROWS
    make = _click(settings)
    return _Rows(table.path, CLICKS, columns, make, table.has_lists, first_time)


def _items(table: _File, schema: pa.Schema) -> "_Rows":
    item = table.column(Columns.ITEM_ID)
    if not is_single(table.schema.field(item).type):
        raise lists_refused(table.path.name, item)
    wanted = [table.roles.get(name, name) for name in schema.names]
    read = [name if name in table.schema.names else "" for name in wanted]
    return _Rows(table.path, schema, read, _item(schema.names))


class _Rows:
    """Rows of one file. A position is the number of the next batch and of the last row.

    Args:
        path: the file.
        schema: of the rows.
        read: columns of the file; "" is a column of empty text.
        make: makes a row from their values.
        explode: each row of the file has a list of items in its second column; see `_explode`.
        first_time: for lists without times, the time of a row is its number plus this.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        read: list[str],
        make: Make,
        explode: bool = False,
        first_time: int | None = None,
    ) -> None:
        self.path, self.schema, self.size = path, schema, path.stat().st_size
        self._read, self._make, self._explode = read, make, explode
        self._first_time = first_time

    def batches(self, counts: RowCounts, position: Any, limit: int | None) -> Iterator[Batch]:
        """See `tpad.importers.source.Reader`."""
        left = float("inf") if limit is None else limit
        with opened(self.path) as table:
            number, row = position or (0, table.first - 1)

            def note(reason: str, action: str) -> None:
                counts.change(reason, action, (f"{self.path.name} row {row}",))

            size = SESSION_ROWS if self._explode else BATCH_ROWS
            for at, read in enumerate(table.batches(self._read, size)):
                if at < number:
                    continue
                if left <= 0:
                    break
                rows: list[tuple] = []
                numbered = self._exploded(read, row) if self._explode else enumerate(read, row + 1)
                for row, values in numbered:
                    if left <= 0:
                        break
                    left -= 1
                    counts.read += 1
                    try:
                        if not isinstance(values, tuple):
                            raise values or RowError(WRONG_FIELDS)
                        rows.append(self._make(values, note))
                    except RowError as error:
                        shown = f" ('{error.shown[:80]}')" if error.shown else ""
                        counts.drop(error.reason, (f"{self.path.name} row {row}{shown}",))
                yield Batch(rows, [at + 1, row], table.done)

    def _exploded(
        self, read: Iterable[tuple | None], row: int
    ) -> Iterator[tuple[int, tuple | RowError | None]]:
        """The rows of the file after `row`, exploded: pairs of its number and one click."""
        for number, values in enumerate(read, row + 1):
            if values is None:
                yield number, None
                continue
            if self._first_time is not None:
                values = (*values[:2], self._first_time + number, *values[2:])
            for single in _explode(*values):
                yield number, single


def _explode(owner: Any, items: list | None, *others: Any) -> Sequence[tuple | RowError]:
    """One row per item; the other columns are single values, or lists as long as the items."""
    if not items:
        return [RowError("row without items")]
    if any(isinstance(of, list) and len(of) != len(items) for of in others):
        return [RowError("row with lists of different lengths")] * len(items)
    columns = [of if isinstance(of, list) else [of] * len(items) for of in others]
    return list(zip([owner] * len(items), items, *columns, strict=True))


def _click(settings: ImportSettings) -> Make:
    click = click_maker(settings)

    def make(values: tuple, note: Note) -> tuple:
        owner, item, time, *rating = values
        return click(_text(owner), _text(item), time, *rating)

    return make


def _item(names: list[str]) -> Make:
    def make(values: tuple, note: Note) -> tuple:
        item = _text(values[0])
        if not item:
            raise RowError("missing item_id")
        refuse_list(item)
        row: list = [item]
        for name, value in zip(names[1:], values[1:], strict=True):
            if name == Columns.PRICE:
                row.append(to_price(value, note))
            elif name == IMAGE_URL:
                row.append(first_address(value))
            elif isinstance(value, list):
                row.append(", ".join(filter(None, plain_texts(_texts(value), name, note))))
            else:
                row.append(plain_text(_text(value), name, note))
        return tuple(row)

    return make


def _table_files(given: Path) -> list[Path]:
    """The files of a `save_to_disk` folder or of a folder of Parquet or CSV files; a file itself."""
    if not given.is_dir():
        return [plain_file(given)]
    if (given / "dataset_dict.json").is_file():
        splits = _json(given / "dataset_dict.json").get("splits", [])
        return [file for split in splits for file in _table_files(given / str(split))]
    if (given / "state.json").is_file():
        try:
            listed = [Path(f["filename"]).name for f in _json(given / "state.json")["_data_files"]]
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{given / 'state.json'} lists no files; save the dataset again."
            ) from error
        return [plain_file(given / name) for name in listed]
    found = sorted(given.rglob("*.parquet")) or sorted(given.rglob("*.csv"))
    if not found:
        raise DataError(
            f"{given} has neither dataset_dict.json nor state.json, nor Parquet or CSV files; give a "
            "folder that save_to_disk wrote."
        )
    return [plain_file(file) for file in found]


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged; save the dataset again.") from error
    return value if isinstance(value, dict) else {}


def _schema(path: Path) -> pa.Schema:
    with opened(path) as table:
        return table.schema


def _texts(value: Any) -> list[str]:
    """The texts of a plain value or of a (nested) list."""
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return [_text(value)]


def _text(value: Any) -> str:
    """Text of a plain value; 1.0 becomes "1"."""
    if isinstance(value, str):
        return value.strip()
    if value is None or isinstance(value, (bytes, dict, list)):
        return ""
    if isinstance(value, float):
        if value != value:
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else str(value)
    return str(value)

"""Writing the two tables as Parquet, by row groups."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tpad.data.columns import Columns
from tpad.importers.pictures import Pictures
from tpad.importers.tally import Tally

ROW_GROUP = 1 << 17  # rows


class TableWriter:
    """A Parquet file that is written table by table, in row groups of about `ROW_GROUP` rows.

    Args:
        path: the file.
        schema: of every table.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema)
        self._held: list[pa.Table] = []
        self._rows = 0

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Adds rows."""
        self._held.append(table)
        self._rows += table.num_rows
        if self._rows >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.concat_tables(self._held), row_group_size=ROW_GROUP)
        self._held, self._rows = [], 0


class ItemsWriter:
    """The item table: each id once, only what is wanted, and a bare row for what has no record.

    Args:
        path: the file.
        schema: `ITEM_FIELDS` and the format's further columns.
        clicked: ids of the items with clicks.
        all_items: keep records of other items as well.
        pictures: where the column `image` comes from; None if there is none.
        tally: counts what is left out.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        clicked: set[str],
        all_items: bool,
        tally: Tally,
        pictures: Pictures | None,
    ) -> None:
        self._schema, self._pictures = schema, pictures
        image = [pa.field(Columns.IMAGE, pa.string())] if pictures else []
        self._table = TableWriter(path, pa.schema([*schema, *image]))
        self._clicked, self._all, self._tally = clicked, all_items, tally
        self._written: set[str] = set()

    def __enter__(self) -> "ItemsWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._table.__exit__(*error)

    def write(self, records: pa.Table) -> None:
        """Adds the records that are wanted and new."""
        keep, seen, unclicked = [], [], []
        for row, item in enumerate(records[Columns.ITEM_ID].to_pylist()):
            if item in self._written:
                seen.append(item)
            elif not self._all and item not in self._clicked:
                unclicked.append(item)
            else:
                self._written.add(item)
                keep.append(row)
        self._tally.drop(
            "duplicate item_id, of which the first is kept",
            (f"item '{item}'" for item in seen),
            len(seen),
        )
        self._tally.drop(
            "record of an item without a click",
            (f"item '{item}'" for item in unclicked),
            len(unclicked),
        )
        self._tally.kept += len(keep)
        self._add(records.take(pa.array(keep, pa.int64())))

    def write_bare(self, categories: dict[str, str], has_records: bool) -> None:
        """Adds a row for every clicked item that has none yet.

        Args:
            categories: what the clicks tell of an item, by id.
            has_records: there were item files, so that a missing record is worth telling.
        """
        bare = sorted(self._clicked - self._written)
        if has_records:
            self._tally.change(
                "clicked item without a record in the item files",
                "its row holds the id only",
                (f"item '{item}'" for item in bare),
                len(bare),
            )
        for start in range(0, len(bare), ROW_GROUP):
            ids = bare[start : start + ROW_GROUP]
            known = {
                Columns.ITEM_ID: pa.array(ids, pa.string()),
                Columns.CATEGORY: pa.array([categories.get(item, "") for item in ids], pa.string()),
            }
            empty = pa.array([""] * len(ids), pa.string())
            columns = [
                known.get(field.name, empty if field.type == pa.string() else None)
                for field in self._schema
            ]
            arrays = [
                pa.nulls(len(ids), field.type) if column is None else column
                for column, field in zip(columns, self._schema, strict=True)
            ]
            self._add(pa.Table.from_arrays(arrays, schema=self._schema))
        self._tally.added += len(bare)

    def _add(self, items: pa.Table) -> None:
        if self._pictures:
            images = self._pictures.take(items[Columns.ITEM_ID].to_pylist())
            items = items.append_column(Columns.IMAGE, pa.array(images, pa.string()))
        self._table.write(items)


def count_ids(counts: dict[str, int], ids: pa.ChunkedArray) -> None:
    """Adds how often each id occurs."""
    for entry in pc.value_counts(ids.combine_chunks()).to_pylist():
        counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]

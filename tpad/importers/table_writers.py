"""Writes the two tables as Parquet, in row groups."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tpad.data.columns import Columns
from tpad.importers.counts import RowCounts
from tpad.importers.pictures import Pictures

ROW_GROUP = 1 << 17  # rows


class TableWriter:
    """Writes a Parquet file in row groups of about `ROW_GROUP` rows.

    Args:
        path: the file.
        schema: of all rows.
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
        """Add rows."""
        self._held.append(table)
        self._rows += table.num_rows
        if self._rows >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.concat_tables(self._held), row_group_size=ROW_GROUP)
        self._held, self._rows = [], 0


class ItemsWriter:
    """Writes the item table: each id once, and a row with only the id for items without a record.

    Args:
        path: the file.
        schema: `ITEM_FIELDS` and the further columns of the format.
        clicked: ids of the items with clicks.
        all_items: also keep records of other items.
        pictures: source of the column `image`; None for a table without it.
        counts: counts the skipped rows.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        clicked: set[str],
        all_items: bool,
        counts: RowCounts,
        pictures: Pictures | None,
    ) -> None:
        self._schema, self._pictures = schema, pictures
        image = [pa.field(Columns.IMAGE, pa.string())] if pictures else []
        self._table = TableWriter(path, pa.schema([*schema, *image]))
        self._clicked, self._all, self._counts = clicked, all_items, counts
        self._written: set[str] = set()

    def __enter__(self) -> "ItemsWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._table.__exit__(*error)

    def write(self, records: pa.Table) -> None:
        """Add the records of new items that are to be kept."""
        keep, seen, unclicked = [], [], []
        for row, item in enumerate(records[Columns.ITEM_ID].to_pylist()):
            if item in self._written:
                seen.append(item)
            elif not self._all and item not in self._clicked:
                unclicked.append(item)
            else:
                self._written.add(item)
                keep.append(row)
        self._counts.drop(
            "duplicate item_id, of which the first is kept",
            (f"item '{item}'" for item in seen),
            len(seen),
        )
        self._counts.drop(
            "record of an item without a click",
            (f"item '{item}'" for item in unclicked),
            len(unclicked),
        )
        self._counts.kept += len(keep)
        self._add(records.take(pa.array(keep, pa.int64())))

    def write_without_record(self, categories: dict[str, str], has_records: bool) -> None:
        """Add a row for every clicked item without a record.

        Args:
            categories: categories known from the clicks, by item id.
            has_records: there are item files; then a missing record is reported.
        """
        missing = sorted(self._clicked - self._written)
        if has_records:
            self._counts.change(
                "clicked item without a record in the item files",
                "its row has only the id",
                (f"item '{item}'" for item in missing),
                len(missing),
            )
        for start in range(0, len(missing), ROW_GROUP):
            ids = missing[start : start + ROW_GROUP]
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
        self._counts.added += len(missing)

    def _add(self, items: pa.Table) -> None:
        if self._pictures:
            images = self._pictures.take(items[Columns.ITEM_ID].to_pylist())
            items = items.append_column(Columns.IMAGE, pa.array(images, pa.string()))
        self._table.write(items)


def count_ids(counts: dict[str, int], ids: pa.ChunkedArray) -> None:
    """Add the number of occurrences of each id."""
    for entry in pc.value_counts(ids.combine_chunks()).to_pylist():
        counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]

"""Reads a file of interactions: a table of clicks, or sequences of users without times."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tpad.data.columns import Columns
from tpad.data.ids import to_ids
from tpad.data.items import ITEM_COLUMNS
from tpad.data.report import ReportBuilder
from tpad.data.sequences import is_sequence_file, read_sequences
from tpad.data.table_stream import is_parquet
from tpad.data.tables import read_table, require_columns
from tpad.errors import DataError, shown

_SESSION_REC = {
    "SessionId": Columns.SESSION_ID,
    "UserId": Columns.USER_ID,
    "ItemId": Columns.ITEM_ID,
    "Time": Columns.TIMESTAMP,
}
"""Column names of session-rec's click logs."""


@dataclass(frozen=True, eq=False)
class Interactions:
    """Clicks as they are read, not yet checked.

    Attributes:
        name: of the file, for messages.
        frame: one row per click, indexed by row number.
        is_sequences: the file has sequences of users, and the timestamps only number the clicks.
    """

    name: str
    frame: pd.DataFrame
    is_sequences: bool = False

    def item_ids(self) -> pd.Series:
        """The ids that are clicked, each once, in the order of the file.

        Raises:
            DataError: there is no such column.
        """
        require_columns(self.frame, [Columns.ITEM_ID], self.name)
        ids = to_ids(self.frame[Columns.ITEM_ID], self.name).drop_duplicates()
        return ids[ids != ""]


def read_interactions(path: str | Path, report: ReportBuilder) -> Interactions:
    """Read a table (CSV or Parquet) or a file with a line `user item item …` per user.

    The content decides the format, not the name. In a table, the column names of session-rec
    (SessionId, UserId, ItemId, Time) are accepted as well.

    Raises:
        DataError: the file cannot be read.
    """
    path = Path(path)
    if not is_parquet(path) and is_sequence_file(path):
        return Interactions(path.name, read_sequences(path, report), is_sequences=True)
    frame = read_table(path, report)
    names = {
        old: new
        for old, new in _SESSION_REC.items()
        if old in frame.columns and new not in frame.columns
    }
    return Interactions(path.name, frame.rename(columns=names))


def clicked_items(sources: list[Interactions], report: ReportBuilder) -> pd.DataFrame:
    """An item table made of the clicks: each item that is clicked, with nothing but its id."""
    ids = pd.concat([one.item_ids() for one in sources]).drop_duplicates()
    report.note(
        "item known only by its clicks",
        "the item has no title and no image",
        (f"item '{shown(item)}'" for item in ids),
        len(ids),
    )
    return _only_ids(ids)


def with_clicked_items(
    table: pd.DataFrame, source: Interactions, report: ReportBuilder
) -> pd.DataFrame:
    """The item table, with a row for each item that is clicked but not in it.

    Args:
        table: as `tpad.data.items.read_items` returns it.
        source: sequences of users.
        report: counts the items that are added.

    Raises:
        DataError: no item that is clicked is in the table.
    """
    ids = source.item_ids()
    missing = ids[~ids.isin(table[Columns.ITEM_ID])]
    if len(missing) == len(ids):
        raise no_known_item(source.name, ids.iloc[0], table[Columns.ITEM_ID].iloc[0])
    report.error(
        "item without a row in the item table",
        "the item is kept with an empty title",
        (f"{source.name} row {row} ('{shown(item)}')" for row, item in missing.items()),
        len(missing),
    )
    if missing.empty:
        return table
    return pd.concat([table, _only_ids(missing)], ignore_index=True)


def no_known_item(name: str, clicked: str, known: str) -> DataError:
    """The error of clicks that are all on items without a row in the item table."""
    return DataError(
        f"{name} has no click on a known item (it has '{shown(clicked)}', the item table "
        f"'{shown(known)}'); check that both tables use the same item_id."
    )


def _only_ids(ids: pd.Series) -> pd.DataFrame:
    """Rows of a standard item table with an id and nothing else."""
    table = pd.DataFrame({column: "" for column in ITEM_COLUMNS}, index=pd.RangeIndex(len(ids)))
    table = table.astype("str")
    table[Columns.ITEM_ID] = ids.to_numpy(dtype=object)
    table[Columns.ITEM_ID] = table[Columns.ITEM_ID].astype("str")
    table[Columns.PRICE] = np.nan
    return table

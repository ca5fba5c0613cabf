"""A table read in pieces is the table read at once."""

import pandas as pd
import pytest

from tpad.data import csv_table, parquet_table
from tpad.data.report import ReportBuilder
from tpad.data.table_stream import stream_table, table_columns
from tpad.data.tables import read_table
from tpad.errors import DataError


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(csv_table, "BLOCK", 2000)
    monkeypatch.setattr(parquet_table, "ROWS", 64)


@pytest.fixture
def table(tmp_path):
    """Quotes, line breaks, an unnamed column, and rows with too few fields."""
    path = tmp_path / "items.csv"
    rows = [f'i{i},"a ""t"",\nline {i}",{i},' if i % 133 != 5 else f"i{i},bad" for i in range(900)]
    path.write_text("\ufeffitem_id, title,price,\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("rows", [1, 100, 5000])
def test_the_parts_are_the_whole_table(table, rows):
    whole_report, report = ReportBuilder(), ReportBuilder()
    whole = read_table(table, whole_report)
    pieces = list(stream_table(table, rows, report))
    assert {len(piece) for piece in pieces[:-1]} <= {rows}
    pd.testing.assert_frame_equal(pd.concat(pieces), whole, check_index_type=False)
    assert report.build() == whole_report.build()
    assert table_columns(table) == ["item_id", "title", "price"]


def test_parquet(table, tmp_path):
    path = tmp_path / "items.parquet"
    read_table(table, ReportBuilder()).to_parquet(path, index=False, row_group_size=50)
    pieces = list(stream_table(path, 100, ReportBuilder()))
    assert [len(piece) for piece in pieces] == [100] * 8 + [93]
    pd.testing.assert_frame_equal(
        pd.concat(pieces), read_table(path, ReportBuilder()), check_index_type=False
    )
    assert table_columns(path) == ["item_id", "title", "price"]
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="damaged Parquet"):
        list(stream_table(path, 10, ReportBuilder()))


def test_some_columns(table):
    piece = next(stream_table(table, 10, ReportBuilder(), ["price", "shelf"]))
    assert list(piece.columns) == ["price"] and piece["price"].tolist()[:2] == ["0", "1"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"item_id,title\n" + b"a,x\n" * 2000 + b"b,\xff\n", "not UTF-8"),
        (b'item_id,title\na,"x\nb,y\n', "row 2 opens a quote that is never closed"),
        (b"item_id,title,item_id\na,b,c\n", "two columns 'item_id'"),
        (b"PK\x03\x04rest", "Excel"),
        (b"", "is empty"),
    ],
)
def test_errors_are_reported(tmp_path, content, words):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        list(stream_table(path, 10, ReportBuilder()))

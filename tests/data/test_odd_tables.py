"""Odd files get one outcome, whether the table is read whole or in pieces."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tpad.data import csv_table, parquet_table
from tpad.data.report import ReportBuilder
from tpad.data.table_stream import stream_table, table_columns
from tpad.data.tables import read_table
from tpad.errors import DataError

BOM = b"\xef\xbb\xbf"
MANY = b"item_id,title\n" + b"a,b\n" * 600


def invalid_text(valid_rows: int = 1) -> pa.Array:
    """Strings of one byte, the last of which is no UTF-8; Parquet stores it as it is."""
    n = valid_rows + 1
    offsets = pa.py_buffer(np.arange(n + 1, dtype=np.int32).tobytes())
    return pa.Array.from_buffers(
        pa.string(), n, [None, offsets, pa.py_buffer(b"a" * valid_rows + b"\xff")]
    )


def parquet(**columns) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def wide(n: int) -> bytes:
    return ",".join(f"column{i}" for i in range(n)).encode() + b"\n" + b"x," * (n - 1) + b"x\n"


def outcome(read) -> object:
    try:
        return read()
    except DataError as error:
        return str(error)


ODD = {
    "two byte order marks": (BOM + BOM + b"item_id,title\na,b\n", (1, 2)),
    "blank lines first": (b"\n\r\n" + BOM + b"item_id,title\na,b\n", (1, 2)),
    "no last line break": (b"item_id,title\na,b", (1, 2)),
    "header alone": (b"item_id,title", "no usable row"),
    "old line breaks": (b"item_id,title\ra,b\r", (1, 2)),
    "zero byte far below": (MANY + b"c,\0d\n", r"line 602 contains a zero byte"),
    "bad byte far below": (MANY + b"c,\xe9\n", r"line 602 contains the byte 0xE9"),
    "cut character at the end": (MANY + b"c,\xc3", r"line 602 contains the byte 0xC3"),
    "long header": (wide(900), (1, 900)),
    "too many columns": (wide(60_000), "has 60,000 columns"),
    "column twice": (b"item_id,title,item_id\na,b,c\n", "two columns 'item_id'"),
    "line break in the header": (b'"item_id\n",title\na,b\n', "in its header"),
    "no name": (b",,\na,b,c\n", "no column names"),
    "open quote in a short row": (b'a,b\n0,1\n"1,x\n2,y\n3,z\n', "row 3 opens a quote"),
    "open quote in a last field": (MANY + b'c,"d\ne,f\n', "row 602 opens a quote"),
    "long row": (MANY + b"c," + b"d" * 20_000 + b"\n", "row of more than"),
    "rows of three fields": (b"a,b\n" + b"1,2,3\n" * 8, "8 rows have 3 fields, the header has 2"),
    "spaces": (b" \n" * 3000, "is empty"),
    "no UTF-8 in Parquet": (
        parquet(item_id=invalid_text(100)),
        "row 101 holds text in column 'item_id' that is not UTF-8",
    ),
    "no row in Parquet": (parquet(item_id=pa.array([], pa.string())), "no usable row"),
    "column twice in Parquet": (
        pa.BufferOutputStream,  # made below: a dict cannot hold one name twice
        "two columns 'a'",
    ),
    "cut Parquet": (parquet(item_id=["a", "b"])[:-30], "damaged Parquet"),
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(csv_table, "BLOCK", 4096)
    monkeypatch.setattr(parquet_table, "ROWS", 64)


@pytest.mark.parametrize("kind", ODD)
def test_both_readers_agree(tmp_path, kind, monkeypatch):
    content, expected = ODD[kind]
    if not isinstance(content, bytes):
        sink = content()
        pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), sink)
        content = sink.getvalue().to_pybytes()
    if kind in ("long header", "too many columns"):
        monkeypatch.setattr(csv_table, "BLOCK", 1 << 24)
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    reports = ReportBuilder(), ReportBuilder()
    whole = outcome(lambda: read_table(path, reports[0]))
    pieces = outcome(lambda: pd.concat(list(stream_table(path, 7, reports[1]))))
    assert reports[0].build() == reports[1].build()
    if isinstance(expected, str):
        assert whole == pieces and isinstance(whole, str)
        assert re.search(expected, whole) and "\n" not in whole
        return
    assert (whole.shape == expected and "item_id" in whole) or kind == "long header"
    pd.testing.assert_frame_equal(whole, pieces, check_index_type=False)
    assert table_columns(path) == list(whole.columns)


def test_the_end_of_the_file_is_checked_for_any_columns(tmp_path):
    path = tmp_path / "items.csv"
    path.write_bytes(b'item_id,title\na,b\nc,"d\ne,f\n')
    with pytest.raises(DataError, match="row 3 opens a quote"):
        list(stream_table(path, 10, ReportBuilder(), ["item_id"]))


@pytest.mark.parametrize("kind", ["text", "dictionary"])
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before_it_is_read(tmp_path, kind):
    path = tmp_path / "bomb.parquet"
    rows = pa.DictionaryArray.from_arrays(np.zeros(500_000, np.int8), pa.array(["x" * 190]))
    rows = rows.dictionary_decode() if kind == "text" else rows
    with pq.ParquetWriter(path, pa.schema({"item_id": rows.type}), compression="zstd") as writer:
        for _ in range(20):
            writer.write_table(pa.table({"item_id": rows}))
    for read in (
        lambda: read_table(path, ReportBuilder()),
        lambda: next(stream_table(path, 10, ReportBuilder())),
    ):
        with pytest.raises(DataError, match=r"0\.\d MB but unpacks to 1\.9 GB \(10,000,000 rows\)"):
            read()


@pytest.mark.parametrize("groups", [1, 4], ids=["a dictionary", "row groups"])
def test_long_repeated_values_are_refused_before_they_are_unpacked(tmp_path, groups):
    path = tmp_path / "bomb.parquet"
    rows = pa.DictionaryArray.from_arrays(np.zeros(2_000, np.int16), pa.array(["x" * 1_000_000]))
    schema = pa.schema({"title": rows.type})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for _ in range(groups):
            writer.write_table(pa.table({"title": rows}))
    before = pa.total_allocated_bytes()
    for read in (
        lambda: read_table(path, ReportBuilder()),
        lambda: next(stream_table(path, 10, ReportBuilder())),
        lambda: parquet_table.refuse_bomb(path),
    ):
        with pytest.raises(DataError, match=rf"but unpacks to {2 * groups}\.0 GB"):
            read()
    assert pa.total_allocated_bytes() < before + 500_000_000


def test_a_header_with_quotes_has_its_columns_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_table, "BLOCK", 1 << 24)
    monkeypatch.setattr(csv_table.pa_csv, "read_csv", lambda *_, **__: pytest.fail("was parsed"))
    path = tmp_path / "items.csv"
    path.write_text(",".join(f'"a, {at}"' for at in range(10_001)) + "\n1\n")
    with pytest.raises(DataError, match="has 10,001 columns"):
        table_columns(path)


def test_a_long_name_of_a_column(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_table, "BLOCK", 1 << 24)
    path = tmp_path / "items.csv"
    path.write_text("item_id," + "t" * 3_000_000 + "\na,b\n")
    assert read_table(path, ReportBuilder())["item_id"].tolist() == ["a"]


def test_integers_with_missing_values_keep_their_digits(tmp_path):
    path = tmp_path / "items.parquet"
    large = 2**53 + 1
    path.write_bytes(parquet(item_id=pa.array([large, None] * 100, pa.int64())))
    assert read_table(path, ReportBuilder())["item_id"].iloc[0] == large


def test_the_index_of_a_frame_is_a_column(tmp_path):
    path = tmp_path / "items.parquet"
    frame = pd.DataFrame({"item_id": ["a", "b"], "title": ["x", "y"]})
    frame.set_index("item_id").to_parquet(path)
    assert read_table(path, ReportBuilder())["item_id"].tolist() == ["a", "b"]
    frame.iloc[::-1].to_parquet(path)
    assert table_columns(path) == ["item_id", "title"]

"""Bad tables get one sentence each; what is written in a cell is what is read."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from tpad.data.report import ReportBuilder
from tpad.data.tables import read_table, to_numbers, to_text
from tpad.data.times import to_unix_seconds
from tpad.errors import DataError


def read(tmp_path, content, name="table.csv", strict=False):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    report = ReportBuilder(strict)
    return read_table(path, report), report.build()


def refusal(tmp_path, content, name="table.csv") -> str:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content, name)
    message = str(caught.value)
    assert name in message and "\n" not in message
    return message


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_csv_dialects(tmp_path, newline, delimiter, bom):
    lines = [delimiter.join(cells) for cells in (["a", " b "], ["007", "NA"], ["1.0", "é"])]
    frame, report = read(tmp_path, bom + newline.join(lines).encode())
    assert frame.to_dict("list") == {"a": ["007", "1.0"], "b": ["NA", "é"]}
    assert frame.index.tolist() == [2, 3] and not report.findings


def test_quotes_commas_and_line_breaks_in_a_cell(tmp_path):
    frame, _ = read(tmp_path, 'a,b\n1,"x, ""y""\nz"\n2,5" screen\n')
    assert frame["b"].tolist() == ['x, "y"\nz', '5" screen']


def test_rows_with_too_many_or_few_fields_are_counted_with_their_number(tmp_path):
    frame, report = read(tmp_path, "a,b\n1,2\n3\n4,5,6\n\n7,8\n")
    assert frame["a"].tolist() == ["1", "7"] and frame.index.tolist() == [2, 5]
    finding = report.findings[0]
    assert finding.count == 2 and "row 3: 1 fields, not 2" in finding.examples[0]
    with pytest.raises(DataError, match=r"table\.csv row 3.*without strict"):
        read(tmp_path, "a,b\n1,2\n3\n", strict=True)


def test_columns_without_a_name_are_ignored(tmp_path):
    frame, _ = read(tmp_path, "a,b,,\n1,2,,\n")
    assert frame.to_dict("list") == {"a": ["1"], "b": ["2"]}
    frame, _ = read(tmp_path, "\ta\tb\n0\t1\t2\n")
    assert frame.to_dict("list") == {"a": ["1"], "b": ["2"]}


def test_one_more_row_than_a_block_of_the_parser(tmp_path):
    frame, _ = read(tmp_path, "a,b\n" + "".join(f"{i},{'x' * 50}\n" for i in range(60_000)))
    assert len(frame) == 60_000 and frame["a"].iloc[-1] == "59999"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"a,b\n", "no usable row"),
        (b"a,b", "no usable row"),
        (b"a,b\n1\n", "no usable row"),
        (b"a,a\n1,2\n", "two columns 'a'"),
        (b"a;b\n1;2\n", "separates its columns by ';'"),
        (b'a,b\n1,"x\n2,y\n3,z\n', "row 2 opens a quote that is never closed"),
        (b'a,b\n0,1\n"1,x\n2,y\n3,z\n', "row 3 opens a quote that is never closed"),
        ("a,b\n1,2\n3,café\n".encode("latin-1"), r"not UTF-8 \(line 3 contains the byte 0xE9\)"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16 text"),
        ("a,b\n1,2\n".encode("utf-16-le"), "not a text file"),
        (b"PK\x03\x04" + b"x" * 50, "Excel workbook"),
        (b"\x1f\x8b\x08" + b"x" * 50, "gzip-compressed"),
        (b"PAR1" + b"x" * 50, "damaged Parquet"),
    ],
)
def test_refused_files(tmp_path, content, sentence):
    assert re.search(sentence, refusal(tmp_path, content))


def test_a_csv_named_parquet(tmp_path):
    assert "not a Parquet file" in refusal(tmp_path, "a\n1\n", "table.parquet")


def test_no_such_file_and_a_folder(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_table(tmp_path / "none.csv", ReportBuilder())
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path, ReportBuilder())


def test_parquet_by_content(tmp_path):
    path = tmp_path / "table.csv"
    pd.DataFrame({"a": [1, 2]}, index=[7, 8]).to_parquet(path)
    frame = read_table(path, ReportBuilder())
    assert frame["a"].tolist() == [1, 2] and frame.index.tolist() == [1, 2]


def test_text_of_any_column():
    cases = [
        (pd.Series([1.0, np.nan, 2.5]), ["1", "", "2.5"]),
        (pd.Series([7, 10**17], dtype="int64"), ["7", str(10**17)]),
        (pd.Series([7, None], dtype="Int64"), ["7", ""]),
        (pd.Series([" a ", None], dtype="str"), ["a", ""]),
        (pd.Series(["007", 7, b"x", None], dtype=object), ["007", "7", "x", ""]),
        (pd.Series(["a", None, "b"], dtype="category"), ["a", "", "b"]),
    ]
    for column, expected in cases:
        assert to_text(column).tolist() == expected


@settings(max_examples=60)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1)))
def test_ids_survive_csv(tmp_path_factory, ids):
    path = tmp_path_factory.mktemp("csv") / "ids.csv"
    pd.DataFrame({"item_id": [*ids, "end"], "n": 1}).to_csv(path, index=False)
    assert to_text(read_table(path, ReportBuilder())["item_id"]).tolist() == [*ids, "end"]


def test_numbers():
    values, bad = to_numbers(pd.Series(["1.5", "", "nan", "-2", "abc", "inf", "1e3", "12,5"]))
    np.testing.assert_array_equal(values, [1.5, np.nan, np.nan, -2, np.nan, np.nan, 1000, np.nan])
    assert bad.tolist() == [False, False, True, False, True, True, False, True]
    values, bad = to_numbers(pd.Series([1.0, np.nan, np.inf]))
    np.testing.assert_array_equal(values, [1.0, np.nan, np.nan])
    assert bad.tolist() == [False, False, True]


def test_times():
    day = 1704067200  # 2024-01-01T00:00:00Z
    texts = ["1704067200", "1704067200.9", "2024-01-01", "2024-01-01T01:00:00+01:00"]
    texts += ["2024-01-01 00:00:00Z", "2024-01-01T00:00:00.250"]
    seconds, bad = to_unix_seconds(pd.Series(texts), "t")
    assert seconds.tolist() == [day] * len(texts) and not bad.any()
    unreadable = ["", "01/02/2024", "2024-13-01", "-5", "soon", "2024"]
    _, bad = to_unix_seconds(pd.Series(unreadable), "t")
    assert bad.tolist() == [True] * 5 + [False]  # a plain number is Unix seconds
    for dates in (
        pd.Series(pd.to_datetime(["2024-01-01", None])),
        pd.Series(pd.to_datetime(["2024-01-01", None])).dt.tz_localize("UTC"),
    ):
        seconds, bad = to_unix_seconds(dates, "t")
        assert seconds[0] == day and bad.tolist() == [False, True]


def test_milliseconds_are_named():
    with pytest.raises(DataError, match="divide the column by 1000"):
        to_unix_seconds(pd.Series([1704067200000, 1704067201000]), "t")

"""One rule says how an id is read, whatever file it comes from."""

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as torch_file

from tpad.data import Dataset
from tpad.data.clicks import read_clicks
from tpad.data.ids import ids_of_json, to_ids
from tpad.data.items import read_items
from tpad.data.report import ReportBuilder
from tpad.data.vectors import VectorFile
from tpad.errors import DataError

IDS = ["1", "2", "007", "a b", "12345678901234567890"]
WRITTEN = {
    "as they are": IDS,
    "with spaces around": [f" {one}\t" for one in IDS],
    "numbers as fractions": ["1.0", "2.0", *IDS[2:]],
}
ROWS = np.arange(10, dtype=np.float32).reshape(5, 2)


def of_items(path, ids):
    frame = pd.DataFrame({"item_id": ids, "title": "t"})
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return read_items(path, ReportBuilder())["item_id"].tolist()


def of_clicks(path, ids):
    frame = pd.DataFrame({"session_id": "s", "item_id": ids, "timestamp": range(1, 6)})
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    clicks = read_clicks(path, pd.Series(IDS), ReportBuilder())
    return [IDS[item] for item in clicks.item]


def of_vectors(path, ids):
    if path.name == "named.safetensors":
        save_file(dict(zip(ids, ROWS, strict=True)), path)
        return sorted(VectorFile.read(path).ids, key=IDS.index)
    if path.suffix == ".safetensors":
        save_file({"x": ROWS}, path, {"item_ids": json.dumps(list(ids))})
    elif path.suffix == ".npz":
        np.savez(path, features=ROWS, item_id=np.array(ids))
    else:
        pd.DataFrame({"item_id": ids, "x": ROWS[:, 0]}).to_parquet(path)
    return VectorFile.read(path).ids


FILES = [
    (of_items, "items.csv"),
    (of_items, "items.parquet"),
    (of_clicks, "clicks.csv"),
    (of_clicks, "clicks.parquet"),
    (of_vectors, "named.safetensors"),
    (of_vectors, "exported.safetensors"),
    (of_vectors, "v.npz"),
    (of_vectors, "v.parquet"),
]


@pytest.mark.parametrize(("read", "name"), FILES, ids=[f"{f.__name__}-{n}" for f, n in FILES])
@pytest.mark.parametrize("written", WRITTEN)
def test_every_file_gives_the_same_ids(tmp_path, read, name, written):
    assert read(tmp_path / name, WRITTEN[written]) == IDS


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0, 2.0]),
        np.array([1, 2], np.uint64),
        np.array([1, "2.0"], object),
        [b"1", 2],
        [1.0, "2"],
        np.array(["1", "2"]),
        pd.Series([1, 2], dtype="Int64"),
        np.array([b"1", b"2"]),
        [Decimal("1.00"), Decimal(2)],
        pd.Series(["1", "2.0"], dtype="category"),
    ],
)
def test_every_kind_of_array_gives_the_same_ids(values):
    assert to_ids(values).tolist() == ["1", "2"]


def test_other_numbers_do_not_change():
    texts = ["1.00", "01.0", "1.5", "v1.0", "-3", "1e5", ".0"]
    assert to_ids(texts).tolist() == texts
    assert to_ids([None, np.nan, pd.NA, ""]).tolist() == [""] * 4


def test_large_ids_keep_their_digits(tmp_path):
    large = [2**53 + 1, 2**53 + 2]
    ids = pd.array([*large, None], dtype="Int64")
    clicks = pd.DataFrame({"session_id": "s", "item_id": ids, "timestamp": [1, 2, 3]})
    clicks.to_parquet(tmp_path / "clicks.parquet")
    items = to_ids(large)
    assert items.tolist() == [str(one) for one in large]
    assert read_clicks(tmp_path / "clicks.parquet", items, ReportBuilder()).item.tolist() == [0, 1]
    text = json.dumps([*large, 10**30])
    assert ids_of_json(text, "t") == [*map(str, large), str(10**30)]


@pytest.mark.parametrize(
    "values", [[1.0, 2.0**53], ["a", "1.23457E+15"], ["a", "9.007199254740994e+15"], [2.0**60, "a"]]
)
def test_numbers_that_have_lost_digits_are_refused(values):
    with pytest.raises(DataError, match=r"items.csv row \d has .* a number that has lost digits"):
        to_ids(pd.Series(values), "items.csv")


@pytest.mark.parametrize("column", ["item_id", "title", "category"])
@pytest.mark.parametrize("value", [["a", "b"], {"en": "a"}, np.array([1, 2])])
def test_nested_values_are_refused(tmp_path, column, value):
    frame = pd.DataFrame({"item_id": ["a", "b"], "title": ["x", "y"], "category": ["c", "d"]})
    frame[column] = [value, value]
    frame.to_parquet(tmp_path / "items.parquet")
    named = f"items.parquet row 1 holds a list or another collection .* in the column {column}"
    with pytest.raises(DataError, match=named):
        read_items(tmp_path / "items.parquet", ReportBuilder())


def test_bytes_that_are_not_text_are_refused():
    with pytest.raises(DataError, match="row 1 holds text in the column title that is not UTF-8"):
        read_items(pd.DataFrame({"item_id": ["a"], "title": [b"\xff"]}), ReportBuilder())


def test_long_values_are_cut_in_messages(tmp_path):
    long = "x" * 100_000
    frame = pd.DataFrame({"item_id": ["a", "b", "a\n" + long], "title": "t", "price": -1})
    frame.to_csv(tmp_path / "items.csv", index=False)
    rows = [("s", long, 1), ("s", "a", long), ("s", "b", 3)]
    clicks = pd.DataFrame(rows, columns=["session_id", "item_id", "timestamp"])
    clicks.to_csv(tmp_path / "clicks.csv", index=False)
    report = ReportBuilder()
    items = read_items(tmp_path / "items.csv", report)
    read_clicks(tmp_path / "clicks.csv", items["item_id"], report)
    assert len(str(report.build())) < 2_000 and str(report.build()).count("\n") < 6
    clicks.assign(split=long).to_csv(tmp_path / "clicks.csv", index=False)
    with pytest.raises(DataError) as caught:
        read_clicks(tmp_path / "clicks.csv", items["item_id"], report)
    assert len(str(caught.value)) < 500


def test_a_single_item_is_refused(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\na,x\na,y\n")
    (tmp_path / "clicks.csv").write_text("session_id,item_id,timestamp\ns,a,1\ns,a,2\n")
    with pytest.raises(DataError) as caught:
        Dataset.load(tmp_path / "items.csv", tmp_path / "clicks.csv")
    assert str(caught.value) == (
        "items.csv has a single item, 'a' (1 × duplicate item_id, such as items.csv row 3 (item 'a')); "
        "give at least two."
    )


def test_an_error_of_clicks_does_not_mention_items(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title,price\na,x,-1\nb,y,\nb,z,\n")
    (tmp_path / "clicks.csv").write_text("session_id,item_id,timestamp\ns,a,soon\ns,b,now\n")
    with pytest.raises(DataError, match="no usable click: 2 × unreadable timestamp") as caught:
        Dataset.load(tmp_path / "items.csv", tmp_path / "clicks.csv")
    assert "price" not in str(caught.value) and "duplicate" not in str(caught.value)


@pytest.mark.parametrize(("dtype", "last"), [(np.float32, 2**24), (np.float16, 2**11)])
def test_floats_of_less_precision_lose_digits_earlier(dtype, last):
    assert to_ids(np.array([1, last - 1], dtype)).tolist() == ["1", str(last - 1)]
    with pytest.raises(DataError, match="lost digits"):
        to_ids(np.array([1, last], dtype))
    with pytest.raises(DataError, match="lost digits"):
        to_ids(pd.Series([1, 2**53, None], dtype="Float64"))


def test_vector_files_that_hold_no_table_are_refused(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000, 4), }"
    (tmp_path / "huge.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00" + header.ljust(117) + b"\n")
    np.savez(tmp_path / "one.npz", features=np.float32(3))
    np.savez(tmp_path / "ids.npz", features=np.float32(3), item_id=np.array(["a"]))
    torch_file(
        {"features": torch.ones(2, 3, dtype=torch.complex64)}, tmp_path / "complex.safetensors"
    )
    for name in ("huge.npy", "one.npz", "ids.npz", "complex.safetensors"):
        with pytest.raises(DataError, match=name):
            VectorFile.read(tmp_path / name).of(["a", "b"])

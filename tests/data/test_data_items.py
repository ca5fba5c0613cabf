"""Row errors of the item table are mended, counted and named."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tpad.data.items import ITEM_COLUMNS, read_items
from tpad.data.report import ReportBuilder
from tpad.errors import DataError

BAD = """item_id,title,price,image,brand
a,Phone,1.5,images/a.png,Kipo
,No id,1,,x
b,Case,-3,images/none.png,x
a,Again,9,,x
c,Cable,cheap,../x.png,x
d,,nan,,x
e,Cap,,,x
"""
FAULTS = {
    "missing item_id": (1, "row 3"),
    "duplicate item_id": (1, "row 5 (item 'a')"),
    "price is not a number": (2, "row 6 (item 'c')"),
    "negative price": (1, "row 4 (item 'b')"),
    "missing image": (2, "row 4: 'images/none.png' does not exist"),
    "item without title, image and description": (1, "row 7 (item 'd')"),
}


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "images" / "a.png")
    (tmp_path / "items.csv").write_text(BAD, encoding="utf-8")
    return tmp_path


def test_invalid_values_are_repaired_and_counted(shop):
    builder = ReportBuilder()
    items = read_items(shop / "items.csv", builder)
    report = builder.build()
    assert items.columns.tolist() == [*ITEM_COLUMNS, "brand"]
    assert items["item_id"].tolist() == ["a", "b", "c", "d", "e"]
    assert items["title"].tolist() == ["Phone", "Case", "Cable", "", "Cap"]
    assert items["image"].tolist() == ["images/a.png", "", "", "", ""]
    np.testing.assert_array_equal(items["price"], [1.5, *[np.nan] * 4])
    assert items.index.equals(pd.RangeIndex(5))
    assert (items["description"] == "").all() and (items["category"] == "").all()
    for reason, (count, example) in FAULTS.items():
        assert report.count(reason) == count
        finding = next(f for f in report.findings if f.reason == reason)
        assert example in finding.examples[0]
    assert report.errors == sum(count for count, _ in FAULTS.values())
    assert set(report.as_dict()) == set(FAULTS) and "negative price" in str(report)


@pytest.mark.parametrize("reason", FAULTS)
def test_strict_raises_each_of_them(tmp_path, reason):
    row = {
        "missing item_id": ",No id,1,",
        "duplicate item_id": "z,Twice,1,",
        "price is not a number": "b,Case,cheap,",
        "negative price": "b,Case,-1,",
        "missing image": "b,Case,1,images/none.png",
        "item without title, image and description": "b,,1,",
    }[reason]
    (tmp_path / "items.csv").write_text(f"item_id,title,price,image\nz,Zip,1,\n{row}\n")
    with pytest.raises(DataError, match=rf"^items\.csv row 3.*: {reason}; correct the table"):
        read_items(tmp_path / "items.csv", ReportBuilder(strict=True))


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("id,title\n1,x\n", "no column 'item_id' .it has: id, title."),
        ("item_id,name\n1,x\n", "neither a column 'title' nor 'image'"),
        ("item_id,title\n,x\n,y\n", "no row with an item_id"),
    ],
)
def test_fatal(tmp_path, header, sentence):
    (tmp_path / "items.csv").write_text(header)
    with pytest.raises(DataError, match=sentence):
        read_items(tmp_path / "items.csv", ReportBuilder())


def test_attributes_may_take_the_place_of_a_title(tmp_path):
    (tmp_path / "items.tsv").write_text("item_id\tdescription\nx\tred, leather\ny\t\n")
    builder = ReportBuilder()
    items = read_items(tmp_path / "items.tsv", builder)
    assert items["title"].tolist() == ["", ""]
    assert items["description"].tolist() == ["red, leather", ""]
    assert builder.build().count("item without title, image and description") == 1


def test_parquet_with_numbers_as_ids(tmp_path):
    pd.DataFrame({"item_id": [1.0, 2.0, np.nan], "title": ["a", None, "c"]}).to_parquet(
        tmp_path / "items.parquet"
    )
    builder = ReportBuilder()
    items = read_items(tmp_path / "items.parquet", builder)
    assert items["item_id"].tolist() == ["1", "2"] and items["title"].tolist() == ["a", ""]


def test_a_frame_is_accepted_and_not_changed(shop):
    frame = pd.DataFrame({"item_id": ["x", "y"], "image": ["images/a.png", "images/b.png"]})
    before = frame.copy()
    builder = ReportBuilder()
    assert read_items(frame, builder)["image"].tolist() == ["images/a.png", "images/b.png"]
    assert read_items(frame, builder, shop)["image"].tolist() == ["images/a.png", ""]
    pd.testing.assert_frame_equal(frame, before)


def test_examples_are_few_but_the_count_is_whole(tmp_path):
    rows = "".join(f"{i},t,-1\n" for i in range(100))
    (tmp_path / "items.csv").write_text("item_id,title,price\n" + rows)
    builder = ReportBuilder()
    read_items(tmp_path / "items.csv", builder)
    finding = builder.build().findings[0]
    assert finding.count == 100 and len(finding.examples) == 5

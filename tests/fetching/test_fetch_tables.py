"""The stored pictures and the written table."""

import hashlib
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from fetching_shop import picture
from misbehaving_server import answer
from PIL import Image

from tpad.errors import DataError

GOOD = answer(picture())


# --- pictures ------------------------------------------------------------------------------------


def exif_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    exif[0x010F] = "a camera that tells too much"
    return picture(size=(40, 20), exif=exif)


def animated() -> bytes:
    out = io.BytesIO()
    frames = [Image.new("P", (40, 20), number) for number in range(3)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def cmyk() -> bytes:
    out = io.BytesIO()
    Image.new("CMYK", (40, 20), (0, 255, 255, 0)).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.parametrize("form", ["webp", "jpg", "png"])
@pytest.mark.parametrize(
    ("body", "size"),
    [
        (exif_rotated(), (20, 40)),
        (animated(), (40, 20)),
        (cmyk(), (40, 20)),
        (picture(fmt="PNG", size=(900, 300)), (64, 21)),
    ],
    ids=["exif", "animated", "cmyk", "large"],
)
def test_pictures_are_encoded_again(shop, server, body, size, form):
    server.pages["/a"] = answer(body)
    assert shop.fetch("a", size=64, format=form).with_picture == 1
    (path,) = shop.files
    assert path.suffix == f".{form}" and b"camera" not in path.read_bytes()
    with Image.open(path) as image:
        assert image.mode == "RGB" and image.size == size
        assert getattr(image, "n_frames", 1) == 1 and not image.getexif()
        assert not {"exif", "icc_profile", "xmp", "comment"} & set(image.info)


def test_equal_pictures_are_stored_once_under_their_digest(shop, server):
    server.pages |= {f"/{n}.png": answer(picture(fmt="PNG")) for n in range(5)}
    server.pages["/5.png"] = answer(picture("blue", fmt="PNG"))
    report = shop.fetch(*(f"{n}.png" for n in range(6)))
    assert report.with_picture == 6 and report.files == 2 == len(shop.files)
    for path in shop.files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.relative_to(shop.out) == Path("images", digest[:2], f"{digest}.webp")


# --- tables --------------------------------------------------------------------------------------


def test_the_table_stays_and_image_is_set(shop, server):
    server.pages["/a.jpg"] = GOOD
    shop.write(
        [
            {"item_id": "007", "title": "a", "image": "http://shop.test/a.jpg", "colour": "NA"},
            {"item_id": "008", "title": "b", "image": "http://shop.test/gone.jpg", "colour": ""},
            {"item_id": "009", "title": "c", "image": "", "colour": "red"},
            {"item_id": "010", "title": "d", "image": "mine/d.jpg", "colour": "red"},
            {"item_id": "011", "title": "e", "image": "http://shop.test/a.jpg", "colour": "blue"},
        ]
    )
    report = shop.fetch()
    table = shop.table
    path = str(shop.files[0].relative_to(shop.out))
    assert list(table["image"]) == [path, "", "", "mine/d.jpg", path]
    assert list(table.columns) == ["item_id", "title", "image", "colour"]
    assert list(table["item_id"]) == ["007", "008", "009", "010", "011"]
    assert list(table["colour"]) == ["NA", "", "red", "red", "blue"]
    assert (report.rows, report.with_picture, report.local, report.local_missing) == (5, 2, 1, 1)
    assert report.without_address == 1 and report.failed == {"HTTP 404": 1}
    assert server.paths().count("/a.jpg") == 1  # named twice, fetched once
    assert shop.failures.iloc[0].to_dict() == {
        "item_id": 8,
        "url": "http://shop.test/gone.jpg",
        "reason": "HTTP 404",
        "status": 404,
        "attempts": 1,
        "kind": "permanent",
        "detail": "shop.test responded with status 404.",
    }


def test_image_url_goes_before_image_and_local_pictures_stay(shop, server):
    server.pages |= {"/a.jpg": GOOD, "/b.jpg": GOOD}
    shop.out.mkdir()
    (shop.out / "mine.jpg").write_bytes(picture())
    shop.write(
        [
            {"item_id": "1", "image": "", "image_url": "http://shop.test/a.jpg"},
            {"item_id": "2", "image": "mine.jpg", "image_url": "http://shop.test/never.jpg"},
            {"item_id": "3", "image": "http://shop.test/b.jpg", "image_url": ""},
            {"item_id": "4", "image": "C:\\pictures\\a.jpg", "image_url": ""},
        ]
    )
    report = shop.fetch()
    assert sorted(server.paths()) == ["/a.jpg", "/b.jpg"]
    image = list(shop.table["image"])
    assert image[0] == image[2] != "" and image[1] == "mine.jpg" and image[3].startswith("C:")
    assert (report.local, report.local_missing) == (2, 1)


def test_a_parquet_table_keeps_its_types(shop, server):
    server.pages["/a.jpg"] = GOOD
    shop.items = shop.items.with_suffix(".parquet")
    frame = pd.DataFrame(
        {
            "item_id": [1, 2],
            "price": [1.5, None],
            "stock": [3, 4],
            "tags": [["a"], []],
            "photo": ["http://shop.test/a.jpg", None],
        }
    )
    frame.to_parquet(shop.items)
    assert shop.fetch(column="photo").with_picture == 1
    table = shop.table
    assert table["stock"].dtype == "int64" and table["price"].isna().tolist() == [False, True]
    assert [list(tags) for tags in table["tags"]] == [["a"], []]
    assert list(table.columns) == [*frame.columns, "image"] and table["image"][1] == ""


def test_what_is_written_can_be_loaded_as_a_dataset(shop, server):
    from tpad.data.items import read_items
    from tpad.data.report import ReportBuilder

    server.pages["/a.jpg"] = GOOD
    shop.fetch("a.jpg", "gone.jpg")
    report = ReportBuilder()
    items = read_items(shop.out / "items.parquet", report)
    assert report.build().count("missing image") == 0 and items["image"][0].startswith("images/")


@pytest.mark.parametrize("column", ["photo", None])
def test_a_table_without_the_column_is_refused(shop, column):
    shop.write([{"item_id": "1", "title": "x"}])
    with pytest.raises(DataError, match=f"no column '{column or 'image'}'"):
        shop.fetch(column=column)
    assert not shop.out.exists()


def test_the_summary_holds_counts_and_settings(shop, server):
    server.pages["/a.jpg"] = GOOD
    shop.fetch("a.jpg", "gone.jpg", "gone2.jpg", size=100)
    summary = json.loads((shop.out / "images.json").read_text("utf-8"))
    assert summary["failed"] == {"HTTP 404": 2} and summary["kinds"] == {"permanent": 2}
    assert summary["with_picture"] == 1 and summary["settings"]["size"] == 100

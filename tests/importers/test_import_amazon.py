"""Amazon Reviews: sessions, items, invalid reviews, and files that are refused."""

import gzip
import json

import pytest
from amazon_files import DAY, review, write
from import_tables_read import sessions_of

from tpad.data.dataset import Dataset


@pytest.fixture
def shop_2018(tmp_path):
    """Two users, three days of two reviews each; four records."""
    reviews = [
        review("u1", "a", 100),
        review("u2", "b", 100),
        review("u1", "b", 100),
        review("u1", "c", 107, 1.0),
        review("u2", "a", 100),
        review("u1", "a", 107),
    ]
    records = [
        {
            "asin": "a",
            "title": "phone",
            "price": "$1,299.50",
            "category": ["Electronics", "Phones"],
            "description": ["big", "blue"],
            "brand": "Acme",
            "imageURL": ["http://x/small.jpg"],
            "imageURLHighRes": ["http://x/a.jpg"],
        },
        {"asin": "b", "title": "case", "price": "$3 - $5", "category": [], "main_cat": "Covers"},
        {"asin": "c", "title": "var aPageStart = (new Date()).getTime();", "price": ".a-box {"},
        {"asin": "z", "title": "never reviewed"},
    ]
    return (
        write(tmp_path / "reviews.json.gz", reviews, packed=True),
        write(tmp_path / "meta.json", records),
    )


def test_a_session_is_a_users_day(imported, shop_2018):
    shop = imported("amazon-2018", *shop_2018)
    assert sessions_of(shop["clicks"]) == {
        "u1@1970-04-11": ["a", "b"],
        "u1@1970-04-18": ["c", "a"],
        "u2@1970-04-11": ["b", "a"],
    }
    assert shop["clicks"]["timestamp"].isin([100 * DAY, 107 * DAY]).all()


def test_records_become_items(imported, shop_2018):
    shop = imported("amazon-2018", *shop_2018)
    items = shop["item_table"].set_index("item_id")
    assert items.loc["a"].to_dict() == {
        "title": "phone",
        "description": "big blue",
        "category": "Phones",
        "price": 1299.5,
        "brand": "Acme",
        "image_url": "http://x/a.jpg",
    }
    assert items.loc["b", "category"] == "Covers" and items.loc["b", "price"] == 4.0
    assert items.loc["c", "title"] == "" and items["price"].isna()["c"]
    assert "z" not in items.index
    changed = shop["items"]["changed"]
    assert changed["title is a script or style sheet of the page"]["examples"] == [
        "meta.json line 3"
    ]
    assert (
        changed["price is not a number of at least 0"]["count"]
        == changed["price is a range"]["count"]
        == 1
    )
    assert shop["items"]["dropped"]["record of an item without a click"]["count"] == 1


def test_which_items_get_a_row(imported, shop_2018, tmp_path):
    reviews, meta = shop_2018
    lines = [line for line in meta.read_text().splitlines(True) if '"c"' not in line]
    meta.write_text("".join(lines))

    def ids(choice):
        shop = imported("amazon-2018", reviews, meta, "--items", choice, out=tmp_path / choice)
        return shop, shop["item_table"]["item_id"].tolist()

    shop, clicked = ids("clicked")
    assert clicked == ["a", "b", "c"] and shop["items"]["added"] == 1
    assert shop["items"]["changed"]["clicked item without a record in the item files"]["count"] == 1
    assert ids("all")[1] == ["a", "b", "z", "c"]
    shop, known = ids("known")
    assert known == ["a", "b"] and sessions_of(shop["clicks"]).keys() == {
        "u1@1970-04-11",
        "u2@1970-04-11",
    }
    dropped = shop["interactions"]["dropped"]
    assert dropped["item without a record in the item files"]["examples"] == ["item 'c'"]
    assert dropped["click in a session of fewer than 2 clicks"]["count"] == 1


def test_the_tables_load(imported, shop_2018, tmp_path):
    many = [review(f"u{n}", item, n) for n in range(20) for item in "ab"]
    write(tmp_path / "many.json", many)
    imported("amazon-2018", tmp_path / "many.json", shop_2018[1])
    shop = Dataset.load(
        tmp_path / "shop" / "items.parquet", tmp_path / "shop" / "interactions.parquet", strict=True
    )
    assert (len(shop.train), len(shop.validation), len(shop.test)) == (16, 2, 2)
    assert shop.items["image_url"].tolist() == ["http://x/a.jpg", ""]


def test_2023_names_items_by_parent_and_counts_milliseconds(imported, tmp_path):
    reviews = [
        {
            "user_id": "u",
            "asin": "a1",
            "parent_asin": "a",
            "timestamp": 100 * DAY * 1000 + 1500,
            "rating": 4.0,
        },
        {
            "user_id": "u",
            "asin": "b",
            "parent_asin": "b",
            "timestamp": 100 * DAY * 1000 + 500,
            "rating": 2.0,
        },
    ]
    record = {
        "parent_asin": "a",
        "title": "phone",
        "price": 12.5,
        "store": "Acme",
        "description": ["big"],
        "features": ["blue"],
        "categories": ["Electronics", "Phones"],
        "main_category": "Cell Phones",
        "images": [{"thumb": "t", "large": "l", "hi_res": None}],
    }
    shop = imported(
        "amazon-2023", write(tmp_path / "r.jsonl", reviews), write(tmp_path / "m.jsonl", [record])
    )
    assert sessions_of(shop["clicks"]) == {"u@1970-04-11": ["b", "a"]}
    assert shop["clicks"]["timestamp"].tolist() == [100 * DAY, 100 * DAY + 1]
    item = shop["item_table"].set_index("item_id").loc["a"]
    assert item[["description", "category", "price", "image_url", "brand"]].tolist() == [
        "big blue",
        "Phones",
        12.5,
        "l",
        "Acme",
    ]


def test_invalid_reviews_are_counted_and_reported(imported, tmp_path):
    rows = [
        review("u", "a", 1),
        '{"reviewerID": "u", "asin": \n',
        review("", "a", 1),
        "\n",
        review("u", "", 1),
        "[1]\n",
        review("u", "a", -1),
        review("u", "b", 1),
        review("u", "b", 1),
        review("u", "c", 1, 2.0),
        review("u", "d", 1_000_000_000),
        review("v\ud800", "a", 2),
        review("u", "d", 1, "bad"),
    ]
    path = write(tmp_path / "r.json", rows)
    path.write_bytes(path.read_bytes() + b'{"reviewerID": "\xff"}\n')
    dropped = imported("amazon-2018", path, "--min-rating", 3)["interactions"]["dropped"]
    assert {reason: found["count"] for reason, found in dropped.items()} == {
        "broken JSON": 2,
        "missing user or session": 1,
        "missing item": 1,
        "unreadable timestamp": 1,
        "rating below 3": 1,
        "timestamp too large for Unix seconds (milliseconds? --time-unit ms)": 1,
        "unreadable rating": 1,
        "line is not UTF-8": 1,
        "same user, item and time as a row before": 1,
        "click in a session of fewer than 2 clicks": 1,
    }
    assert dropped["broken JSON"]["examples"] == ["r.json line 2", "r.json line 6"]
    assert dropped["line is not UTF-8"]["examples"] == ["r.json line 14"]
    assert dropped["unreadable rating"]["examples"] == ["r.json line 13 ('bad')"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (json.dumps({"user_id": "u", "parent_asin": "a"}), "amazon-2023"),
        (json.dumps({"name": "x"}), "neither a review"),
        ("{'asin': 'a', 'title': open('x')}", "JSON"),
        ("user,item\n1,2", "JSON"),
    ],
)
def test_files_of_another_layout(refused, tmp_path, text, named):
    (tmp_path / "x.json").write_text(text + "\n")
    told = refused("amazon-2018", tmp_path / "x.json")
    assert named in told and "x.json" in told


def test_a_gzip_that_was_cut_off(refused, tmp_path):
    whole = gzip.compress(
        "".join(json.dumps(review(f"u{n}", "a", n)) + "\n" for n in range(5000)).encode()
    )
    (tmp_path / "r.json.gz").write_bytes(whole[: len(whole) // 2])
    told = refused("amazon-2018", tmp_path / "r.json.gz")
    assert "r.json.gz" in told and "download it again" in told
    damaged = bytearray(whole)
    damaged[-8] ^= 0xFF  # of the checksum
    (tmp_path / "r.json.gz").write_bytes(damaged)
    assert "r.json.gz is damaged" in refused("amazon-2018", tmp_path / "r.json.gz")

"""Item records of the Amazon Reviews: HTML, prices, pictures, and the layouts of 2014 and 2023."""

import json

import pytest
from amazon_files import DAY, clicked, write

BROKEN = [
    {
        "asin": "a",
        "title": "<b>Red</b> phone &amp; case",
        "brand": "A&amp;B",
        "description": ["big &quot;x&quot;", "<p>blue</p>"],
        "price": "12,99 €",
        "category": ["Clothing", "Shoes &amp; Boots", "</span></span></span>", "Imported"],
    },
    {
        "asin": "b",
        "title": ".a-box{background-color:#fff}#x .y{color:red}",
        "category": [],
        "main_cat": '<img src="https://x/logo.png" class="nav" alt="Digital Music"/>',
        "price": "from $5",
        "imageURL": ["", "http://x/b.jpg"],
    },
    {
        "asin": "c",
        "title": "\n var ue_t0 = ue_t0 || +new Date();",
        "price": "$1.00 - $3.00",
        "category": ["Music", "<span class='x'>", "function(a) { return a }"],
    },
]


def test_pieces_of_web_pages_are_cleaned_and_counted(imported, tmp_path):
    shop = imported("amazon-2018", clicked(tmp_path / "r.json"), write(tmp_path / "m.json", BROKEN))
    items = shop["item_table"].set_index("item_id")
    assert items.loc["a"].tolist() == [
        "Red phone & case",
        'big "x" blue',
        "Shoes & Boots",
        12.99,
        "A&B",
        "",
    ]
    assert items["title"].tolist()[1:] == ["", ""]
    assert items["category"].tolist()[1:] == ["Digital Music", "Music"]
    assert (
        items["price"].tolist()[1:] == [5.0, 2.0]
        and items.loc["b", "image_url"] == "http://x/b.jpg"
    )
    counts = {reason: found["count"] for reason, found in shop["items"]["changed"].items()}
    assert counts == {
        "title holds HTML": 1,
        "brand holds HTML": 1,
        "description holds HTML": 1,
        "category holds HTML": 3,
        "title is a script or style sheet of the page": 2,
        "category is a script or style sheet of the page": 1,
        "price is a range": 1,
        "price is the lowest of several ('from …')": 1,
    }


@pytest.mark.parametrize("strict", [True, False])
def test_2014_in_json_and_in_pythons_notation(imported, tmp_path, strict):
    records = [
        {
            "asin": "a",
            "title": 'it\'s "red"',
            "price": 9.5,
            "imUrl": "http://x/a,1_.jpg",
            "related": {"also_bought": ["b"]},
            "salesRank": {"Shoes": 5},
            "brand": None,
            "categories": [["Clothing", "Shoes"], ["Sports"]],
            "description": "R&amp;D",
        },
        {"asin": "b", "title": "x", "categories": [["Books"]]},
    ]
    lines = [json.dumps(of) if strict else repr(of) for of in records]
    if not strict:
        lines += ["{'asin': __import__('os').getcwd()}", "{'asin': " + "[" * 5000, "{'asin'"]
    meta = tmp_path / "meta.json"
    meta.write_text("\n".join(lines) + "\n")
    shop = imported("amazon-2014", clicked(tmp_path / "r.json"), meta)
    items = shop["item_table"].set_index("item_id")
    assert items.loc["a"].tolist() == [
        'it\'s "red"',
        "R&D",
        "Shoes",
        9.5,
        "",
        "http://x/a,1_.jpg",
    ]
    assert items.loc["b", "category"] == "Books"
    dropped = shop["items"]["dropped"]
    assert dropped.get("broken record in Python's notation", {"count": 0})["count"] == (
        0 if strict else 3
    )


def test_2023_lists_of_pictures_and_prices_as_text(imported, tmp_path):
    reviews = [
        {"user_id": "u", "parent_asin": item, "timestamp": DAY * 1000, "rating": 5.0}
        for item in "abc"
    ]
    records = [
        {
            "parent_asin": "a",
            "title": "x",
            "price": "from 12.99",
            "categories": [],
            "main_category": "All <b>Beauty</b>",
            "images": [{"large": None}, {"large": "http://x/2"}],
        },
        {
            "parent_asin": "b",
            "title": "y",
            "price": "None",
            "images": {"hi_res": [None], "large": ["http://x/l"], "thumb": ["http://x/t"]},
        },
        {"parent_asin": "c", "title": "z", "price": "—", "images": "[{'large': 'http://x/s'}]"},
    ]
    shop = imported(
        "amazon-2023", write(tmp_path / "r.jsonl", reviews), write(tmp_path / "m.jsonl", records)
    )
    items = shop["item_table"].set_index("item_id")
    assert items["image_url"].tolist() == ["http://x/2", "http://x/l", "http://x/s"]
    assert items["price"].fillna(-1).tolist() == [12.99, -1, -1]
    assert items.loc["a", "category"] == "All Beauty"

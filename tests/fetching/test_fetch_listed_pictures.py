"""Of a list of pictures the first is fetched, however the table writes the list."""

import numpy as np
import pandas as pd
import pytest
from fetching_shop import picture
from misbehaving_server import answer

from tpad.data.addresses import first_address

A, B = "http://shop.test/a,b_.jpg", "http://shop.test/b.jpg"
SIZES = {"thumb": "http://shop.test/t.jpg", "large": A, "hi_res": None, "variant": "MAIN"}
LISTS = [
    A,
    [A, B],
    ["", None, A],
    np.array([A, B]),
    str([A, B]),
    f'["{A}", "{B}"]',
    f"{A} {B}",
    f"{A}, {B}",
    f"{A}|{B}",
    [SIZES, {"large": B}],
    str([SIZES, {"large": B}]),
    {"url": A},
    {"hi_res": [None, B], "large": [A, B], "thumb": [B, B]},
    str(np.array([A, B])),
    [[A], [B]],
]


@pytest.mark.parametrize("listed", LISTS, ids=range(len(LISTS)))
def test_the_first_address(listed):
    assert first_address(listed) == A


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (None, ""),
        (float("nan"), ""),
        ("", ""),
        ([], ""),
        ("[]", ""),
        ("[" * 5000, "[" * 5000),
        ("images/a b.jpg", "images/a b.jpg"),
        ("[not a list]", "[not a list]"),
        (5, "5"),
        ("https://proxy.test/?of=https://x.test", "https://proxy.test/?of=https://x.test"),
        ({"bytes": b"x", "path": "a.jpg"}, ""),
        ("[__import__('os').getcwd()]",) * 2,
    ],
)
def test_what_holds_no_list_of_addresses(value, address):
    assert first_address(value) == address


@pytest.mark.parametrize(
    "column",
    [
        [[A, B], [], None],
        [[SIZES], [{"thumb": B}], None],
        [f"{A} {B}", str([SIZES]), ""],
        [{"large": [A, B]}, {"large": [B]}, {"large": []}],
    ],
    ids=["lists", "sizes", "texts", "lists of sizes"],
)
def test_a_table_of_lists(shop, server, column):
    server.pages |= {f"/{name}": answer(picture()) for name in ("a,b_.jpg", "b.jpg", "t.jpg")}
    shop.items = shop.items.with_suffix(".parquet")
    pd.DataFrame({"item_id": ["1", "2", "3"], "pictures": column}).to_parquet(shop.items)
    report = shop.fetch(column="pictures")
    asked = [first_address(value) for value in column]
    paths = sorted({url.removeprefix("http://shop.test") for url in asked if url})
    assert sorted(server.paths()) == paths
    assert report.with_picture == sum(map(bool, asked)) and report.without_address == 3 - sum(
        map(bool, asked)
    )

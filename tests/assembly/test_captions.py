"""The items that an assembly trains on."""

import numpy as np
import pytest

from tpad.assembly.captions import MIN_ITEMS, read_captioned
from tpad.errors import DataError


def test_items_without_readable_picture_or_text_are_skipped_and_reported(shop):
    items = read_captioned(shop, 400)
    assert len(items) == 40 and items.captions[1] == "a blue case"
    assert items.picture(1).size == (40, 40)
    assert items.report.count("unreadable image") == 1
    assert items.report.count("missing image") == 1
    assert items.report.count("item without picture or text") == 3  # a, b, d


def test_captions_are_title_and_description_up_to_a_length(shop, tmp_path):
    for n in range(MIN_ITEMS):
        (tmp_path / f"{n}.png").write_bytes((shop.parent / f"{n}.png").read_bytes())
    rows = [f"{n},Title {n},Text {n},{n}.png" for n in range(MIN_ITEMS)]
    table = tmp_path / "items.csv"
    table.write_text("\n".join(["item_id,title,description,image", *rows]), "utf-8")
    assert read_captioned(table, 400).captions[3] == "Title 3\nText 3"
    assert read_captioned(table, 5).captions[3] == "Title"


def test_the_fingerprint_depends_on_captions_and_pictures(shop, tmp_path):
    same, shorter = read_captioned(shop, 400), read_captioned(shop, 5)
    assert same.fingerprint == read_captioned(shop, 400).fingerprint != shorter.fingerprint


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1,One,", "2,Two,"], "has no pictures"),
        (["1,One,lost.png"], "has no pictures .*lost.png"),
        (["1,One,0.png", "2,Two,1.png"], f"has 2 items .* at least {MIN_ITEMS}"),
    ],
)
def test_a_shop_with_too_few_pictures_is_refused(shop, rows, message):
    table = shop.parent / "few.csv"
    table.write_text("\n".join(["item_id,title,image", *rows]), "utf-8")
    with pytest.raises(DataError, match=message):
        read_captioned(table, 400)


def test_held_out_items_are_not_trained_on(shop):
    items = read_captioned(shop, 400)
    train, held = items.split(0.1, seed=0)
    assert len(held) == 4 and sorted([*train, *held]) == list(range(40))
    assert len(items.split(0.001, seed=0)[1]) == 2
    assert not np.array_equal(items.split(0.1, seed=1)[1], held)

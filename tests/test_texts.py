"""Half of a character, as JSON and Python's strings can hold it, ends in a sentence everywhere."""

import pandas as pd
import pytest
from fake_bundle import FakeEncoder

import tpad
from tpad.content import Content
from tpad.data.items import read_items
from tpad.data.report import ReportBuilder
from tpad.errors import DataError
from tpad.io.texts import checked_text
from tpad.items import NewItem

HALF = "note \ud83d"


def test_valid_texts_are_returned():
    for text in ("", "ä 日本 😀", "\u202e\0"):
        assert checked_text(text, "The note") is text
    with pytest.raises(DataError, match=r"^The note holds half of a character \(U\+D83D\)"):
        checked_text(HALF, "The note")


@pytest.mark.parametrize("field", ["title", "description", "category"])
def test_a_new_item_with_half_a_character(fake_bundle, field):
    item = NewItem(**{"title": "red case", field: HALF})
    with pytest.raises(DataError, match=f"The {field} of a new item holds half"):
        Content.of(item)
    recommender = tpad.load(fake_bundle, encoder=FakeEncoder())
    with pytest.raises(DataError, match="holds half of a character"):
        recommender.add_items({"new": item})
    with pytest.raises(DataError, match="An item_id holds half of a character"):
        recommender.add_items({HALF: NewItem(title="red case")})


def test_a_frame_with_half_a_character():
    frame = pd.DataFrame({"item_id": ["a"], "title": pd.Series([HALF], dtype=object)})
    with pytest.raises(
        DataError, match=r"row 1 holds half of a character \(U\+D83D\) in the column title"
    ):
        read_items(frame, ReportBuilder())

"""Texts of a shop on the page: nothing turns or hides what stands around them."""

import pandas as pd
import pytest

from app.shell.text import readable, readable_column


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u202egnp.exe", "gnp.exe"),
        ("\u2067isolated \u202e and open", "isolated and open"),
        ("a\x00b\x1b[31m", "ab[31m"),
        ("half \ud83d pair", "half pair"),
        ("two\nlines \t and  blanks ", "two lines and blanks"),
        ("قميص رجالي", "قميص رجالي"),
        ("שלום\u200e (5)", "שלום\u200e (5)"),  # a plain mark of direction stays
        ("👩\u200d🔧 tools", "👩\u200d🔧 tools"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_text(text, shown):
    assert readable(text) == shown
    column = pd.Series([text, "other"], dtype=object)
    assert readable_column(column).tolist() == [shown, "other"]


def test_a_column_keeps_its_index_and_has_no_gaps():
    column = readable_column(pd.Series(["a", None, " b\u202e"], index=[5, 6, 7]))
    assert column.to_dict() == {5: "a", 6: "", 7: "b"}

"""Texts that come from outside, before they are stored, shown or sent on."""

import re

from tpad.errors import DataError

_SURROGATE = re.compile("[\ud800-\udfff]")


def checked_text(text: str, what: str) -> str:
    """The same text.

    Args:
        text: any text.
        what: names it at the start of the message, as in "The note".

    Raises:
        DataError: it holds half of a surrogate pair, such as U+D83D. JSON and Python's strings can
            hold one alone; UTF-8, and so every file and database, cannot.
    """
    if found := _SURROGATE.search(text):
        raise DataError(
            f"{what} holds half of a character (U+{ord(found[0]):04X}), which cannot be stored; "
            "remove it or write the whole character."
        )
    return text


def half_character(error: UnicodeEncodeError) -> str:
    """What a text holds that could not be written as UTF-8, for a message."""
    return f"half of a character (U+{ord(error.object[error.start]):04X})"

"""Checks text from outside before it is stored, shown or sent."""

import re

from tpad.errors import DataError

_SURROGATE = re.compile("[\ud800-\udfff]")


def checked_text(text: str, what: str) -> str:
    """Return the text unless it contains half of a surrogate pair.

    Args:
        text: any text.
        what: name of the text at the start of the message, for instance "The note".

    Raises:
        DataError: it contains half of a surrogate pair, such as U+D83D. JSON and Python strings can
            contain one; UTF-8, and so files and databases, cannot.
    """
    if found := _SURROGATE.search(text):
        raise DataError(
            f"{what} holds half of a character (U+{ord(found[0]):04X}), which cannot be stored; "
            "remove it or write the whole character."
        )
    return text


def half_character(error: UnicodeEncodeError) -> str:
    """Describe the character that could not be encoded as UTF-8, for a message."""
    return f"half of a character (U+{ord(error.object[error.start]):04X})"

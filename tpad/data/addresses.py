"""Extracts the address of an item's picture from the notations in which tables list several."""

import re
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from tpad.data.literals import read_literal

_SIZES = ("hi_res", "large", "url", "src", "thumb")  # of one picture, best first
_SINGLE = (str, bytes, dict, int, float)
_NEXT = re.compile(r"[\s,;|]+(?=https?://)")
_QUOTED = re.compile(r"""["']((?:https?:)?//[^"'\s]+)["']""")
_SEVERAL_TEXTS = re.compile(r"""["']\s+["']""")  # NumPy prints lists without commas


def first_address(value: Any) -> str:
    """The address of the first picture; "" if there is none.

    Args:
        value: one of
            - an address, or several separated by spaces, commas, semicolons or bars;
            - a list, tuple or array of addresses, or of dicts of sizes;
            - a dict of sizes (`hi_res`, `large`, `url`, `src`, `thumb`) or of lists of sizes;
            - the text of such a list or dict, in JSON or as a Python literal.

            Any other text is returned as it is.
    """
    if isinstance(value, str):
        return _of_text(value.strip())
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, dict):
        return _of_dict(value)
    if not isinstance(value, _SINGLE) and isinstance(value, Iterable):
        for each in value:
            if address := first_address(each):
                return address
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _of_text(text: str) -> str:
    if text[:1] in ("[", "{"):
        if not _SEVERAL_TEXTS.search(text):
            try:
                return first_address(read_literal(text))
            except (ValueError, RecursionError):
                pass
        quoted = _QUOTED.search(text)
        return quoted[1] if quoted else text
    return _NEXT.split(text, 1)[0] if text.count("://") > 1 else text


def _of_dict(sizes: dict) -> str:
    values = [value for size in _SIZES if (value := sizes.get(size)) is not None]
    listed = [value for value in values if not isinstance(value, _SINGLE)]
    for of_one in zip_longest(*listed):  # one picture at a time
        if address := first_address(of_one):
            return address
    return first_address([value for value in values if isinstance(value, _SINGLE)])

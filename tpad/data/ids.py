"""Reads ids, by the same rule for every kind of file and array.

An id is text without surrounding spaces. `1.0` is the id "1", because tables with missing values write
whole numbers as fractions; "007" and "1.50" stay as they are.
"""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from tpad.data.tables import to_text
from tpad.errors import DataError, shown

_WHOLE = r"(-?(?:0|[1-9]\d*))\.0"
_ROUNDED = r"-?\d(?:\.\d+)?[eE]\+\d+"  # how floats and spreadsheets write long numbers


def to_ids(values: pd.Series | np.ndarray | Iterable, table: str = "The table") -> pd.Series:
    """Convert ids to text; a missing id becomes "", and the index of a series stays.

    Args:
        values: a column (its index holds the row numbers), an array, or another iterable.
        table: name of the table, for errors.

    Raises:
        DataError: an id is a collection, not valid UTF-8, or a number that has lost digits.
    """
    if not isinstance(values, pd.Series):
        array = values if isinstance(values, np.ndarray) else _objects(values)
        values = pd.Series(array, name="item_id")
    if values.dtype == object:
        values = values.map(_whole_decimal, na_action="ignore")
    text = to_text(values, table)
    fractions = text.str.endswith(".0").to_numpy(bool)
    if fractions.any():
        text = text.mask(fractions, text.str.replace(f"^{_WHOLE}$", r"\1", regex=True))
    _refuse_lost_digits(values, text, table)
    return text


def ids_of_json(text: str, table: str) -> list[str]:
    """Parse a JSON list of ids.

    Raises:
        DataError: the text is not a JSON list.
    """
    try:
        values = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list):
        raise DataError(f"The item_ids of {table} are damaged: they must be a JSON list.")
    return to_ids(values, table).tolist()


def _objects(values: Iterable) -> np.ndarray:
    """(n,) object; lists stay as they are, and no value changes its type."""
    values = list(values)
    array = np.empty(len(values), object)
    for at, value in enumerate(values):
        array[at] = value
    return array


def _whole_decimal(value: object) -> object:
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return value


def _exact(dtype: Any) -> float:
    """The smallest float of a type next to which a whole number is missing; 2⁵³ for 64 bits."""
    bits = np.dtype(getattr(dtype, "numpy_dtype", dtype))
    return 2.0 ** (np.finfo(bits).nmant + 1)


def _refuse_lost_digits(values: pd.Series, text: pd.Series, table: str) -> None:
    if pd.api.types.is_float_dtype(values.dtype):
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        lost = np.abs(numbers) >= _exact(values.dtype)
    else:
        lost = text.str.contains("+", regex=False).to_numpy(bool)
        if lost.any():
            lost = text.str.fullmatch(_ROUNDED).to_numpy(bool)
    if lost.any():
        at = int(np.flatnonzero(lost)[0])
        raise DataError(
            f"{table} row {text.index[at]} has {shown(text.iloc[at])} in the column "
            f"{shown(values.name)}, a number that has lost digits; save its ids as text or as whole "
            "numbers."
        )

"""Parses timestamps: Unix seconds and ISO 8601; columns in any other unit are refused."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tpad.data.tables import to_numbers, to_text
from tpad.errors import DataError, shown

ACCEPTED = "Unix seconds, such as 1704067200, or ISO 8601, such as 2024-01-01T12:30:00Z"
_LATEST = 100_000_000_000  # Unix seconds; the year 5138. Milliseconds of today are above it.
_EARLIEST = 100_000_000  # Unix seconds; March 1973. Smaller numbers can only be an order.
_ISO_TIME = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
_MOST = 0.9  # share of the numbers that must look like another unit
_SPREADSHEET_DAYS = (32_874, 73_050)  # 1990 to 2099
_WRITE = "write it as {example} or as Unix seconds"
_SPREADSHEET_START = pd.Timestamp("1899-12-30")


def to_unix_seconds(column: pd.Series, table: str) -> tuple[np.ndarray, np.ndarray]:
    """Parse timestamps: numbers are Unix seconds; ISO 8601 dates are accepted as well.

    A fraction of a second is cut off. A date without an offset is in UTC. Numbers before 1973 are
    unreadable if the other times are later; a column of only such numbers is an order, see
    `is_order`.

    Args:
        column: the timestamps as read, indexed by row number.
        table: name of the table, for errors.

    Returns:
        seconds: (n,) int64, 0 if unreadable.
        unreadable: (n,) bool, True also for an empty value.

    Raises:
        DataError: the numbers are milliseconds, day numbers or similar, not seconds; the message
            gives a value and the accepted forms.
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        values = _datetime_seconds(column)
    else:
        numbers, _ = to_numbers(column)
        _refuse_other_clocks(numbers, column, table)
        values = numbers.copy()
        if not pd.api.types.is_numeric_dtype(column.dtype):
            text = to_text(column, table)
            dates = np.isnan(values) & text.str.fullmatch(_ISO_TIME).to_numpy(dtype=bool)
            if dates.any():
                parsed = pd.to_datetime(text[dates], format="ISO8601", utc=True, errors="coerce")
                values[dates] = _datetime_seconds(parsed)
        known = values[~np.isnan(values)]
        if known.size and np.median(known) >= _EARLIEST:
            values[numbers < _EARLIEST] = np.nan
    unreadable = ~((values >= 0) & (values <= _LATEST))  # NaN counts as unreadable
    return np.where(unreadable, 0, values).astype(np.int64), unreadable


def is_order(seconds: np.ndarray) -> bool:
    """Whether all times (n,) are so early that they can only number the clicks."""
    return len(seconds) > 0 and bool(seconds.max() < _EARLIEST)


def refuse_constant(seconds: np.ndarray, column: pd.Series, table: str) -> None:
    """Raise a `DataError` if several clicks all have the same time, and so no order.

    Args:
        seconds: (n,) times of the valid clicks.
        column: (n,) their values in the table, for the message.
        table: name of the table.
    """
    if len(seconds) > 1 and (seconds == seconds[0]).all():
        raise DataError(
            f"{table} has the same timestamp, {shown(column.iloc[0])}, in all {len(seconds):,} rows; "
            f"give each click its time ({ACCEPTED}), or number the clicks 1, 2, 3 if only their "
            "order is known."
        )


def _datetime_seconds(column: pd.Series) -> np.ndarray:
    """(n,) float64 Unix seconds, NaN for a missing date."""
    if column.dt.tz is None:
        column = column.dt.tz_localize("UTC")
    missing = column.isna().to_numpy()
    seconds = column.dt.tz_convert("UTC").dt.as_unit("s").astype("int64").to_numpy()
    return np.where(missing, np.nan, seconds.astype(float))


@dataclass(frozen=True)
class _Clock:
    """A unit of time that is not accepted: how to recognise it, and what to advise."""

    matches: Callable[[np.ndarray], np.ndarray]
    what: str
    advice: str
    example: Callable[[float], str] | None = None


def _calendar(form: str, digits: int) -> _Clock:
    """The digits of a date from 1900 to 2100."""

    def parsed(values: np.ndarray) -> pd.Series:
        return pd.to_datetime(
            pd.Series(values.astype(np.int64).astype(str)), format=form, errors="coerce"
        )

    def matches(values: np.ndarray) -> np.ndarray:
        unit = 10.0 ** (digits - 4)
        found = (values >= 1900 * unit) & (values < 2101 * unit) & (values == np.round(values))
        if found.mean() >= _MOST:  # parsing is slow
            found[found] = parsed(values[found]).notna().to_numpy(bool)
        return found

    def example(value: float) -> str:
        return parsed(np.array([value])).iloc[0].isoformat().removesuffix("T00:00:00")

    return _Clock(matches, "a date without separators", _WRITE, example)


def _between(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: (values >= low) & (values < high)


def _spreadsheet_time(value: float) -> str:
    return (_SPREADSHEET_START + pd.Timedelta(days=value)).round("s").isoformat()


_CLOCKS = (
    _calendar("%Y%m%d", 8),
    _calendar("%Y%m%d%H%M", 12),
    _calendar("%Y%m%d%H%M%S", 14),
    _Clock(
        _between(*_SPREADSHEET_DAYS), "a spreadsheet's number of days", _WRITE, _spreadsheet_time
    ),
    _Clock(_between(_LATEST, 1e14), "milliseconds", "divide the column by 1000"),
    _Clock(_between(1e14, 1e17), "microseconds", "divide the column by 1,000,000"),
    _Clock(_between(1e17, 1e20), "nanoseconds", "divide the column by 1,000,000,000"),
)


def _refuse_other_clocks(numbers: np.ndarray, column: pd.Series, table: str) -> None:
    at = np.flatnonzero(np.isfinite(numbers) & (numbers >= 0))
    if not at.size:
        return
    known = numbers[at]
    for clock in _CLOCKS:
        found = clock.matches(known)
        if found.mean() >= _MOST:
            first = at[np.flatnonzero(found)[0]]
            example = "" if clock.example is None else clock.example(numbers[first])
            raise DataError(
                f"{table} row {column.index[first]} has the timestamp {shown(column.iloc[first])}, "
                f"which looks like {clock.what}{f' ({example})' if example else ''}; "
                f"{clock.advice.format(example=example)}. Accepted are {ACCEPTED}."
            )

"""The interface between formats and the import: readers that yield rows in batches, from any position."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from tpad.data.prices import LOWEST, RANGE, parse_price
from tpad.errors import ConfigError, DataError
from tpad.importers.counts import RowCounts, RowError
from tpad.importers.settings import TIME_UNITS, ImportSettings, TimeUnit
from tpad.io.git_lfs import refuse_pointer

BATCH_ROWS = 16_384
BATCH_BYTES = 8 << 20  # of text; a batch ends at whichever comes first
LATEST_TIME = 100_000_000_000  # Unix seconds; the year 5138. Milliseconds of today are above it.

_NUMBERS = re.compile(r"(?!\d{1,3}(?:,\d{3})+$)(?:\d+(?:,\s+\d+)+|\d+(?:,\d+){2,})")

OWNER, ITEM, TIME, CATEGORY, HISTORY = "owner", "item", "time", "category", "history"
CLICKS = pa.schema([(OWNER, pa.string()), (ITEM, pa.string()), (TIME, pa.float64())])
ITEM_FIELDS = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("category", pa.string()),
        ("price", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Batch:
    """Some rows of a file.

    Attributes:
        rows: tuples in the order of the schema of the reader.
        position: plain JSON value; `Reader.batches(position=…)` continues after these rows.
        done: bytes of the (compressed) file that were read so far.
    """

    rows: list[tuple]
    position: Any
    done: int


class Reader(Protocol):
    """One file of clicks or items.

    Attributes:
        path: the file.
        size: its size in bytes, for the progress bar.
        schema: of the rows.
    """

    path: Path
    size: int
    schema: pa.Schema

    def batches(self, counts: RowCounts, position: Any, limit: int | None) -> Iterator[Batch]:
        """Read from `position` (None is the start), at most `limit` rows of the file.

        Each row is counted in `counts.read`, and invalid rows are reported there. After each batch,
        `counts` covers exactly the rows up to its `position`.
        """


@dataclass(frozen=True)
class Source:
    """The files of one import.

    Attributes:
        clicks: readers of interactions, all of one schema (`CLICKS`, possibly more).
        items: readers of item records, all of one schema (`ITEM_FIELDS` first); may be empty.
        has_users: the owner of a click can be a user, so that sessions can be formed.
        has_sessions: the owner of a click can be a session.
        default_sessions: rule for sessions, unless the settings have one.
        is_ratings: rows are ratings; a row with the same user, item and time is a duplicate.
        notes: what the user should know about this format.
    """

    clicks: list[Reader]
    items: list[Reader] = field(default_factory=list)
    has_users: bool = True
    has_sessions: bool = False
    default_sessions: str = "gap"
    is_ratings: bool = False
    notes: tuple[str, ...] = ()

    def rule(self, asked: str | None) -> str:
        """The rule for sessions.

        Raises:
            ConfigError: the rule of the settings does not fit these files.
        """
        rule = asked or self.default_sessions
        if rule == "given" and not self.has_sessions:
            raise ConfigError(
                "--sessions given needs a session in every interaction, which these files do not "
                "have; choose day, gap MINUTES or user."
            )
        if rule != "given" and not self.has_users:
            raise ConfigError(
                f"--sessions {rule} needs a user in every interaction, which these files do not "
                "have; choose given."
            )
        return rule


def click_maker(
    settings: ImportSettings, default_unit: TimeUnit = "s"
) -> Callable[..., tuple[str, str, float]]:
    """A function that makes a row of `CLICKS` from owner, item, time and rating (None: unrated).

    The function raises a `RowError` for an invalid row.
    """
    per_second = TIME_UNITS[settings.time_unit or default_unit]
    lowest = settings.min_rating

    def click(owner: str, item: str, time: Any, rating: Any = None) -> tuple[str, str, float]:
        owner, item = owner.strip(), item.strip()
        if not owner:
            raise RowError("missing user or session")
        if not item:
            raise RowError("missing item")
        refuse_list(owner, "user or session")
        refuse_list(item)
        seconds = to_seconds(time, per_second)
        if lowest is not None:
            try:
                if float(rating) < lowest:
                    raise RowError(f"rating below {lowest:g}")
            except (TypeError, ValueError) as error:
                raise RowError("unreadable rating", str(rating)) from error
        return owner, item, seconds

    return click


def to_seconds(time: Any, per_second: int = 1) -> float:
    """Unix seconds of a number or an ISO 8601 date (in UTC unless it has an offset).

    Raises:
        RowError: it is neither, or out of range.
    """
    try:
        seconds = float(time) / per_second
    except (TypeError, ValueError):
        try:
            moment = time if isinstance(time, datetime) else datetime.fromisoformat(str(time))
        except (TypeError, ValueError) as error:
            raise RowError("unreadable timestamp", str(time)) from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp()
    if seconds > LATEST_TIME:
        raise RowError(
            "timestamp too large for Unix seconds (milliseconds? --time-unit ms)", str(time)
        )
    if not seconds >= 0:  # NaN as well
        raise RowError("unreadable timestamp", str(time))
    return seconds


def to_price(value: Any, note: Callable[[str, str], None]) -> float | None:
    """The price, or None; `note` reports invalid prices, ranges and lowest prices."""
    if value == "":
        return None
    try:
        price = parse_price(value)
    except ValueError:
        note("price is not a number of at least 0", "the price is treated as missing")
        return None
    if price is None:
        return None
    if price.kind == RANGE:
        note("price is a range", "its mean is used")
    elif price.kind == LOWEST:
        note("price is the lowest of several ('from …')", "it is used")
    return price.amount


def refuse_list(text: str, what: str = "item id") -> None:
    """Raise a `RowError` if an id is a list written as text: "[1, 2]", "(1, 2)", "{'a'}" or "1, 2, 3"."""
    ends = text[:1] + text[-1:]
    is_list = ends in ("[]", "{}") or (ends == "()" and "," in text)
    if is_list or (text[:1].isdigit() and _NUMBERS.fullmatch(text)):
        raise RowError(f"{what} is a list; write one row for each item", text)


def is_packed(path: Path) -> bool:
    """Whether a file is compressed (gzip or Parquet)."""
    with path.open("rb") as file:
        return file.read(4).startswith((b"\x1f\x8b", b"PAR1"))


def plain_file(path: Path) -> Path:
    """The path, if it is a readable file that is not empty.

    Raises:
        DataError: it is missing, empty, a folder, or a Git LFS pointer.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the files in it.")
    if not path.is_file():
        raise DataError(f"{path} does not exist; check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty; download it again.")
    try:
        path.open("rb").close()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); check its permissions."
        ) from error
    refuse_pointer(path)
    return path

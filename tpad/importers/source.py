"""What a format hands to the import: readers that yield rows in batches and can go on anywhere."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from tpad.data.prices import LOWEST, RANGE, parse_price
from tpad.errors import ConfigError, DataError
from tpad.importers.settings import TIME_UNITS, ImportSettings
from tpad.importers.tally import Fault, Tally

BATCH_ROWS = 16_384
BATCH_BYTES = 8 << 20  # of text; a batch ends at whichever comes first
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LATEST_TIME = 100_000_000_000  # Unix seconds; the year 5138. Milliseconds of today are above it.

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
        rows: tuples in the order of the reader's schema.
        position: plain JSON value; `Reader.batches(position=…)` goes on after these rows.
        done: bytes of the file, as it lies on disk, that were read so far.
    """

    rows: list[tuple]
    position: Any
    done: int


class Reader(Protocol):
    """One file of clicks or items.

    Attributes:
        path: the file.
        size: its size in bytes, for the progress bar.
        schema: of the rows that it yields.
    """

    path: Path
    size: int
    schema: pa.Schema

    def batches(self, tally: Tally, position: Any, limit: int | None) -> Iterator[Batch]:
        """Reads on from `position` (None is the start), at most `limit` rows of the file.

        Counts each row in `tally.read` when it is read, and drops the faulty ones there. Between
        two batches the tally holds exactly the rows up to the batch's `position`.
        """


@dataclass(frozen=True)
class Source:
    """The files of one import, told apart.

    Attributes:
        clicks: readers of interactions, all of one schema (`CLICKS`, perhaps more).
        items: readers of item records, all of one schema (`ITEM_FIELDS` first); may be empty.
        has_users: a click's owner is a user, so that sessions can be cut.
        has_sessions: a click's owner is a session, if `given` is asked for.
        default_sessions: rule if none is asked for.
        is_ratings: a user rates an item at one time once, so that a repetition is a copy.
        notes: what a person should know of this format.
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
            ConfigError: these files do not allow the rule asked for.
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
    settings: ImportSettings, default_unit: str = "s"
) -> Callable[..., tuple[str, str, float]]:
    """A function that makes a row of `CLICKS` of owner, item, time and rating (None: unrated).

    The function raises a `Fault` for what cannot be used.
    """
    per_second = TIME_UNITS[settings.time_unit or default_unit]
    lowest = settings.min_rating

    def click(owner: str, item: str, time: Any, rating: Any = None) -> tuple[str, str, float]:
        owner, item = owner.strip(), item.strip()
        if not owner:
            raise Fault("missing user or session")
        if not item:
            raise Fault("missing item")
        refuse_list(item)
        seconds = to_seconds(time, per_second)
        if lowest is not None:
            try:
                if float(rating) < lowest:
                    raise Fault(f"rating below {lowest:g}")
            except (TypeError, ValueError) as error:
                raise Fault("unreadable rating", str(rating)) from error
        return owner, item, seconds

    return click


def to_seconds(time: Any, per_second: int = 1) -> float:
    """Unix seconds of a number or an ISO 8601 date; without an offset it is UTC.

    Raises:
        Fault: it is neither, or out of range.
    """
    try:
        seconds = float(time) / per_second
    except (TypeError, ValueError):
        try:
            moment = time if isinstance(time, datetime) else datetime.fromisoformat(str(time))
        except (TypeError, ValueError) as error:
            raise Fault("unreadable timestamp", str(time)) from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp()
    if seconds > LATEST_TIME:
        raise Fault(
            "timestamp too large for Unix seconds (milliseconds? --time-unit ms)", str(time)
        )
    if not seconds >= 0:  # NaN as well
        raise Fault("unreadable timestamp", str(time))
    return seconds


def to_price(value: Any, note: Callable[[str, str], None]) -> float | None:
    """The price, or None; `note` is told of what is no price, a range or a lowest price."""
    if value == "":
        return None
    try:
        price = parse_price(value)
    except ValueError:
        note("price is no number of at least 0", "the price counts as missing")
        return None
    if price is None:
        return None
    if price.kind == RANGE:
        note("price is a range", "its mean is taken")
    elif price.kind == LOWEST:
        note("price is the lowest of several ('from …')", "it is taken")
    return price.amount


def refuse_list(item: str) -> None:
    """Raises a `Fault` if an item id is a list that was written as text."""
    if item[:1] == "[" and item[-1:] == "]":
        raise Fault("item id is a list; write one row for each item", item)


def is_packed(path: Path) -> bool:
    """Whether a file is compressed: gzip or Parquet."""
    with path.open("rb") as file:
        return file.read(4).startswith((b"\x1f\x8b", b"PAR1"))


def plain_file(path: Path) -> Path:
    """The path, if a file is there that holds something.

    Raises:
        DataError: it is missing, empty, a Git LFS pointer, or no plain file.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the files in it.")
    if not path.is_file():
        raise DataError(f"{path} does not exist; check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty; download it again.")
    try:
        with path.open("rb") as file:
            is_pointer = file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its rights.") from error
    if is_pointer:
        raise DataError(
            f"{path.name} is a Git LFS pointer, not the data itself; fetch the data with "
            "`git lfs pull`, or download the file from its web page."
        )
    return path

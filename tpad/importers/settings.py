"""Settings of an import."""

from dataclasses import asdict, dataclass
from typing import Any

from tpad.data.columns import Columns
from tpad.errors import ConfigError

SPLITS = ("train", "validation", "test")  # `tpad.data.sessions` has them too, but imports slowly
RULES = ("day", "gap", "user", "given")
ITEM_CHOICES = ("clicked", "known", "all")
TIME_UNITS = {"s": 1, "ms": 1_000}  # units per second
RATING = "rating"
ROLES = (
    Columns.USER_ID,
    Columns.SESSION_ID,
    Columns.ITEM_ID,
    Columns.TIMESTAMP,
    RATING,
    Columns.TITLE,
    Columns.DESCRIPTION,
    Columns.CATEGORY,
    Columns.PRICE,
    "image_url",
)


@dataclass(frozen=True)
class ImportSettings:
    """The settings of one import.

    Attributes:
        sessions: how sessions are formed: one per user and `day` (UTC), of one user up to a pause
            (`gap`), all clicks of a `user`, or as `given` by the file; None is the default of the
            format.
        gap_minutes: for `gap`, minutes without a click that end a session.
        min_clicks: items with fewer clicks are dropped, with their clicks.
        min_session: sessions with fewer clicks are dropped, before and after `min_clicks`.
        min_rating: interactions with a lower rating are dropped; None keeps all.
        items: the items of the item table: those `clicked`, those clicked that an item file
            describes (`known`: clicks on others are dropped), or `all` with a record or a click.
        limit: largest number of interaction rows to read; None reads all.
        time_unit: of the timestamps, "s" or "ms"; None is the default of the format.
        splits: the split of each interaction file, in order; () leaves splitting to the loader.
        images: folder of pictures named ITEM_ID.jpg (or png, webp, …) for the item table.
        columns: the column of a role (one of `ROLES`), if its name is not a usual one.
    """

    sessions: str | None = None
    gap_minutes: float = 30
    min_clicks: int = 1
    min_session: int = 2
    min_rating: float | None = None
    items: str = "clicked"
    limit: int | None = None
    time_unit: str | None = None
    splits: tuple[str, ...] = ()
    images: str | None = None
    columns: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.sessions not in (*RULES, None):
            raise ConfigError(f"--sessions must be one of {', '.join(RULES)}.")
        if not 0 < self.gap_minutes < float("inf"):
            raise ConfigError(f"--sessions gap needs minutes above 0, not {self.gap_minutes:g}.")
        for name in ("min_clicks", "min_session", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                option = name.replace("_", "-")
                raise ConfigError(f"--{option} must be at least 1, not {value}.")
        if self.items not in ITEM_CHOICES:
            raise ConfigError(f"--items must be one of {', '.join(ITEM_CHOICES)}.")
        if self.time_unit not in (*TIME_UNITS, None):
            raise ConfigError(f"--time-unit must be one of {', '.join(TIME_UNITS)}.")
        for split in self.splits:
            if split not in SPLITS:
                raise ConfigError(f"--splits takes {', '.join(SPLITS)}, not '{split}'.")
        if self.splits and "train" not in self.splits:
            raise ConfigError("--splits names no file for train; name one.")
        for role, _ in self.columns:
            if role not in ROLES:
                raise ConfigError(f"--column has the roles {', '.join(ROLES)}, not '{role}'.")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "splits": list(self.splits), "columns": dict(self.columns)}

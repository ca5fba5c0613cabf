"""Settings of an import."""

from dataclasses import asdict
from typing import Any, Literal, get_args

from tpad.errors import ConfigError
from tpad.settings import Count, Positive, settings

Split = Literal["train", "validation", "test"]
Rule = Literal["day", "gap", "user", "given"]
ItemChoice = Literal["clicked", "known", "all"]
TimeUnit = Literal["s", "ms"]
Role = Literal[
    "user_id",
    "session_id",
    "item_id",
    "timestamp",
    "rating",
    "title",
    "description",
    "category",
    "price",
    "image_url",
]
SPLITS: tuple[Split, ...] = get_args(Split)
ITEM_CHOICES: tuple[ItemChoice, ...] = get_args(ItemChoice)
ROLES: tuple[Role, ...] = get_args(Role)
TIME_UNITS: dict[TimeUnit, int] = {"s": 1, "ms": 1_000}  # units per second
RATING = "rating"


@settings
class ImportSettings:
    """The settings of one import."""

    sessions: Rule | None = None
    """How sessions are formed: one per user and `day` (UTC), of one user up to a pause (`gap`), all
    clicks of a `user`, or as `given` by the file; None is the default of the format."""
    gap_minutes: Positive = 30.0
    """For `gap`, minutes without a click that end a session."""
    min_clicks: Count = 1
    """Items with fewer clicks are dropped, with their clicks."""
    min_session: Count = 2
    """Sessions with fewer clicks are dropped, before and after `min_clicks`."""
    min_rating: float | None = None
    """Interactions with a lower rating are dropped; None keeps all."""
    items: ItemChoice = "clicked"
    """The items of the item table: those `clicked`, those clicked that an item file describes (`known`:
    clicks on others are dropped), or `all` with a record or a click."""
    limit: Count | None = None
    """Largest number of interaction rows to read; None reads all."""
    time_unit: TimeUnit | None = None
    """Unit of the timestamps; None is the default of the format."""
    splits: tuple[Split, ...] = ()
    """The split of each interaction file, in order; () leaves splitting to the loader."""
    images: str | None = None
    """Folder of pictures named ITEM_ID.jpg (or png, webp, …) for the item table."""
    columns: tuple[tuple[Role, str], ...] = ()
    """The column of a role, if its name is not a usual one."""

    def __post_init__(self) -> None:
        if self.splits and "train" not in self.splits:
            raise ConfigError("--splits names no file for train; name one.")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "splits": list(self.splits), "columns": dict(self.columns)}

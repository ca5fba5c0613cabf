"""Which column of a file plays which role, and item rows made of such columns."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from tpad.data.columns import Columns
from tpad.errors import ConfigError, DataError
from tpad.importers.settings import RATING, ImportSettings
from tpad.importers.source import ITEM_FIELDS

NAMES = {
    Columns.USER_ID: (
        "user_id",
        "userId",
        "reviewerID",
        "UserId",
        "userID",
        "user",
        "visitorid",
    ),
    Columns.SESSION_ID: ("session_id", "SessionId", "sessionId", "session"),
    Columns.ITEM_ID: (
        "item_id",
        "ItemId",
        "itemId",
        "parent_asin",
        "asin",
        "movieId",
        "movie_id",
        "article_id",
        "itemID",
        "item",
        "itemid",
    ),
    Columns.TIMESTAMP: ("timestamp", "Time", "time", "unixReviewTime", "datetime", "date"),
    RATING: ("rating", "overall", "stars"),
    Columns.TITLE: ("title", "movie_title", "name", "product_name", "prod_name"),
    Columns.DESCRIPTION: ("description", "detail_desc", "text"),
    Columns.CATEGORY: ("category", "main_category", "categories", "class", "genres", "genre"),
    Columns.PRICE: ("price",),
    "image_url": (
        "image_url",
        "image_urls",
        "imUrl",
        "imageURLHighRes",
        "imageURL",
        "images",
        "image",
    ),
}
"""Names that published datasets give to each role; the first that is there is taken."""

_TAKEN = (*ITEM_FIELDS.names, Columns.IMAGE)


def find_roles(present: Sequence[str], settings: ImportSettings) -> dict[str, str]:
    """The column of each role, as far as there is one; `--column` comes before the usual names."""
    chosen = {role: name for role, name in settings.columns if name in present}
    for role, names in NAMES.items():
        free = [name for name in names if name in present and name not in chosen.values()]
        if role not in chosen and free:
            chosen[role] = free[0]
    return chosen


def require_role(roles: dict[str, str], role: str, present: Sequence[str], name: str) -> str:
    """The column of a role.

    Raises:
        DataError: no column plays it.
    """
    if role not in roles:
        raise DataError(
            f"{name} has no column for {role} (it has: {', '.join(present[:12])}); "
            f"name it with --column {role}=NAME."
        )
    return roles[role]


def check_unique(names: Sequence[str], file: str) -> None:
    """Raises a `DataError` if a file has two columns of one name."""
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{file} has two columns '{name}'; rename one of them.")


def lists_refused(file: str, column: str) -> DataError:
    """What to say of a column that holds lists where each row must have one value."""
    return DataError(
        f"{file} holds lists in the column '{column}', where each row must have a single value; "
        "write one row for each click or item. Lists of items are read by the format huggingface "
        f"if each row has a session: name its column with --column {Columns.SESSION_ID}=NAME."
    )


def check_columns(settings: ImportSettings, headers: Iterable[Sequence[str]]) -> None:
    """Refuses a `--column` that no file has.

    Raises:
        ConfigError: no header holds the name.
    """
    present = {name for header in headers for name in header}
    for role, name in settings.columns:
        if name not in present:
            raise ConfigError(f"--column {role}={name}: no file has a column '{name}'.")


def further_columns(columns: Iterable[tuple[str, dict[str, str]]]) -> list[pa.Field]:
    """The item columns beyond the standard ones, each a text.

    Args:
        columns: of each item file each column's name, with the file's roles. What plays no role
            keeps its name, unless that is a role's.
    """
    names = dict.fromkeys(
        "image_url" if name == roles.get("image_url") else name
        for name, roles in columns
        if name == roles.get("image_url") or (name not in roles.values() and name not in _TAKEN)
    )
    return [pa.field(name, pa.string()) for name in names]

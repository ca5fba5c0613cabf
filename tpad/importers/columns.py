"""Finds the columns of a file by their role: item id, timestamp, title and so on."""

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
"""Names of each role in published datasets; the first one that a file has is used."""

_RESERVED = (*ITEM_FIELDS.names, Columns.IMAGE)


def find_roles(present: Sequence[str], settings: ImportSettings) -> dict[str, str]:
    """The column of each role that the file has; `--column` takes precedence over the usual names."""
    chosen: dict[str, str] = {role: name for role, name in settings.columns if name in present}
    for role, names in NAMES.items():
        free = [name for name in names if name in present and name not in chosen.values()]
        if role not in chosen and free:
            chosen[role] = free[0]
    return chosen


def require_role(roles: dict[str, str], role: str, present: Sequence[str], name: str) -> str:
    """The column of a role.

    Raises:
        DataError: there is none.
    """
    if role not in roles:
        raise DataError(
            f"{name} has no column for {role} (it has: {', '.join(present[:12])}); "
            f"name it with --column {role}=NAME."
        )
    return roles[role]


def check_unique(names: Sequence[str], file: str) -> None:
    """Raise a `DataError` if a file has two columns of the same name."""
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{file} has two columns '{name}'; rename one of them.")


def lists_refused(file: str, column: str) -> DataError:
    """The error of a column of lists where each row must have a single value."""
    return DataError(
        f"{file} holds lists in the column '{column}', where each row must have a single value; "
        "write one row for each click or item. The format huggingface reads lists of items "
        f"if each row has a session: name its column with --column {Columns.SESSION_ID}=NAME."
    )


def check_columns(settings: ImportSettings, headers: Iterable[Sequence[str]]) -> None:
    """Check that every column named by `--column` exists.

    Raises:
        ConfigError: no file has it.
    """
    present = {name for header in headers for name in header}
    for role, name in settings.columns:
        if name not in present:
            raise ConfigError(f"--column {role}={name}: no file has a column '{name}'.")


def further_columns(columns: Iterable[tuple[str, dict[str, str]]]) -> list[pa.Field]:
    """The item columns beyond the standard ones, all text.

    Args:
        columns: name of each column of each item file, with the roles of the file. A column without
            a role keeps its name, unless that is the name of a role.
    """
    names = dict.fromkeys(
        "image_url" if name == roles.get("image_url") else name
        for name, roles in columns
        if name == roles.get("image_url") or (name not in roles.values() and name not in _RESERVED)
    )
    return [pa.field(name, pa.string()) for name in names]

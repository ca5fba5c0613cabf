"""Reads what callers of the API send. None of it is trusted."""

import base64
import binascii
from typing import Any

from gradio_client.utils import is_file_obj_with_meta

from app.shell.actions import MAX_TITLE
from app.shell.pictures import reencode
from app.shell.shop import Shop
from tpad.errors import ConfigError, DataError, TpadError
from tpad.io.texts import checked_text
from tpad.items import NewItem

MAX_K = 100  # items of a list
MAX_TEXT = 4000  # characters of a description
MAX_PICTURE = 24_000_000  # bytes of a picture sent as base64, as of an uploaded file
FIELDS = ("image", "title", "description", "category", "price", "vectors")

Item = str | dict[str, Any]
"""How an item is sent: its id, a picture, or a dictionary of some of `FIELDS`."""
_PICTURE_URL = "data:image/"


def read_elements(shop: Shop, sent: Any, most: int) -> list[str | NewItem]:
    """The elements of a session that a caller has sent.

    `sent` is emptied: Gradio keeps it as long as the caller is connected, and pictures are large.

    Args:
        shop: the open bundle.
        sent: by the caller; may be anything.
        most: number of elements that are allowed.

    Raises:
        TpadError: an item cannot be used; the message says which one.
    """
    if not isinstance(sent, list) or not sent:
        raise DataError("Give a list of at least one item id, picture or new item.")
    items = list(sent)
    sent.clear()
    if len(items) > most:
        raise DataError(f"{len(items):,} items are too many; send at most {most} at once.")
    elements = []
    for place, item in enumerate(items, 1):
        try:
            elements.append(_element(shop, item))
        except TpadError as error:
            raise type(error)(f"Item {place}: {error}") from error
    return elements


def _element(shop: Shop, item: Any) -> str | NewItem:
    if isinstance(item, str) and not item.startswith(_PICTURE_URL):
        if item not in shop.catalogue.rows:
            raise DataError(f"There is no item {item[:80]!r} in the catalogue.")
        return item
    if isinstance(item, str) or is_file_obj_with_meta(item):
        item = {"image": item}
    if not isinstance(item, dict):
        raise DataError("An item is an id, a picture, or a dictionary that describes a new item.")
    unknown = [str(name)[:40] for name in item if name not in FIELDS]
    if unknown:
        raise DataError(
            f"A new item has no field {unknown[0]!r}; the fields are {', '.join(FIELDS)}."
        )
    price = item.get("price")
    if price is not None and (isinstance(price, bool) or not isinstance(price, (int, float))):
        raise DataError("price must be a number.")
    new = NewItem(
        image=_picture(item.get("image")),
        title=read_text(item.get("title"), "title", MAX_TITLE),
        description=read_text(item.get("description"), "description", MAX_TEXT),
        category=read_text(item.get("category"), "category", MAX_TITLE),
        price=price,
        vectors=item.get("vectors") or None,
    )
    if new.image is None and not (new.title or new.description or new.vectors):
        raise DataError("A new item needs an image, a title or a description.")
    return new


def _picture(sent: Any) -> Any:
    """The picture of an uploaded file, a data URL or plain base64; None if there is none.

    Raises:
        TpadError: it is something else, too large, or not a usable picture.
    """
    if sent is None or sent == "":
        return None
    if is_file_obj_with_meta(sent):  # Gradio has checked that it is in its upload folder
        return reencode(str(sent["path"]))[0]
    if not isinstance(sent, str):
        raise DataError("image must be a file (gradio_client's handle_file) or base64 text.")
    if len(sent) > MAX_PICTURE * 4 / 3:
        raise DataError(f"The picture is larger than {MAX_PICTURE / 1e6:g} MB; make it smaller.")
    text = sent.partition(",")[2] if sent.startswith("data:") else sent
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("The picture is not base64; send it whole.") from error
    return reencode(data)[0]


def read_text(sent: Any, name: str, most: int = MAX_TITLE) -> str:
    """A text on one line; "" if it is None."""
    if sent is None:
        return ""
    if not isinstance(sent, str):
        raise DataError(f"{name} must be text.")
    if len(sent) > most:
        raise DataError(f"{name} has more than {most:,} characters; shorten it.")
    return " ".join(checked_text(sent, name).split())


def read_count(k: Any) -> int:
    """The number of items of a list."""
    if isinstance(k, bool) or not isinstance(k, (int, float)) or k != k // 1:
        raise ConfigError("k must be a whole number.")
    if not 1 <= k <= MAX_K:
        raise ConfigError(f"k must be from 1 to {MAX_K}, not {k:g}.")
    return int(k)


def read_flag(sent: Any) -> bool:
    """The value of exclude_seen."""
    if not isinstance(sent, bool):
        raise ConfigError("exclude_seen must be true or false.")
    return sent


def read_share(sent: Any) -> float | None:
    """The value of exploration."""
    if sent is None:
        return None
    if isinstance(sent, bool) or not isinstance(sent, (int, float)) or not 0 <= sent <= 1:
        raise ConfigError("exploration must be a share from 0 to 1, or left out.")
    return float(sent)


def read_model(shop: Shop, name: Any) -> str:
    """The name of a model."""
    if name not in shop.models:
        raise ConfigError(
            f"There is no model {str(name)[:40]!r} here; choose from {', '.join(shop.models)}."
        )
    return name

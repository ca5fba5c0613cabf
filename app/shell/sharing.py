"""Writes a session as a link or a file, and reads it back. Nothing that is read is trusted.

A link holds only item ids and the model's name; a file also holds the visitor's own pictures.
"""

import base64
import binascii
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pandas as pd
from PIL import Image

from app.shell.actions import MAX_TITLE, own_element
from app.shell.own_items import OWN
from app.shell.pictures import reencode
from app.shell.session import MAX_ELEMENTS, Element, Snapshot, VisitorSession
from app.shell.session_ids import link_id, link_ids
from app.shell.shop import Shop
from app.shell.text import readable
from tpad.data.columns import Columns
from tpad.errors import DataError, TpadError
from tpad.io.texts import checked_text
from tpad.items import NewItem

FORMAT, VERSION = "tpad-session", 1
MAX_LINK = 4_000  # characters of a link's query
MAX_ID = 400  # characters of an item id
MAX_FILE = 8_000_000  # characters of a file
QUALITY = 90  # of pictures in a file that would be too large without loss
FROM_LINK, FROM_FILE = "A session from a link", "A session from a file"
TOO_LARGE = f"A saved session has at most {MAX_FILE // 1_000_000} MB; this file is larger."
NOT_A_SESSION = "This file is not a saved session; choose one that was saved here."
_PICTURE = "data:image/webp;base64,"


@dataclass(frozen=True)
class Shared:
    """The content of a link or a file.

    Attributes:
        snapshot: the session.
        model: name of the embedding set that ranked.
    """

    snapshot: Snapshot
    model: str


def link(session: VisitorSession, model: str) -> str:
    """The query `?session=id,id&next=id&model=name` of a link that opens a session again.

    Ids are quoted, new arrivals are "arrival:<n>", the visitor's own items are left out (see
    `left_out`). "" if no element is left.
    """
    ids = link_ids(session)
    if not ids:
        return ""
    query = {"session": ids}
    if session.now.target:
        query["next"] = session.now.target
    return "?" + urlencode(query | {"model": model}, safe=",:", quote_via=quote)


def left_out(session: VisitorSession) -> int:
    """Number of elements that a link cannot carry because they are the visitor's own."""
    return sum(not link_id(element) for element in session.elements)


def read_link(shop: Shop, query: Mapping[str, str]) -> Shared | None:
    """The session of a link; None if the query has no session.

    Raises:
        DataError: the link is malformed, or an id or the model is unknown.
    """
    text = query.get("session")
    if text is None:
        return None
    try:
        if len(text) > MAX_LINK:
            raise DataError("It is too long.")
        ids = [unquote(part) for part in text.split(",")]
        snapshot = _snapshot(
            shop, [{"id": item_id} for item_id in ids], FROM_LINK, query.get("next", "")
        )
        return Shared(snapshot, _model(shop, query.get("model", shop.models[0])))
    except TpadError as error:
        raise DataError(
            f"This link does not fit the shop, so the example is shown. {error}"
        ) from error


def read_address(
    shop: Shop, query: Mapping[str, str], everything: str = "", source: str = ""
) -> tuple[Snapshot | None, int]:
    """The session of the page's address, and how many of the visitor's own items have expired.

    Args:
        shop: the open bundle.
        query: of the address.
        everything: all ids that the browser has kept, see `app.shell.session_ids.all_ids`; "" if none.
        source: where the session came from, in words.

    Returns:
        The session (None if the address has none) and the count.

    Raises:
        DataError: the session does not match the shop.
    """
    if not everything:
        if query.get("session") == "":
            return Snapshot(), 0
        shared = read_link(shop, query)
        return (None if shared is None else shared.snapshot), 0
    ids = [unquote(part) for part in everything.split(",")[: MAX_ELEMENTS + 1]]
    gone = [i for i in ids if _is_own(shop, i) and shop.own.get(i) is None]
    records = [{"id": item} for item in ids if item not in gone]
    if not records:
        return Snapshot(), len(gone)
    return _snapshot(shop, records, source, query.get("next", "")), len(gone)


def save(
    shop: Shop,
    session: VisitorSession,
    model: str,
    settings: Mapping[str, Any],
    found: pd.DataFrame,
) -> str:
    """A session as JSON, with the visitor's own pictures and the recommendations.

    Args:
        shop: the open bundle.
        session: the visitor's.
        model: name of the embedding set that ranked.
        settings: of the recommendations, for people to read; `read_file` ignores them.
        found: the recommendations: item_id, score, rank, is_cold, title, price.
    """
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": shop.catalogue.dataset.fingerprint,
        "model": model,
        "settings": dict(settings),
        "source": session.now.source,
        "next": session.now.target,
        "revealed": session.now.revealed,
        "recommendations": [
            {
                "rank": int(rank),
                "id": str(item_id),
                "title": str(title),
                "price": _number(price),
                "score": _number(score),
                "cold": bool(cold),
            }
            for rank, item_id, title, price, score, cold in zip(
                found[Columns.RANK],
                found[Columns.ITEM_ID],
                found[Columns.TITLE],
                found[Columns.PRICE],
                found[Columns.SCORE],
                found[Columns.IS_COLD],
                strict=True,
            )
        ],
    }
    text = ""
    for lossless in (True, False):
        items = [_record(element, lossless) for element in session.elements]
        text = json.dumps(facts | {"items": items}, ensure_ascii=False, indent=1)
        if len(text) <= MAX_FILE:
            break
    return text


def read_file(shop: Shop, text: str) -> Shared:
    """The session of a file that `save` wrote. Its pictures are re-encoded like uploads.

    Raises:
        DataError: the file is too large or malformed, or an item or the model is unknown.
        ImageError: a picture in it cannot be used.
    """
    if len(text) > MAX_FILE:
        raise DataError(TOO_LARGE)
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(NOT_A_SESSION) from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise DataError(NOT_A_SESSION)
    if facts.get("version") != VERSION:
        raise DataError("This session was saved by another version of the app; save it again.")
    records = facts.get("items")
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise DataError("The saved session is damaged; save it again.")
    model = _model(shop, facts.get("model"))
    revealed = facts.get("revealed") is True
    return Shared(_snapshot(shop, records, FROM_FILE, facts.get("next", ""), revealed), model)


def _snapshot(
    shop: Shop, records: list[dict[str, Any]], source: str, target: Any, revealed: bool = False
) -> Snapshot:
    if not 0 < len(records) <= MAX_ELEMENTS:
        raise DataError(f"A session has 1 to {MAX_ELEMENTS} items, not {len(records)}.")
    if target and (not isinstance(target, str) or target not in shop.catalogue.rows):
        raise DataError("The true next item is not in this catalogue.")
    known = [_known(shop, record) for record in records]  # cheap: errors are found before encoding
    contents = [None if element else _content(r) for element, r in zip(known, records, strict=True)]
    elements = [
        element or own_element(shop, *content)  # type: ignore[misc]
        for element, content in zip(known, contents, strict=True)
    ]
    return Snapshot(tuple(elements), source, target or "", revealed and bool(target))


def _known(shop: Shop, record: dict[str, Any]) -> Element | None:
    """The item or arrival with the record's id; None for one of the visitor's own items."""
    if "id" not in record:
        return None
    item_id = record["id"]
    if not isinstance(item_id, str) or not 0 < len(item_id) <= MAX_ID:
        raise DataError("The id of an item must be a short text.")
    checked_text(item_id, "An item's id")
    if _is_own(shop, item_id) and (own := shop.own.get(item_id)) is not None:
        return own
    try:
        return shop.catalogue.element(item_id)
    except DataError as error:
        raise DataError(f"There is no item '{item_id[:80]}' in this catalogue.") from error


def _is_own(shop: Shop, item_id: str) -> bool:
    return item_id.startswith(OWN) and item_id not in shop.catalogue.rows


def _content(record: dict[str, Any]) -> tuple[NewItem, str]:
    """One of the visitor's own items in a file, and the data URL of its thumbnail."""
    title, price, picture = record.get("title", ""), record.get("price"), record.get("picture", "")
    if not isinstance(title, str) or not isinstance(picture, str) or not (title or picture):
        raise DataError("An item of your own needs a title or a picture.")
    checked_text(title, "The title of an item of your own")
    if price is not None and (
        isinstance(price, bool)
        or not isinstance(price, (int, float))
        or not 0 <= price < 1e12  # NaN is in no range
    ):
        raise DataError("A price must be a number of zero or more.")
    image, thumbnail = None, ""
    if picture:
        try:
            if not picture.startswith(_PICTURE):
                raise ValueError("not a WebP data URL")
            data = base64.b64decode(picture.removeprefix(_PICTURE), validate=True)
        except (ValueError, binascii.Error) as error:
            raise DataError("A picture in the file is damaged; save the session again.") from error
        image, thumbnail = reencode(data)
    content = NewItem(
        image, readable(title)[:MAX_TITLE], price=None if price is None else float(price)
    )
    return content, thumbnail


def _record(element: Element, lossless: bool) -> dict[str, Any]:
    record: dict[str, Any] = {"title": element.title, "price": _number(element.price)}
    if address := link_id(element):
        return {"id": address} | record
    assert element.content is not None
    record["title"] = element.content.title
    if element.content.image is not None:
        record["picture"] = _PICTURE + _webp(element.content.image, lossless)
    return record


def _webp(image: Image.Image, lossless: bool) -> str:
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=lossless, quality=QUALITY, method=2)
    return base64.b64encode(out.getvalue()).decode()


def _model(shop: Shop, name: Any) -> str:
    if name not in shop.models:
        raise DataError("The model is not in this bundle.")
    return str(name)


def _number(value: Any) -> float | None:
    """A JSON number; NaN and infinity become null."""
    return float(value) if value is not None and math.isfinite(value) else None

"""What a visitor can do with the session: pure functions, independent of the user interface."""

import random

import numpy as np

from app.shell import views
from app.shell.own_items import new_key
from app.shell.pictures import reencode
from app.shell.session import Element, VisitorSession
from app.shell.session_ids import all_ids, link_ids
from app.shell.shop import Shop
from app.shell.text import readable
from app.shell.turns import SLOW, in_turn
from tpad.errors import DataError
from tpad.items import NewItem

MAX_TITLE = 200  # characters of an uploaded item's title


def step(
    shop: Shop, session: VisitorSession, act: str, target: str, rng: random.Random
) -> VisitorSession:
    """One click on a card, on the session strip or on one of its tools.

    Args:
        act: what was clicked: add, remove, left, right, undo, clear, reveal, shopper or example.
        target: item_id for `add`, index in the session for remove, left and right.
        rng: chooses the random shopper.

    Raises:
        TpadError: there is no such item, or the session is full.
    """
    match act:
        case "add":
            return session.add(shop.catalogue.element(target))
        case "remove":
            return session.remove(_index(target))
        case "left":
            return session.move(_index(target), -1)
        case "right":
            return session.move(_index(target), 1)
        case "undo":
            return session.undo()
        case "clear":
            return session.clear()
        case "reveal":
            return session.reveal()
        case "shopper":
            return session.open(shop.catalogue.random_shopper(rng))
        case "example":
            return session.open(shop.catalogue.example())
    raise DataError("The page and the app have different versions; reload the page.")


def uploaded(shop: Shop, path: str | None, title: str, price: str) -> Element:
    """An uploaded picture, its title, or both, as an element of a session.

    Raises:
        TpadError: there is neither picture nor title, or the picture cannot be used.
    """
    title = readable(str(title or ""))[:MAX_TITLE]
    if not path and not title:
        raise DataError("Choose a picture or write a title first.")
    image, thumbnail = reencode(path) if path else (None, "")
    content = NewItem(image=image, title=title, price=_price(price))
    return own_element(shop, content, thumbnail)


def own_element(shop: Shop, content: NewItem, thumbnail: str) -> Element:
    """One of the visitor's own items as an element of a session.

    The item is encoded here, so that later rankings find it in the recommender's cache.

    Args:
        content: the item.
        thumbnail: data URL of its picture; "" without one.
    """
    with in_turn(SLOW):
        shop.recommender.compare([content], k=1)  # one forward pass serves all models
    title = content.title or "Your picture"
    element = Element("", title, thumbnail, content.price, True, content, new_key())
    return shop.own.keep(element)


def strip_html(shop: Shop, session: VisitorSession) -> str:
    """The session strip."""
    target = session.now.target
    return views.strip(
        session,
        shop.catalogue.element(target) if target else None,
        {"session": link_ids(session), "all": all_ids(session)},
    )


def _price(text: str) -> float | None:
    if not str(text or "").strip():
        return None
    try:
        price = float(str(text).strip().replace(",", "."))
    except ValueError:
        price = np.nan
    if not (np.isfinite(price) and price >= 0):
        raise DataError("The price must be a number of zero or more; correct it or leave it empty.")
    return price


def _index(text: str) -> int:
    return int(text) if text.isdecimal() else -1

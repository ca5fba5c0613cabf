"""What the app does with a visitor's session: pure steps, free of any user interface."""

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from app.compare.agreement import rank_table, ranks
from app.compare.maps import Maps
from app.shell import views
from app.shell.address_parts import addresses, linked
from app.shell.catalogue import Catalogue
from app.shell.own_items import OwnItems, new_key
from app.shell.pictures import reencode
from app.shell.state import FORGET_AFTER, Element, VisitorSession
from app.shell.text import readable
from tpad.data.columns import Columns
from tpad.errors import DataError
from tpad.items import NewItem

if TYPE_CHECKING:
    from app.shell.results import Results
    from tpad.recommender import Recommender

MAX_TITLE = 200  # characters of an uploaded item's title


@dataclass(frozen=True)
class Shop:
    """Everything the tabs need.

    Attributes:
        recommender: an opened bundle.
        catalogue: its items as the app shows them.
        titles: human name of each embedding set.
        results: the results database, if there is one.
        maps: two-dimensional maps of the catalogue.
        own: items of the visitors' own.
    """

    recommender: "Recommender"
    catalogue: Catalogue
    titles: dict[str, str]
    results: "Results | None"
    maps: Maps
    own: OwnItems = field(default_factory=lambda: OwnItems(FORGET_AFTER))

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self.recommender.models)


def step(
    shop: Shop, session: VisitorSession, act: str, target: str, rng: random.Random
) -> VisitorSession:
    """One click on a card, on the session strip or on one of its tools.

    Args:
        act: what was clicked: add, remove, left, right, undo, clear, reveal, shopper or example.
        target: item_id for `add`, place in the session for remove, left and right.
        rng: chooses the random shopper.

    Raises:
        TpadError: the item is not there, or the session is full.
    """
    match act:
        case "add":
            return session.add(shop.catalogue.element(target))
        case "remove":
            return session.remove(_place(target))
        case "left":
            return session.move(_place(target), -1)
        case "right":
            return session.move(_place(target), 1)
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
    raise DataError("The page and the app are of different versions; reload the page.")


def uploaded(shop: Shop, path: str | None, title: str, price: str) -> Element:
    """An uploaded picture, its title, or both, as an element.

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
    """An item of the visitor's own as an element; it is encoded here, so later steps find it in the
    recommender's cache.

    Args:
        content: the item.
        thumbnail: data URL of its picture; "" without one.
    """
    shop.recommender.compare([content], k=1)  # one forward serves all models
    title = content.title or "Your picture"
    element = Element("", title, thumbnail, content.price, True, content, new_key())
    return shop.own.keep(element)


def strip_html(shop: Shop, session: VisitorSession) -> str:
    """The session strip."""
    target = session.table.target
    return views.strip(
        session,
        shop.catalogue.element(target) if target else None,
        {"session": linked(session), "all": addresses(session)},
    )


def recommendations_html(
    shop: Shop, session: VisitorSession, model: str, k: int, exclude_seen: bool
) -> str:
    """The recommendation cards for a session.

    Raises:
        TpadError: the recommender cannot rank.
    """
    if not len(session):
        return views.no_session()
    started = time.perf_counter()
    found = shop.recommender.recommend(
        session.values, k=int(k), exclude_seen=exclude_seen, model=model
    )
    milliseconds = 1000 * (time.perf_counter() - started)
    target = session.table.target if session.table.revealed else ""
    target_rank = None
    if target:
        seen = seen_rows(shop, session) if exclude_seen else []
        scores = shop.recommender.scores(session.values, model)
        target_rank = int(ranks(scores, seen)[shop.catalogue.rows[target]])
    return views.recommendations(
        with_facts(shop, found),
        model_title=shop.titles[model],
        n_items=len(shop.catalogue.items),
        milliseconds=milliseconds,
        target=target,
        target_rank=target_rank,
    )


def compared(
    shop: Shop, session: VisitorSession, models: list[str]
) -> tuple[pd.DataFrame, int | None]:
    """Ranks of every item under each of `models`, and the row of the true next item if revealed."""
    scores = {model: shop.recommender.scores(session.values, model) for model in models}
    known = len(shop.catalogue.items)
    table = rank_table({m: s[:known] for m, s in scores.items()}, seen_rows(shop, session))
    target = session.table.target if session.table.revealed else ""
    return table, shop.catalogue.rows[target] if target else None


def with_facts(shop: Shop, found: pd.DataFrame) -> pd.DataFrame:
    """Recommended items with their title, price and picture; those the catalogue knows."""
    rows = shop.catalogue.rows
    inside = [item in rows for item in found[Columns.ITEM_ID].tolist()]
    found = found[inside]
    facts = shop.catalogue.items.take([rows[item] for item in found[Columns.ITEM_ID].tolist()])
    shown = (Columns.TITLE, Columns.PRICE, "picture")
    return found.assign(**{column: facts[column].array for column in shown})


def seen_rows(shop: Shop, session: VisitorSession) -> list[int]:
    """Rows of the session's items, those of the catalogue."""
    rows = shop.catalogue.rows
    return sorted({rows[e.item_id] for e in session.elements if e.item_id in rows})


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


def _place(text: str) -> int:
    return int(text) if text.isdecimal() else -1

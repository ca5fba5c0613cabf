"""The shop as the app shows it: its items, new arrivals, and sessions of shoppers."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from app.shell.session import Element, Snapshot
from app.shell.text import readable, readable_column
from tpad.data.columns import Columns
from tpad.data.images import load_image, resolve_image
from tpad.errors import DataError, TpadError
from tpad.items import NewItem

if TYPE_CHECKING:
    from tpad.recommender import Recommender

ALL, ARRIVALS = "All", "New arrivals"
# Columns, with or without the prefix "attr_", that divide a shop more finely than `category`.
KIND_COLUMNS = ("department", "subcategory", "sub_category", "product_type", "type")
MAX_KINDS = 80  # a column with more values is not offered as a filter
MAX_BORROWED = 8  # items shown of a test session; some shops have sessions of hundreds
EXAMPLE_LENGTHS = (4, 5, 6)


@dataclass(frozen=True)
class Arrival:
    """A product that is not in the catalogue, offered as a picture."""

    path: Path
    title: str
    description: str
    category: str
    price: float | None


class Catalogue:
    """The items that can be looked at and added to a session.

    Args:
        recommender: an opened bundle.

    Attributes:
        items: one row per item, in the bundle's order: item_id, title, category, price, is_cold,
            picture (address relative to the page, "" if the item has none).
        arrivals: products that are not in the catalogue.
    """

    def __init__(self, recommender: "Recommender") -> None:
        self.dataset = recommender.bundle.dataset
        self.version = self.dataset.fingerprint[:12]
        source = self.dataset.items
        known = self.dataset.n_items
        has_picture = source[Columns.IMAGE].ne("").to_numpy()
        titles = readable_column(source[Columns.TITLE])
        self.items = pd.DataFrame(
            {
                Columns.ITEM_ID: source[Columns.ITEM_ID].astype(str),
                Columns.TITLE: titles.where(
                    titles.ne(""), readable_column(source[Columns.ITEM_ID])
                ),
                Columns.CATEGORY: readable_column(source[Columns.CATEGORY]),
                Columns.PRICE: source[Columns.PRICE],
                Columns.IS_COLD: recommender.cold[:known],
                "picture": [
                    f"pictures/item/{row}?v={self.version}" if has else ""
                    for row, has in enumerate(has_picture)
                ],
            }
        )
        self.rows = {item: row for row, item in enumerate(self.items[Columns.ITEM_ID])}
        words = [readable_column(source[column]) for column in _SEARCHED]
        self._text = words[0].str.cat(words[1:], sep=" ").str.lower()
        self._kinds = _kind_column(source)
        self.arrivals = _read_arrivals(recommender.bundle.path / "arrivals")

    @property
    def places(self) -> list[str]:
        """The options of the department filter."""
        counts = self.items[Columns.CATEGORY].replace("", np.nan).value_counts()
        return [ALL, *counts.index] + ([ARRIVALS] if self.arrivals else [])

    def kinds(self, place: str = ALL) -> list[str]:
        """The options of the product type filter within a department; empty if there are none."""
        if self._kinds is None or place == ARRIVALS:
            return []
        inside = self._kinds
        if place != ALL:
            inside = inside[self.items[Columns.CATEGORY].eq(place)]
        found = sorted(set(inside) - {""})
        return [ALL, *found] if len(found) > 1 else []

    def search(
        self, query: str = "", place: str = ALL, cold_only: bool = False, kind: str = ALL
    ) -> pd.DataFrame:
        """The items whose text contains every word of `query`, in the bundle's order.

        Args:
            query: words or parts of words; case is ignored.
            place: a department, or `ALL`, or `ARRIVALS`.
            cold_only: only items that nobody clicked in the training sessions.
            kind: one of `kinds`, or `ALL`.

        Returns:
            Rows of `items`; for `ARRIVALS` a frame of the same columns, item_id "arrival:<n>".
        """
        if place == ARRIVALS:
            frame = self._arrival_frame()
            text = frame[Columns.TITLE].str.lower()
        else:
            frame, text = self.items, self._text
        keep = np.ones(len(frame), dtype=bool)
        for word in str(query).lower().split():
            keep &= text.str.contains(word, regex=False).to_numpy(dtype=bool)
        if place not in (ALL, ARRIVALS, "", None):
            keep &= frame[Columns.CATEGORY].eq(place).to_numpy(dtype=bool)
        if self._kinds is not None and kind not in (ALL, "", None) and place != ARRIVALS:
            keep &= self._kinds.eq(kind).to_numpy(dtype=bool)
        if cold_only and place != ARRIVALS:
            keep &= frame[Columns.IS_COLD].to_numpy(dtype=bool)
        return frame[keep]

    def element(self, item_id: str) -> Element:
        """An item, or a new arrival ("arrival:<n>"), as an element of a session.

        Raises:
            DataError: there is no item with that id.
        """
        if item_id.startswith("arrival:") and item_id not in self.rows:
            return self._arrival_element(item_id)
        if item_id not in self.rows:
            raise DataError(f"There is no item '{item_id[:80]}' in the catalogue; reload the page.")
        item = self.items.iloc[self.rows[item_id]]
        price = float(item[Columns.PRICE])
        return Element(
            item_id=item_id,
            title=item[Columns.TITLE],
            picture=item["picture"],
            price=None if np.isnan(price) else price,
            is_cold=bool(item[Columns.IS_COLD]),
        )

    def example(self) -> Snapshot:
        """The session of a fresh page: the first test session of moderate length."""
        sessions = self.dataset.test.items
        for rows in sessions:
            if len(rows) - 1 in EXAMPLE_LENGTHS and len(set(rows.tolist())) == len(rows):
                return self._borrowed(rows, "A shopper from the test sessions")
        for rows in sessions:
            if len(rows) >= 2:
                return self._borrowed(rows, "A shopper from the test sessions")
        return Snapshot(tuple(self.element(item) for item in self.items[Columns.ITEM_ID][:3]))

    def random_shopper(self, rng: random.Random) -> Snapshot:
        """A random test session; its last item is the true next item.

        Raises:
            DataError: there is no test session with two or more items.
        """
        sessions = self.dataset.test.items
        for _ in range(200):
            if not sessions:
                break
            rows = sessions[rng.randrange(len(sessions))]
            if len(rows) >= 2:
                return self._borrowed(rows, "A random shopper from the test sessions")
        raise DataError("This bundle has no test sessions to borrow; build a session yourself.")

    def arrival_path(self, number: int) -> Path | None:
        """The picture of a new arrival; None if there is no such arrival."""
        return self.arrivals[number].path if 0 <= number < len(self.arrivals) else None

    def _borrowed(self, rows: np.ndarray, source: str) -> Snapshot:
        ids = [str(item) for item in self.items[Columns.ITEM_ID].to_numpy()[rows]]
        shown = ids[:-1][-MAX_BORROWED:]
        return Snapshot(tuple(self.element(item) for item in shown), source, target=ids[-1])

    def _arrival_frame(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                Columns.ITEM_ID: [f"arrival:{n}" for n in range(len(self.arrivals))],
                Columns.TITLE: [arrival.title for arrival in self.arrivals],
                Columns.CATEGORY: [arrival.category for arrival in self.arrivals],
                Columns.PRICE: pd.Series([a.price for a in self.arrivals], dtype="float64"),
                Columns.IS_COLD: False,  # all are new here, so a badge on each would say nothing
                "picture": [self._arrival_picture(n) for n in range(len(self.arrivals))],
            }
        )

    def _arrival_picture(self, number: int) -> str:
        return f"pictures/arrival/{number}?v={self.version}"

    def _arrival_element(self, item_id: str) -> Element:
        number = item_id.removeprefix("arrival:")
        if not number.isdecimal() or int(number) >= len(self.arrivals):
            raise DataError(f"There is no new arrival '{item_id[:80]}'; reload the page.")
        arrival = self.arrivals[int(number)]
        content = NewItem(
            load_image(arrival.path),
            arrival.title,
            arrival.description,
            arrival.category,
            arrival.price,
        )
        return Element(
            item_id="",
            title=arrival.title,
            picture=self._arrival_picture(int(number)),
            price=arrival.price,
            is_cold=True,
            content=content,
            key=item_id,
        )


_SEARCHED = (Columns.TITLE, Columns.DESCRIPTION, Columns.CATEGORY, Columns.ITEM_ID)


def _kind_column(items: pd.DataFrame) -> pd.Series | None:
    """The first column of `KIND_COLUMNS` that most items have and that divides them, if any."""
    for name in (prefix + column for column in KIND_COLUMNS for prefix in ("", "attr_")):
        if name in items.columns:
            values = readable_column(items[name])
            if 2 <= values[values.ne("")].nunique() <= MAX_KINDS and values.ne("").mean() >= 0.5:
                return values
    return None


def _read_arrivals(folder: Path) -> tuple[Arrival, ...]:
    """The new arrivals of a bundle; none if it has no readable table of them."""
    try:
        table = pd.read_csv(folder / "arrivals.csv", dtype=str, keep_default_na=False)
    except (OSError, ValueError):
        return ()
    found = []
    for record in table.to_dict("records"):
        try:
            path = resolve_image(folder, record.get(Columns.IMAGE, ""))
        except TpadError:
            continue
        price = pd.to_numeric(record.get(Columns.PRICE, ""), errors="coerce")
        found.append(
            Arrival(
                path,
                readable(record.get(Columns.TITLE, "")) or "New arrival",
                record.get(Columns.DESCRIPTION, ""),
                record.get(Columns.CATEGORY, ""),
                None if pd.isna(price) else float(price),
            )
        )
    return tuple(found)

"""What all tabs share: the open bundle, its catalogue and the results database."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from app.shell.catalogue import Catalogue
from app.shell.own_items import OwnItems
from app.shell.session import FORGET_AFTER, VisitorSession
from tpad.data.columns import Columns

if TYPE_CHECKING:
    from app.shell.results import Results
    from tpad.recommender import Recommender


@dataclass(frozen=True)
class Shop:
    """What all tabs share.

    Attributes:
        recommender: an opened bundle.
        catalogue: its items as the app shows them.
        titles: human name of each embedding set.
        results: the results database, if there is one.
        own: items that visitors have added.
    """

    recommender: "Recommender"
    catalogue: Catalogue
    titles: dict[str, str]
    results: "Results | None"
    own: OwnItems = field(default_factory=lambda: OwnItems(FORGET_AFTER))

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the embedding sets that can rank, the default first."""
        return tuple(self.recommender.models)


def with_item_facts(shop: Shop, found: pd.DataFrame) -> pd.DataFrame:
    """Recommended items with their title, price and picture; only those in the catalogue."""
    rows = shop.catalogue.rows
    found = found[[item in rows for item in found[Columns.ITEM_ID].tolist()]]
    facts = shop.catalogue.items.take([rows[item] for item in found[Columns.ITEM_ID].tolist()])
    columns = (Columns.TITLE, Columns.PRICE, "picture")
    return found.assign(**{column: facts[column].array for column in columns})


def seen_rows(shop: Shop, session: VisitorSession) -> list[int]:
    """Rows of the session's items that are in the catalogue."""
    rows = shop.catalogue.rows
    return sorted({rows[e.item_id] for e in session.elements if e.item_id in rows})

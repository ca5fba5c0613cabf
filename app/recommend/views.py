"""HTML of the Recommend tab: the catalogue's cards, and the recommendations."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app.shell.exploration import Cost
from app.shell.templates import render
from tpad.data.columns import Columns

PAGE = 48  # cards of the catalogue that are sent at once
_CARD_COLUMNS = [Columns.ITEM_ID, Columns.TITLE, Columns.PRICE, Columns.IS_COLD, "picture"]


@dataclass(frozen=True)
class Target:
    """The true next item of a session.

    Attributes:
        item_id: its id.
        rank: among all items; 0 if it was left out as seen.
        is_shown: False if the settings never show it.
    """

    item_id: str
    rank: int
    is_shown: bool = True


def gallery(items: pd.DataFrame, page: int = 0, search: Mapping[str, Any] | None = None) -> str:
    """One page of the catalogue as cards, and the button for the next page.

    Args:
        items: what was found, with item_id, title, price, is_cold, picture.
        page: number of the page, from 0.
        search: the query and filters; the button carries them, with the number of the next page.
    """
    start, end = page * PAGE, (page + 1) * PAGE
    return render(
        "recommend/gallery.html",
        cards=items.iloc[start:end][_CARD_COLUMNS].to_dict("records"),
        more=max(min(PAGE, len(items) - end), 0),
        next_page=json.dumps({**(search or {}), "page": page + 1}),
        total=len(items),
    )


def recommendations(
    found: pd.DataFrame,
    *,
    model_title: str,
    n_items: int,
    milliseconds: float | None = None,
    cost: Cost | None = None,
    target: Target | None = None,
) -> str:
    """The recommendations as cards.

    Args:
        found: item_id, score, rank, is_cold, title, price, picture; best first.
        model_title: human name of the model that ranked.
        n_items: size of the catalogue.
        milliseconds: how long the ranking took.
        cost: what the setting of new items costs, if it is known.
        target: the true next item, once revealed.
    """
    columns = [*_CARD_COLUMNS, Columns.SCORE, Columns.RANK]
    cards = found[columns].assign(weight=relative_weight(found[Columns.SCORE]))
    return render(
        "recommend/recommendations.html",
        cards=cards.to_dict("records"),
        model_title=model_title,
        n_items=n_items,
        milliseconds=milliseconds,
        cost=cost,
        target=target,
        is_hit=target is not None and target.item_id in set(found[Columns.ITEM_ID]),
    )


def relative_weight(scores: Sequence[float] | pd.Series) -> list[float]:
    """exp(score − best score): the model's weight of each item relative to the first.

    A softmax turns scores into weights. They are not calibrated, so they are not probabilities.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        return []
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.exp(values - np.nanmax(values)), nan=0.0).tolist()

"""The recommendations for a session, as cards."""

import time

import numpy as np

from app.recommend import views
from app.shell import exploration
from app.shell.ranking import ranks
from app.shell.session import VisitorSession
from app.shell.shop import Shop, seen_rows, with_item_facts
from app.shell.views import no_session


def recommendations_html(
    shop: Shop,
    session: VisitorSession,
    model: str,
    k: int,
    exclude_seen: bool,
    new_items: str = exploration.TUNED,
) -> str:
    """The recommendation cards for a session.

    Args:
        shop: the open bundle.
        session: the visitor's.
        model: name of the embedding set.
        k: number of items.
        exclude_seen: whether items of the session are left out.
        new_items: how many new items are shown, one of `exploration.choices`.

    Raises:
        TpadError: the recommender cannot rank.
    """
    if not len(session):
        return no_session()
    share = exploration.share_of(shop, model, new_items)
    started = time.perf_counter()
    found = shop.recommender.recommend(session.values, int(k), exclude_seen, model, share)
    milliseconds = 1000 * (time.perf_counter() - started)
    return views.recommendations(
        with_item_facts(shop, found),
        model_title=shop.titles[model],
        n_items=len(shop.catalogue.items),
        milliseconds=milliseconds,
        cost=exploration.cost(shop, model, new_items),
        target=_target(shop, session, model, exclude_seen, share),
    )


def _target(
    shop: Shop, session: VisitorSession, model: str, exclude_seen: bool, share: float | None
) -> views.Target | None:
    """The true next item and its rank, once it is revealed."""
    item = session.now.target
    if not item or not session.now.revealed:
        return None
    scores = shop.recommender.scores(session.values, model, share)
    row = shop.catalogue.rows[item]
    rank = int(ranks(scores, seen_rows(shop, session) if exclude_seen else [])[row])
    return views.Target(item, rank, is_shown=bool(np.isfinite(scores[row])))

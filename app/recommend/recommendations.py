"""The recommendations for a session, as cards."""

import time

from app.recommend import views
from app.shell.ranking import ranks
from app.shell.session import VisitorSession
from app.shell.shop import Shop, seen_rows, with_item_facts
from app.shell.views import no_session


def recommendations_html(
    shop: Shop, session: VisitorSession, model: str, k: int, exclude_seen: bool
) -> str:
    """The recommendation cards for a session.

    Raises:
        TpadError: the recommender cannot rank.
    """
    if not len(session):
        return no_session()
    started = time.perf_counter()
    found = shop.recommender.recommend(
        session.values, k=int(k), exclude_seen=exclude_seen, model=model
    )
    milliseconds = 1000 * (time.perf_counter() - started)
    target = session.now.target if session.now.revealed else ""
    target_rank = None
    if target:
        seen = seen_rows(shop, session) if exclude_seen else []
        scores = shop.recommender.scores(session.values, model)
        target_rank = int(ranks(scores, seen)[shop.catalogue.rows[target]])
    return views.recommendations(
        with_item_facts(shop, found),
        model_title=shop.titles[model],
        n_items=len(shop.catalogue.items),
        milliseconds=milliseconds,
        target=target,
        target_rank=target_rank,
    )

"""The whole page: header, session strip, tabs, and what listens to what."""

import random
from typing import TYPE_CHECKING, Any

import gradio as gr

from app import style, views
from app.actions import Shop, recommendations_html, step, strip_html
from app.catalogue import Catalogue
from app.events import guarded, html, told
from app.pictures import picture_routes
from app.state import Element, VisitorSession
from app.tabs import compare, recommend

if TYPE_CHECKING:
    from tpad.recommender import Recommender

RECOMMEND, COMPARE = "recommend", "compare"
MAX_UPLOAD = "8mb"
FORGET_AFTER = 2 * 3600  # seconds after which a visitor's session and uploads are dropped


def open_shop(recommender: "Recommender") -> Shop:
    """What the tabs share."""
    from tpad.training.encoders import SET_TITLES

    titles = {name: SET_TITLES.get(name, name) for name in recommender.models}
    return Shop(recommender, Catalogue(recommender), titles)


def build_app(recommender: "Recommender") -> gr.Blocks:
    """The page for one bundle; start it with `launch(**launch_options(app))`.

    State is each visitor's own: sessions and uploads live in `gr.State`, never in the page's code.
    """
    shop = open_shop(recommender)
    first = VisitorSession(shop.catalogue.example())
    items = shop.catalogue.items
    with gr.Blocks(
        title="TPAD · what comes next?",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(1800, FORGET_AFTER),
    ) as app:
        session = gr.State(first, time_to_live=FORGET_AFTER)
        active = gr.State(RECOMMEND)
        html(views.header(len(items), int(items["is_cold"].sum())))
        strip = html(strip_html(shop, first), elem_id="session")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Recommend", id=RECOMMEND) as recommend_tab:
                left = recommend.build(shop, first)
            with gr.Tab("Compare", id=COMPARE) as compare_tab:
                right = compare.build(shop)

        @guarded(2)
        def clicked(present: VisitorSession, event: gr.EventData) -> tuple[VisitorSession, str]:
            changed = step(shop, present, *told(event), random.Random())
            return changed, strip_html(shop, changed)

        @guarded(6)
        def add_pending(present: VisitorSession, element: Element | None) -> tuple[Any, ...]:
            if element is None:
                return tuple(gr.skip() for _ in range(6))
            changed = present.add(element)
            return changed, strip_html(shop, changed), None, None, "", None

        @guarded(3)
        def refresh(
            present: VisitorSession, tab: str, model: str, k: int, exclude: bool, beside, places
        ) -> tuple[Any, Any, Any]:
            if tab == COMPARE:
                return gr.skip(), *compare.render(shop, present, beside, places)
            return recommendations_html(shop, present, model, k, exclude), gr.skip(), gr.skip()

        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        # One change of a session at a time, so that quick clicks never overwrite each other.
        in_turn = {"concurrency_limit": 1, "concurrency_id": "session", "trigger_mode": "multiple"}
        gr.on(
            [strip.click, left.catalogue.click, left.cards.click, right.columns.click],
            clicked,
            session,
            [session, strip],
            **quiet,
            **in_turn,
        )
        left.pending.change(
            add_pending,
            [session, left.pending],
            [session, strip, left.pending, left.picture, left.title, left.price],
            **quiet,
            **in_turn,
        )
        recommend_tab.select(lambda: RECOMMEND, None, active, **quiet)
        compare_tab.select(lambda: COMPARE, None, active, **quiet)
        gr.on(
            [
                session.change,
                active.change,
                left.model.change,
                left.k.change,
                left.exclude_seen.change,
                right.beside.change,
                right.k.change,
            ],
            refresh,
            [session, active, left.model, left.k, left.exclude_seen, right.beside, right.k],
            [left.cards, right.columns, right.chart],
            trigger_mode="always_last",
            concurrency_limit=2,
            concurrency_id="rank",
            **quiet,
        )
    app.queue(max_size=256)
    app.shop = shop
    return app


def launch_options(app: gr.Blocks) -> dict[str, Any]:
    """What `app.launch` needs for the page to look and work as built."""
    return {
        "theme": style.theme(),
        "css": style.CSS,
        "app_kwargs": {"routes": picture_routes(app.shop.catalogue)},
        "max_file_size": MAX_UPLOAD,
        "footer_links": [],
        "ssr_mode": False,
        "show_error": False,
        "share": False,
    }

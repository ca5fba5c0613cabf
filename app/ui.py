"""The whole page: header, session strip, tabs, and what listens to what."""

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.about import tab as about
from app.api import MAX_REQUEST, add_api
from app.cold_start import tab as cold_start
from app.compare import tab as compare
from app.compare.maps import Maps
from app.dashboard import tab as dashboard
from app.recommend import tab as recommend
from app.shell import address, share_menu, style, views
from app.shell.actions import Shop, recommendations_html, step, strip_html
from app.shell.address_parts import Field, choice, flag, several, words
from app.shell.catalogue import ALL, Catalogue
from app.shell.events import FOLLOW, guarded, html, told
from app.shell.pictures import picture_routes
from app.shell.state import FORGET_AFTER, Element, SessionFull, VisitorSession
from app.shell.text import readable
from tpad.model.embedding_sets import EMBEDDING_SETS

if TYPE_CHECKING:
    from app.shell.results import Results
    from tpad.recommender import Recommender

RECOMMEND, COMPARE, COLD_START, DASHBOARD, ABOUT = (
    "recommend",
    "compare",
    "cold-start",
    "dashboard",
    "about",
)
MAX_UPLOAD = "24mb"  # photographs of phones have 12 MB and more
MAX_VISITORS = 500  # whose sessions are kept; those who came first are forgotten first
RANKINGS = 4  # at once, of all visitors


def open_shop(recommender: "Recommender", results: "Results | None" = None) -> Shop:
    """What the tabs share."""
    titles = {
        name: EMBEDDING_SETS[name].title if name in EMBEDDING_SETS else readable(name)
        for name in recommender.models
    }
    if results is not None:  # what was measured on another shop says nothing about this one
        results = results.of_dataset(recommender.bundle.dataset)
    return Shop(recommender, Catalogue(recommender), titles, results, Maps(recommender.bundle))


def build_app(recommender: "Recommender", results: "Results | None" = None) -> gr.Blocks:
    """The page for one bundle; start it with `launch(**launch_options(app))`.

    State is each visitor's own: sessions and uploads live in `gr.State`, never in the page's code.

    Args:
        recommender: an opened bundle.
        results: database of the dashboard and of the cases to check by hand; without one these two
            tabs say how to get one.
    """
    shop = open_shop(recommender, results)
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
        compared = gr.State(0)  # counts the changes of the session that the Compare tab must show
        html(views.header(len(items), int(items["is_cold"].sum())))
        strip = html(strip_html(shop, first), FOLLOW, elem_id="session")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Recommend", id=RECOMMEND) as recommend_tab:
                left = recommend.build(shop, first, session)
            with gr.Tab("Compare", id=COMPARE) as compare_tab:
                right = compare.build(shop)
            with gr.Tab("Cold start by hand", id=COLD_START) as cold_tab:
                by_hand = cold_start.build(shop, cold_tab)
            with gr.Tab("Dashboard", id=DASHBOARD) as dashboard_tab:
                board = dashboard.build(shop, dashboard_tab)
            with gr.Tab("About", id=ABOUT) as about_tab:
                about.build(shop)

        @guarded(2)
        def clicked(present: VisitorSession, event: gr.EventData) -> tuple[VisitorSession, str]:
            try:
                changed = step(shop, present, *told(event), random.Random())
            except SessionFull:  # the strip says it once, and not at every click
                return gr.skip(), strip_html(shop, present)
            return changed, strip_html(shop, changed)

        @guarded(6)
        def add_pending(present: VisitorSession, element: Element | None) -> tuple[Any, ...]:
            if element is None:
                return tuple(gr.skip() for _ in range(6))
            changed = present.add(element)
            return changed, strip_html(shop, changed), None, None, "", ""

        @guarded(3)
        def redraw(
            opened: str, count: int, event: gr.EventData, present: VisitorSession, *settings: Any
        ) -> tuple[Any, ...]:
            """What follows from another session or setting, in one answer: each further one would
            cost the server more than to rank."""
            trigger = getattr(event.target, "_id", None)
            if trigger not in (session._id, restored._id):
                opened = (
                    RECOMMEND  # its own settings; the news of its opening may still be under way
                )
            menu = share_menu.menu(present, settings[0])
            cards = count_up = gr.skip()
            if opened == RECOMMEND or trigger == restored._id:
                cards = recommendations_html(shop, present, *settings)
            if opened == COMPARE:
                count_up = count + 1
            return cards, menu, count_up

        @guarded(3)
        def show_comparison(present: VisitorSession, beside: list[str], places: int) -> Any:
            return compare.render(shop, present, beside, places)

        @guarded(3)
        def show_map(present: VisitorSession, name: str, places: int) -> Any:
            figure, note, clock = compare.render_map(shop, present, name, places)
            return gr.update(value=figure, visible=figure is not None), note, clock

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        # One change of a session at a time, so that quick clicks never overwrite each other.
        in_turn: dict[str, Any] = {
            "concurrency_limit": 1,
            "concurrency_id": "session",
            "trigger_mode": "multiple",
        }
        share = share_menu.build(shop, first, session, strip, left, in_turn)
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
        every_tab = {
            RECOMMEND: recommend_tab,
            COMPARE: compare_tab,
            COLD_START: cold_tab,
            DASHBOARD: dashboard_tab,
            ABOUT: about_tab,
        }
        opened = gr.Textbox(visible="hidden")
        for tab in every_tab.values():
            # The browser says which tab is open, and alone shows and hides the session.
            tab.select(str, opened, active, js=OPEN_TAB, **quiet)
        # A case of the dashboard opens in the tab where it is checked by hand.
        if board.case is not None and by_hand.case is not None:
            board.case.change(
                lambda case: (
                    (case, gr.Tabs(selected=COLD_START)) if case else (gr.skip(), gr.skip())
                ),
                board.case,
                [by_hand.case, tabs],
                **quiet,
            )
        restored = address.build(
            shop,
            first.table,
            session,
            strip,
            tabs,
            active,
            {tab.label: name for name, tab in every_tab.items()},
            fields(shop, left, right),
            by_hand,
            board,
            in_turn,
        )
        # A visitor's browser asks for one ranking at a time, and for the newest when it has come
        # back: so one listener for all that an output depends on, else an older answer might come
        # after a newer one. Other visitors need not wait for it.
        ranking: dict[str, Any] = {
            "trigger_mode": "always_last",
            "concurrency_limit": RANKINGS,
            "concurrency_id": "rank",
        }
        # A tab is drawn when it is opened or its settings change, and when the session does while
        # it is open.
        gr.on(
            [
                recommend_tab.select,
                left.model.input,
                left.k.input,
                left.exclude_seen.input,
                session.change,
                restored.change,
            ],
            redraw,
            [active, compared, session, left.model, left.k, left.exclude_seen],
            [left.cards, share, compared],
            **ranking,
            **quiet,
        )
        gr.on(
            [compare_tab.select, right.beside.input, right.k.input, compared.change],
            show_comparison,
            [session, right.beside, right.k],
            [right.columns, right.chart, right.key],
            **ranking,
            **quiet,
        )
        gr.on(
            [
                compare_tab.select,
                right.map_of.input,
                right.k.input,
                right.clock.tick,
                compared.change,
            ],
            show_map,
            [session, right.map_of, right.k],
            [right.map, right.map_note, right.clock],
            **ranking,
            **quiet,
        )
        catalogue = [left.query, left.place, left.kind, left.cold]
        restored.change(left.search, catalogue, left.catalogue, trigger_mode="always_last", **quiet)
        add_api(shop)
    app.queue(max_size=256)
    app.shop = shop
    return app


OPEN_TAB = "async () => window.tpad ? await window.tpad.tab() : 'recommend'"


def fields(shop: Shop, left: recommend.RecommendTab, right: compare.CompareTab) -> list[Field]:
    """The controls whose values are in the page's address."""
    models, beside = shop.models, shop.models[1:]
    return [
        Field("model", left.model, models[0], choice(models)),
        Field("k", left.k, str(recommend.COUNTS[0]), choice(recommend.COUNTS)),
        Field("seen", left.exclude_seen, "1", flag),
        Field("q", left.query, "", words),
        Field("department", left.place, ALL, choice(shop.catalogue.places)),
        Field(
            "type",
            left.kind,
            ALL,
            lambda text, values: recommend.kind_menu(
                shop, choice(shop.catalogue.places)(values.get("department", ""), values), text
            ),
        ),
        Field("cold", left.cold, "0", flag),
        Field(
            "beside",
            right.beside,
            ",".join(beside[: compare.BESIDE]),
            several(beside, compare.BESIDE),
        ),
        Field(
            "places", right.k, str(compare.PLACES[1]), choice([compare.PLACES[1], *compare.PLACES])
        ),
        Field("map", right.map_of, models[0], choice(models)),
    ]


def launch_options(app: gr.Blocks) -> dict[str, Any]:
    """What `app.launch` needs for the page to look and work as built."""
    return {
        "theme": style.theme(),
        "css": style.CSS,
        "js": (Path(__file__).parent / "static" / "page.js").read_text("utf-8"),
        "app_kwargs": {
            "routes": picture_routes(app.shop.catalogue),  # type: ignore[attr-defined]
            "max_body_size": MAX_REQUEST,
        },
        "max_file_size": MAX_UPLOAD,
        "state_session_capacity": MAX_VISITORS,
        "footer_links": [],
        "ssr_mode": False,
        "show_error": False,
        "share": False,
    }

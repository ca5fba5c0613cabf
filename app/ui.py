"""The whole page: header, session strip, tabs, and what listens to what."""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.about import tab as about
from app.api.endpoints import MAX_REQUEST, add_api
from app.cold_start import tab as cold_start
from app.compare import tab as compare
from app.dashboard import tab as dashboard
from app.recommend import tab as recommend
from app.recommend.recommendations import recommendations_html
from app.shell import address, share_menu, style, views
from app.shell.actions import step, strip_html
from app.shell.catalogue import Catalogue
from app.shell.events import clicked_button, guarded, html, skip_all
from app.shell.pictures import picture_routes
from app.shell.session import FORGET_AFTER, Element, SessionFull, VisitorSession
from app.shell.shop import Shop
from app.shell.static_files import script, stylesheet
from app.shell.text import readable
from app.shell.turns import THREADS
from tpad.model.embedding_sets import EMBEDDING_SETS

if TYPE_CHECKING:
    from app.shell.results import Results
    from tpad.recommender import Recommender

MAX_UPLOAD = "24mb"  # photographs of phones have 12 MB and more
MAX_VISITORS = 500  # sessions kept; the oldest are forgotten first
RANKINGS = 4  # at once, of all visitors

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# One change of a session at a time, so that quick clicks never overwrite each other.
IN_TURN: dict[str, Any] = {
    "concurrency_limit": 1,
    "concurrency_id": "session",
    "trigger_mode": "multiple",
}
# A visitor's browser asks for one ranking at a time, and for the newest once it is answered: one
# listener for everything an output depends on, or an older answer could arrive after a newer one.
# Other visitors need not wait for it.
NEWEST: dict[str, Any] = {
    "trigger_mode": "always_last",
    "concurrency_limit": RANKINGS,
    "concurrency_id": "rank",
}
OPEN_TAB = "async () => [window.tpad ? await window.tpad.tab() : 'recommend', null]"


@dataclass(frozen=True)
class Page:
    """The components that the listeners of the page share.

    Attributes:
        session, strip: the visitor's session, and where it is shown.
        active: name of the open tab.
        session_changes: counts the changes of the session that the Compare tab has to show.
        tabs, tab_of: the tabs together, and each by its name, the default first.
        recommend, compare, cold_start, dashboard: components of each tab.
    """

    session: gr.State
    strip: gr.HTML
    active: gr.State
    session_changes: gr.State
    tabs: gr.Tabs
    tab_of: dict[str, gr.Tab]
    recommend: recommend.RecommendTab
    compare: compare.CompareTab
    cold_start: cold_start.ColdStartTab
    dashboard: dashboard.Dashboard


def open_shop(recommender: "Recommender", results: "Results | None" = None) -> Shop:
    """What the tabs share."""
    titles = {
        name: EMBEDDING_SETS[name].title if name in EMBEDDING_SETS else readable(name)
        for name in recommender.models
    }
    if results is not None:  # other results say nothing about this bundle
        results = results.of_bundle(recommender.bundle)
    return Shop(recommender, Catalogue(recommender), titles, results)


def build_app(recommender: "Recommender", results: "Results | None" = None) -> gr.Blocks:
    """The page for one bundle; start it with `launch(**launch_options(app))`.

    Each visitor has their own state: sessions and uploads are in `gr.State`, never in the page.

    Args:
        recommender: an opened bundle.
        results: database of the dashboard and of the test cases; without one these two tabs show
            how to create it.
    """
    shop = open_shop(recommender, results)
    first = VisitorSession(shop.catalogue.example())
    with gr.Blocks(
        title="TPAD · what comes next?",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(1800, FORGET_AFTER),
    ) as app:
        page = _lay_out(shop, first)
        share = share_menu.build(
            shop, first, page.session, page.strip, page.recommend.settings, IN_TURN
        )
        _wire_session(shop, page)
        _wire_tabs(page)
        parts = (
            page.recommend.address_part(shop),
            page.compare.address_part(shop),
            page.dashboard.address_part(),
            page.cold_start.address_part(),
        )
        restored = address.build(
            shop,
            first.now,
            address.PageParts(
                page.session,
                page.strip,
                page.tabs,
                page.active,
                {str(tab.label): name for name, tab in page.tab_of.items()},
            ),
            parts,
            IN_TURN,
        )
        _wire_recommendations(shop, page, share, restored)
        _wire_comparison(shop, page)
        add_api(shop)
    app.queue(max_size=256)
    app.shop = shop
    return app


def _lay_out(shop: Shop, first: VisitorSession) -> Page:
    """All components, each tab filled as far as it is at once."""
    items = shop.catalogue.items
    session = gr.State(first, time_to_live=FORGET_AFTER)
    active = gr.State(recommend.NAME)
    session_changes = gr.State(0)
    html(views.header(len(items), int(items["is_cold"].sum())))
    strip = html(strip_html(shop, first), script("session_strip.js"), elem_id="session")
    with gr.Tabs(elem_id="tabs") as tabs:
        with gr.Tab("Recommend", id=recommend.NAME) as recommend_tab:
            recommend_parts = recommend.build(shop, first, session)
        with gr.Tab("Compare", id=compare.NAME) as compare_tab:
            compare_parts = compare.build(shop)
        with gr.Tab("Cold-start cases", id=cold_start.NAME) as cold_start_tab:
            cold_start_parts = cold_start.build(shop, cold_start_tab)
        with gr.Tab("Dashboard", id=dashboard.NAME) as dashboard_tab:
            dashboard_parts = dashboard.build(shop, dashboard_tab)
        with gr.Tab("About", id=about.NAME) as about_tab:
            about.build(shop)
    return Page(
        session,
        strip,
        active,
        session_changes,
        tabs,
        {
            recommend.NAME: recommend_tab,
            compare.NAME: compare_tab,
            cold_start.NAME: cold_start_tab,
            dashboard.NAME: dashboard_tab,
            about.NAME: about_tab,
        },
        recommend_parts,
        compare_parts,
        cold_start_parts,
        dashboard_parts,
    )


def _wire_session(shop: Shop, page: Page) -> None:
    """Clicks on cards and on the strip change the session, and so do uploads."""

    @guarded(2)
    def clicked(present: VisitorSession, event: gr.EventData) -> tuple[VisitorSession, str]:
        try:
            changed = step(shop, present, *clicked_button(event), random.Random())
        except SessionFull:  # the strip says so once, not at every click
            return gr.skip(), strip_html(shop, present)
        return changed, strip_html(shop, changed)

    @guarded(6)
    def add_pending(present: VisitorSession, element: Element | None) -> tuple[Any, ...]:
        if element is None:
            return skip_all(6)
        changed = present.add(element)
        return changed, strip_html(shop, changed), None, None, "", ""

    left, outputs = page.recommend, [page.session, page.strip]
    clickable = [page.strip, left.catalogue, left.cards, page.compare.columns]
    gr.on(
        [block.click for block in clickable],
        clicked,
        page.session,
        outputs,
        **QUIET,
        **IN_TURN,
    )
    left.pending.change(
        add_pending,
        [page.session, left.pending],
        [*outputs, left.pending, left.upload.picture, left.upload.title, left.upload.price],
        **QUIET,
        **IN_TURN,
    )


def _wire_tabs(page: Page) -> None:
    """The browser reports the open tab, and alone shows and hides the session strip.

    A tab is drawn once the server knows that it is open, so no change of the session is missed.
    """
    opened = gr.Textbox(visible="hidden")

    def open_tab(name: str, count: int) -> tuple[str, Any]:
        return name, count + 1 if name == compare.NAME else gr.skip()

    for tab in page.tab_of.values():
        tab.select(
            open_tab,
            [opened, page.session_changes],
            [page.active, page.session_changes],
            js=OPEN_TAB,
            **QUIET,
        )

    def open_case(case: Any) -> tuple[Any, Any]:
        return (case, gr.Tabs(selected=cold_start.NAME)) if case else skip_all(2)

    # A test case of the dashboard opens in the tab “Cold-start cases”.
    if page.dashboard.case is not None and page.cold_start.case is not None:
        page.dashboard.case.change(
            open_case, page.dashboard.case, [page.cold_start.case, page.tabs], **QUIET
        )


def _wire_recommendations(shop: Shop, page: Page, share: gr.HTML, restored: gr.State) -> None:
    """Redraw the recommendations when their tab opens, a setting changes, or the session does."""
    left = page.recommend
    follows_tab = (page.active._id, page.session._id, restored._id)

    @guarded(3)
    def redraw(
        opened: str, count: int, event: gr.EventData, present: VisitorSession, *settings: Any
    ) -> tuple[Any, ...]:
        """One answer for everything that depends on the session or the settings: each further
        answer would cost the server more than the ranking."""
        trigger = getattr(event.target, "_id", None)
        if trigger not in follows_tab:  # settings of this tab; `opened` may not be up to date yet
            opened = recommend.NAME
        menu = share_menu.menu(present, settings[0])
        cards = changes = gr.skip()
        if opened == recommend.NAME or trigger == restored._id:
            cards = recommendations_html(shop, present, *settings)
        if opened == compare.NAME and trigger != page.active._id:
            changes = count + 1
        return cards, menu, changes

    settings = left.settings.all
    gr.on(
        [
            page.active.change,
            *(control.input for control in settings),
            page.session.change,
            restored.change,
        ],
        redraw,
        [page.active, page.session_changes, page.session, *settings],
        [left.cards, share, page.session_changes],
        **NEWEST,
        **QUIET,
    )
    filters = left.filters.all
    restored.change(left.search, filters, left.catalogue, trigger_mode="always_last", **QUIET)


def _wire_comparison(shop: Shop, page: Page) -> None:
    """Redraw the Compare tab when it opens, a setting changes, or the session does."""
    right, new_items = page.compare, page.recommend.settings.new_items

    @guarded(3)
    def show_comparison(present: VisitorSession, models: list[str], k: int, new: str) -> Any:
        return compare.render(shop, present, models, k, new)

    @guarded(3)
    def show_map(present: VisitorSession, name: str, k: int, new: str) -> Any:
        figure, note, clock = compare.render_map(shop, right.maps, present, name, k, new)
        return gr.update(value=figure, visible=figure is not None), note, clock

    gr.on(
        [right.models.input, right.k.input, page.session_changes.change],
        show_comparison,
        [page.session, right.models, right.k, new_items],
        [right.columns, right.chart, right.legend],
        **NEWEST,
        **QUIET,
    )
    gr.on(
        [
            right.map_model.input,
            right.k.input,
            right.clock.tick,
            page.session_changes.change,
        ],
        show_map,
        [page.session, right.map_model, right.k, new_items],
        [right.map, right.map_note, right.clock],
        **NEWEST,
        **QUIET,
    )


def launch_options(app: gr.Blocks) -> dict[str, Any]:
    """What `app.launch` needs for the page to look and work as built."""
    return {
        "theme": style.theme(),
        "css": stylesheet(),
        "js": script("page.js"),
        "app_kwargs": {
            "routes": picture_routes(app.shop.catalogue),  # type: ignore[attr-defined]
            "max_body_size": MAX_REQUEST,
        },
        "max_file_size": MAX_UPLOAD,
        "max_threads": THREADS,
        "state_session_capacity": MAX_VISITORS,
        "footer_links": [],
        "ssr_mode": False,
        "show_error": False,
        "share": False,
    }

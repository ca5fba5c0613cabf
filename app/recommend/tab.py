"""The Recommend tab: browse the catalogue and see what comes next."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.recommend import explain_views, views
from app.recommend.explain import explain
from app.recommend.recommendations import recommendations_html
from app.shell import exploration
from app.shell.actions import uploaded
from app.shell.address_fields import AddressPart, Field, choice, flag, words
from app.shell.catalogue import ALL
from app.shell.events import clicked_button, guarded, html, static_html
from app.shell.ranking_settings import RankingSettings, model_menu
from app.shell.session import Element, VisitorSession
from app.shell.shop import Shop
from app.shell.static_files import script
from app.shell.templates import macros
from app.shell.upload_form import UploadForm, upload_form
from tpad.errors import ImageError

NAME = "recommend"
COUNTS = (12, 20, 48)  # numbers of recommendations to show, the default first
MAX_PILLS = 6  # up to this many departments are shown as pills, more as a menu
_COMPACT: dict[str, Any] = {"show_label": False, "container": False}
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class CatalogueFilters:
    """The controls above the catalogue's cards."""

    query: gr.Textbox
    place: gr.Radio | gr.Dropdown
    kind: gr.Dropdown
    cold: gr.Checkbox

    @property
    def all(self) -> list[Any]:
        """The controls in the order of the arguments of `found_page`."""
        return [self.query, self.place, self.kind, self.cold]


@dataclass(frozen=True)
class RecommendTab:
    """The tab's components that others listen to.

    Attributes:
        settings, cards: of the recommendations.
        filters, catalogue: of the products.
        upload: the form for a picture of one's own.
        pending: an uploaded element that is to be added to the session.
        search: from the values of the filters to the catalogue's HTML.
    """

    settings: RankingSettings
    cards: gr.HTML
    filters: CatalogueFilters
    catalogue: gr.HTML
    upload: UploadForm
    pending: gr.State
    search: Callable[..., str]

    def address_part(self, shop: Shop) -> AddressPart:
        """What the tab keeps in the page's address."""
        places = choice(shop.catalogue.places)

        def read_kind(text: str, values: Any) -> Any:
            return kind_menu(shop, places(values.get("department", ""), values), text)

        settings, filters = self.settings, self.filters
        news = exploration.choices(shop)
        return AddressPart(
            [
                Field("model", settings.model, shop.models[0], choice(shop.models)),
                Field("k", settings.k, str(COUNTS[0]), choice(COUNTS)),
                Field("seen", settings.exclude_seen, "1", flag),
                Field("new", settings.new_items, exploration.TUNED, choice(news)),
                Field("q", filters.query, "", words),
                Field("department", filters.place, ALL, places),
                Field("type", filters.kind, ALL, read_kind),
                Field("cold", filters.cold, "0", flag),
            ]
        )


def build(shop: Shop, first: VisitorSession, session: gr.State) -> RecommendTab:
    """Lay out the tab and wire search, pages, uploads and explanations.

    What changes the session is wired outside.

    Args:
        shop: the open bundle.
        first: the session of a fresh page.
        session: the present one.
    """
    with gr.Row(elem_classes="tp-main", equal_height=False):
        # The results come first, so that the keyboard reaches them before an endless catalogue.
        with gr.Column(scale=6, min_width=340, elem_classes="tp-right"):
            settings, cards = _recommendations(shop, first)
        with gr.Column(scale=5, min_width=340, elem_classes="tp-left"):
            _heading("Products", "head-products")
            filters = _filters(shop)
            with gr.Accordion("Add a picture of your own", open=False, elem_id="own"), gr.Row():
                upload = upload_form("Add to session", height=200, name="own")
            catalogue = _catalogue(shop)
    _wire_explanation(shop, session, settings, cards)
    search = _wire_search(shop, filters, catalogue)
    pending = _wire_upload(shop, upload)
    return RecommendTab(settings, cards, filters, catalogue, upload, pending, search)


def _recommendations(shop: Shop, first: VisitorSession) -> tuple[RankingSettings, gr.HTML]:
    _heading("Recommendations", "head-next")
    with gr.Row(elem_classes="tp-settings"):
        model = model_menu(shop, "Embeddings used for ranking", "model", scale=3, min_width=170)
        k = gr.Dropdown(
            [(f"first {number}", number) for number in COUNTS],
            value=COUNTS[0],
            label="Number of recommendations",
            filterable=False,
            scale=1,
            min_width=110,
            elem_id="k",
            **_COMPACT,
        )
        exclude_seen = gr.Checkbox(
            True, label="leave out seen items", container=False, elem_classes="tp-check"
        )
    with gr.Row(elem_classes="tp-settings tp-new-items"):
        static_html(macros("macros.html").control_label("New items"), min_width=70, scale=0)
        new_items = exploration.radio(shop)
    cards = html(recommendations_html(shop, first, shop.models[0], COUNTS[0], True), elem_id="next")
    return RankingSettings(model, k, exclude_seen, new_items), cards


def _filters(shop: Shop) -> CatalogueFilters:
    kinds = shop.catalogue.kinds()
    with gr.Row(elem_classes="tp-filters"):
        query = gr.Textbox(
            placeholder=f"Search {len(shop.catalogue.items):,} products",
            label="Search the catalogue",
            scale=3,
            min_width=150,
            elem_id="search",
            **_COMPACT,
        )
        kind = gr.Dropdown(
            _kind_choices(kinds),
            value=ALL,
            label="Type of product",
            filterable=False,
            scale=1,
            min_width=130,
            visible=bool(kinds),
            elem_id="kind",
            **_COMPACT,
        )
        cold = gr.Checkbox(label="never clicked only", container=False, elem_classes="tp-check")
    return CatalogueFilters(query, _place_filter(shop), kind, cold)


def _catalogue(shop: Shop) -> gr.HTML:
    def next_page(search: str) -> str:
        return page_after(shop, search)

    return html(
        found_page(shop), script("gallery.js"), elem_id="catalogue", server_functions=[next_page]
    )


def _wire_explanation(
    shop: Shop, session: gr.State, settings: RankingSettings, cards: gr.HTML
) -> None:
    dialog = html("", script("dialog.js"), elem_id="why")

    @guarded(1)
    def explained(
        present: VisitorSession, name: str, exclude: bool, new_items: str, event: gr.EventData
    ) -> str:
        share = exploration.share_of(shop, name, new_items)
        found = explain(shop, present, clicked_button(event)[1], name, exclude, share)
        return explain_views.panel(found, shop.titles[name])

    controls = [settings.model, settings.exclude_seen, settings.new_items]
    cards.why(explained, [session, *controls], dialog, **_QUIET)


def _wire_search(shop: Shop, filters: CatalogueFilters, catalogue: gr.HTML) -> Callable[..., str]:
    @guarded(1)
    def search(*asked: Any) -> str:
        return found_page(shop, *asked)

    @guarded(2)
    def narrowed(text: str, where: str, sort: str, cold_only: bool) -> tuple[str, Any]:
        sort = sort if sort in shop.catalogue.kinds(where) else ALL
        return found_page(shop, text, where, sort, cold_only), kind_menu(shop, where, sort)

    options: dict[str, Any] = {"trigger_mode": "always_last", **_QUIET}
    # `change`, because `input` is not triggered by text that is pasted.
    triggers = [filters.query.change, filters.kind.input, filters.cold.input]
    gr.on(triggers, search, filters.all, catalogue, **options)
    filters.place.input(narrowed, filters.all, [catalogue, filters.kind], **options)
    return search


def _wire_upload(shop: Shop, upload: UploadForm) -> gr.State:
    """Returns the state that holds an uploaded element until it is in the session."""
    pending = gr.State(None)

    @guarded(2)
    def prepare(path: str | None, text: str, cost: str) -> tuple[Element | None, Any]:
        try:
            return uploaded(shop, path, text, cost), gr.skip()
        except ImageError as error:  # clear the picture, so that another can take its place
            gr.Warning(str(error), duration=8)
            return None, None

    upload.button.click(
        prepare,
        [upload.picture, upload.title, upload.price],
        [pending, upload.picture],
        show_progress="minimal",
        show_progress_on=upload.picture,
        api_visibility="private",
        concurrency_limit=None,  # visitors take turns, see `app.shell.turns`
    )
    return pending


def kind_menu(shop: Shop, place: str, kind: str) -> Any:
    """The menu of product types of a department; `kind` is selected if it is offered."""
    kinds = shop.catalogue.kinds(place)
    kind = kind if kind in kinds else ALL
    return gr.Dropdown(_kind_choices(kinds), value=kind, visible=bool(kinds))


def found_page(
    shop: Shop,
    query: str = "",
    place: str = ALL,
    kind: str = ALL,
    cold_only: bool = False,
    page: int = 0,
) -> str:
    """One page of the search results, as cards."""
    found = shop.catalogue.search(query, place, cold_only, kind)
    search = {"query": query, "place": place, "kind": kind, "cold_only": cold_only}
    return views.gallery(found, page, search)


def page_after(shop: Shop, search: str) -> str:
    """The page that a gallery's button asks for; "" for a request that no button makes.

    Args:
        shop: the open bundle.
        search: what `views.gallery` wrote into the button.
    """
    try:
        request: Any = (
            json.loads(search) if isinstance(search, str) and len(search) < 2000 else None
        )
        page, last = request["page"], len(shop.catalogue.items) // views.PAGE
        query, place, kind = (request[name] for name in ("query", "place", "kind"))
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    if not isinstance(page, int) or not 0 <= page <= last:
        return ""
    if not all(isinstance(word, str) for word in (query, place, kind)):
        return ""
    return found_page(shop, query, place, kind, request.get("cold_only") is True, page)


def _heading(text: str, name: str) -> None:
    static_html(macros("macros.html").column_heading(text, name))


def _kind_choices(kinds: list[str]) -> list[tuple[str, str]]:
    return [("All types" if kind == ALL else kind, kind) for kind in kinds or [ALL]]


def _place_filter(shop: Shop) -> gr.Radio | gr.Dropdown:
    places = shop.catalogue.places
    options: dict[str, Any] = {
        "choices": [(place[:1].upper() + place[1:], place) for place in places],
        "value": ALL,
        "label": "Department",
        "elem_id": "place",
        **_COMPACT,
    }
    if len(places) <= MAX_PILLS:
        return gr.Radio(**options, elem_classes="tp-pills")
    return gr.Dropdown(**options)

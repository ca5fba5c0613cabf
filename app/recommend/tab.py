"""The Recommend tab: look through the catalogue, and see what comes next."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.recommend import explain_views
from app.recommend.explain import explain
from app.shell import views
from app.shell.actions import Shop, recommendations_html, uploaded
from app.shell.catalogue import ALL
from app.shell.events import DIALOG, ENDLESS, guarded, html, told
from app.shell.picture_input import PictureInput
from app.shell.pictures import UPLOADS
from app.shell.state import Element, VisitorSession
from tpad.errors import ImageError

COUNTS = (12, 20, 48)  # recommendations to show, the default first
PILLS = 6  # departments up to this number are shown as pills, more as a menu


@dataclass(frozen=True)
class RecommendTab:
    """The tab's components that others listen to."""

    catalogue: gr.HTML
    cards: gr.HTML
    model: gr.Dropdown
    k: gr.Dropdown
    exclude_seen: gr.Checkbox
    pending: gr.State
    upload: gr.Button
    picture: gr.Image
    title: gr.Textbox
    price: gr.Textbox
    query: gr.Textbox
    place: gr.Radio | gr.Dropdown
    kind: gr.Dropdown
    cold: gr.Checkbox
    search: Callable[..., str]


def build(shop: Shop, first: VisitorSession, session: gr.State) -> RecommendTab:
    """Lay out the tab and wire its own parts (search, pages, reasons); what changes the session is
    wired outside.

    Args:
        first: the session that a visitor meets.
        session: the present one.
    """
    with gr.Row(elem_classes="tp-main", equal_height=False):
        # The results come first, so that the keyboard reaches them before an endless catalogue.
        with gr.Column(scale=6, min_width=340, elem_classes="tp-right"):
            _heading("Recommendations", "head-next")
            with gr.Row(elem_classes="tp-settings"):
                model = gr.Dropdown(
                    [(shop.titles[name], name) for name in shop.models],
                    value=shop.models[0],
                    label="Embeddings that rank",
                    show_label=False,
                    container=False,
                    filterable=False,
                    scale=3,
                    min_width=170,
                    elem_id="model",
                )
                k = gr.Dropdown(
                    [(f"first {number}", number) for number in COUNTS],
                    value=COUNTS[0],
                    label="How many to show",
                    show_label=False,
                    container=False,
                    filterable=False,
                    scale=1,
                    min_width=110,
                    elem_id="k",
                )
                exclude_seen = gr.Checkbox(
                    True, label="leave out what was seen", container=False, elem_classes="tp-check"
                )
            cards = html(
                recommendations_html(shop, first, shop.models[0], COUNTS[0], True),
                elem_id="next",
            )
        with gr.Column(scale=5, min_width=340, elem_classes="tp-left"):
            _heading("Products", "head-products")
            with gr.Row(elem_classes="tp-filters"):
                query = gr.Textbox(
                    placeholder=f"Search {len(shop.catalogue.items):,} products",
                    show_label=False,
                    label="Search the catalogue",
                    container=False,
                    scale=3,
                    min_width=150,
                    elem_id="search",
                )
                kinds = shop.catalogue.kinds()
                kind = gr.Dropdown(
                    _kind_choices(kinds),
                    value=ALL,
                    label="Type of product",
                    show_label=False,
                    container=False,
                    filterable=False,
                    scale=1,
                    min_width=130,
                    visible=bool(kinds),
                    elem_id="kind",
                )
                cold = gr.Checkbox(
                    label="never clicked only", container=False, elem_classes="tp-check"
                )
            place = _place_filter(shop)
            with gr.Accordion("Add a picture of your own", open=False, elem_id="own"), gr.Row():
                picture = PictureInput(
                    type="filepath",
                    sources=["upload", "clipboard", "webcam"],
                    label="Picture",
                    height=200,
                    scale=2,
                    min_width=200,
                    elem_id="own-picture",
                )
                with gr.Column(scale=2, min_width=180):
                    title = gr.Textbox(
                        label="Title (optional)", max_length=200, elem_id="own-title"
                    )
                    price = gr.Textbox(label="Price (optional)", max_length=20)
                    upload = gr.Button("Add to session", variant="primary", elem_id="own-add")

            def next_page(asked: str) -> str:
                return page_after(shop, asked)

            cards_of_catalogue = html(
                found_page(shop), ENDLESS, elem_id="catalogue", server_functions=[next_page]
            )

    why = html("", DIALOG, elem_id="why")

    @guarded(1)
    def explained(present: VisitorSession, name: str, exclude: bool, event: gr.EventData) -> str:
        found = explain(shop, present, told(event)[1], name, exclude)
        return explain_views.panel(found, shop.titles[name])

    cards.why(
        explained,
        [session, model, exclude_seen],
        why,
        show_progress="hidden",
        api_visibility="private",
    )

    @guarded(1)
    def search(*asked: Any) -> str:
        return found_page(shop, *asked)

    @guarded(2)
    def narrowed(text: str, where: str, sort: str, cold_only: bool) -> tuple[str, Any]:
        sort = sort if sort in shop.catalogue.kinds(where) else ALL
        return found_page(shop, text, where, sort, cold_only), kind_menu(shop, where, sort)

    filters: list[Any] = [query, place, kind, cold]
    searching: dict[str, Any] = {
        "trigger_mode": "always_last",
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    # `change`, as `input` stays silent on text that is pasted.
    gr.on([query.change, kind.input, cold.input], search, filters, cards_of_catalogue, **searching)
    place.input(narrowed, filters, [cards_of_catalogue, kind], **searching)

    pending = gr.State(None)

    @guarded(2)
    def prepare(path: str | None, text: str, cost: str) -> tuple[Element | None, Any]:
        try:
            return uploaded(shop, path, text, cost), gr.skip()
        except ImageError as error:  # the picture goes away, so that another can take its place
            gr.Warning(str(error), duration=8)
            return None, None

    upload.click(
        prepare,
        [picture, title, price],
        [pending, picture],
        show_progress="minimal",
        show_progress_on=picture,
        api_visibility="private",
        concurrency_limit=UPLOADS,
        concurrency_id="encode",
    )
    return RecommendTab(
        cards_of_catalogue,
        cards,
        model,
        k,
        exclude_seen,
        pending,
        upload,
        picture,
        title,
        price,
        query,
        place,
        kind,
        cold,
        search,
    )


def kind_menu(shop: Shop, place: str, kind: str) -> Any:
    """The second filter with what it offers in a department; `kind` where it is offered."""
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
    """One page of what a search finds, as cards."""
    found = shop.catalogue.search(query, place, cold_only, kind)
    asked = {"query": query, "place": place, "kind": kind, "cold_only": cold_only}
    return views.gallery(found, page, asked)


def page_after(shop: Shop, asked: str) -> str:
    """The page that a gallery's button asks for; "" for a request that no button makes.

    Args:
        asked: what `views.gallery` wrote into the button.
    """
    try:
        wanted: Any = json.loads(asked) if isinstance(asked, str) and len(asked) < 2000 else None
        page, last = wanted["page"], len(shop.catalogue.items) // views.PAGE
        query, place, kind = (wanted[name] for name in ("query", "place", "kind"))
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    if not isinstance(page, int) or not 0 <= page <= last:
        return ""
    if not all(isinstance(word, str) for word in (query, place, kind)):
        return ""
    return found_page(shop, query, place, kind, wanted.get("cold_only") is True, page)


def _heading(words: str, name: str) -> None:
    gr.HTML(f'<h2 class="tp-h2 tp-column" id="{name}">{words}</h2>', apply_default_css=False)


def _kind_choices(kinds: list[str]) -> list[tuple[str, str]]:
    return [("All types" if kind == ALL else kind, kind) for kind in kinds or [ALL]]


def _place_filter(shop: Shop) -> gr.Radio | gr.Dropdown:
    places = shop.catalogue.places
    options: dict[str, Any] = {
        "choices": [(place[:1].upper() + place[1:], place) for place in places],
        "value": ALL,
        "label": "Department",
        "show_label": False,
        "container": False,
        "elem_id": "place",
    }
    if len(places) <= PILLS:
        return gr.Radio(**options, elem_classes="tp-pills")
    return gr.Dropdown(**options)

"""The Compare tab: one session, several embeddings, side by side."""

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from app import figures, views
from app.actions import Shop, compared
from app.events import LIGHT_UP, html
from app.state import VisitorSession

BESIDE = 3  # embeddings beside the first, at most


@dataclass(frozen=True)
class CompareTab:
    """The tab's components that others listen to."""

    columns: gr.HTML
    chart: gr.Plot
    beside: gr.Dropdown
    k: gr.Radio


def build(shop: Shop) -> CompareTab:
    """Lay out the tab; it is filled when it is opened."""
    others = shop.models[1:]
    with gr.Row(elem_classes="tp-settings tp-compared"):
        gr.HTML(
            f'<span class="tp-beside">{escape(shop.titles[shop.models[0]])} beside</span>',
            apply_default_css=False,
            min_width=80,
            scale=0,
        )
        beside = gr.Dropdown(
            [(shop.titles[name], name) for name in others],
            value=list(others[:BESIDE]),
            multiselect=True,
            max_choices=BESIDE,
            label=f"Embeddings beside {shop.titles[shop.models[0]]}",
            show_label=False,
            container=False,
            scale=5,
            min_width=260,
            elem_id="beside",
        )
        k = gr.Radio(
            [(f"first {places}", places) for places in (5, 10, 20)],
            value=10,
            label="Places of each list",
            show_label=False,
            container=False,
            scale=0,
            min_width=250,
            elem_classes="tp-pills",
            elem_id="places",
        )
    columns = html("", LIGHT_UP, elem_id="compare")
    gr.HTML(
        '<h2 class="tp-h2">How places change from model to model</h2>'
        '<p class="tp-muted">The first five of each list, followed through all of them. '
        "A line that drops out is an item that the other model does not believe in.</p>",
        apply_default_css=False,
    )
    chart = gr.Plot(show_label=False, container=False, elem_id="bump")
    return CompareTab(columns, chart, beside, k)


def render(
    shop: Shop, session: VisitorSession, beside: list[str] | None, k: int
) -> tuple[str, Any]:
    """The columns and the bump chart of a session.

    Raises:
        TpadError: the recommender cannot rank.
    """
    if not len(session):
        return views.no_session(), None
    models = [shop.models[0], *[name for name in beside or [] if name in shop.models][:BESIDE]]
    table, target = compared(shop, session, models)
    columns = views.comparison(table, shop.catalogue.items, shop.titles, int(k), target)
    chart = None
    if len(models) > 1:
        chart = figures.bump_chart(
            table, shop.catalogue.items, shop.titles, min(int(k), 10), target=target
        )
    return columns, chart

"""The Compare tab: one session, several embeddings, side by side."""

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd

from app.compare.map_figure import DOTS, map_figure
from app.shell import figures, views
from app.shell.actions import Shop, compared
from app.shell.events import LIGHT_UP, html
from app.shell.state import VisitorSession
from tpad.data.columns import Columns
from tpad.errors import ConfigError

BESIDE = 3  # embeddings beside the first, at most
PLACES = (5, 10, 20)  # of each list, the second being the usual one


@dataclass(frozen=True)
class CompareTab:
    """The tab's components that others listen to."""

    columns: gr.HTML
    chart: gr.Plot
    key: gr.HTML
    beside: gr.Dropdown
    k: gr.Radio
    map_of: gr.Dropdown
    map: gr.Plot
    map_note: gr.HTML
    clock: gr.Timer


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
            [(f"first {places}", places) for places in PLACES],
            value=PLACES[1],
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
    key = html("", elem_id="bump-key")
    with gr.Row(elem_classes="tp-settings tp-map-head"):
        gr.HTML(
            '<h2 class="tp-h2">The catalogue as a map</h2>',
            apply_default_css=False,
            min_width=180,
            scale=0,
        )
        map_of = gr.Dropdown(
            [(shop.titles[name], name) for name in shop.models],
            value=shop.models[0],
            label="Embeddings that are mapped",
            show_label=False,
            container=False,
            filterable=False,
            scale=0,
            min_width=230,
            elem_id="map-of",
        )
    map_note = gr.HTML("", apply_default_css=False)
    plot = gr.Plot(visible=False, show_label=False, container=False, elem_id="map")
    clock = gr.Timer(1.0, active=False)  # asks again while a map is in the making
    return CompareTab(columns, chart, key, beside, k, map_of, plot, map_note, clock)


def render_map(
    shop: Shop, session: VisitorSession, model: str, k: int
) -> tuple[Any, str, gr.Timer]:
    """The map of one embedding set, what to know about it, and whether to ask again soon.

    Raises:
        TpadError: there is no such set, or its map could not be computed.
    """
    if model not in shop.models:
        raise ConfigError("There is no such embedding set; reload the page.")
    items = shop.catalogue.items
    points = shop.maps.points(model)
    if points is None:
        return None, _in_the_making(len(items), shop.maps.seconds(model)), gr.Timer(active=True)
    path, recommended = on_map(shop, session, model, points, int(k))
    target = session.table.target if session.table.revealed else ""
    row = shop.catalogue.rows[target] if target else None
    figure = map_figure(items, points, path, recommended, row)
    own = any(element.is_new for element in session.elements)
    return figure, _about_map(shop.titles[model], len(items), own), gr.Timer(active=False)


def on_map(
    shop: Shop, session: VisitorSession, model: str, points: np.ndarray, k: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Where a session and its recommendations lie.

    Args:
        points: (n_items, 2).
        k: recommendations to show.

    Returns:
        title, x and y of each element; row and rank of each recommendation.
    """
    rows = shop.catalogue.rows
    new = [element.value for element in session.elements if element.is_new]
    placed = iter(shop.maps.place(model, shop.recommender.encode(new, model)) if new else ())
    places = [next(placed) if e.is_new else points[rows[e.item_id]] for e in session.elements]
    path = pd.DataFrame(
        {
            "title": [element.title for element in session.elements],
            "x": [float(place[0]) for place in places],
            "y": [float(place[1]) for place in places],
        }
    )
    if not len(session):
        return path, pd.DataFrame({"row": [], "rank": []})
    found = shop.recommender.recommend(session.values, k, True, model)
    found = found[found[Columns.ITEM_ID].isin(rows)]
    recommended = pd.DataFrame({"row": found[Columns.ITEM_ID].map(rows), "rank": found["rank"]})
    return path, recommended


def _in_the_making(n_items: int, seconds: float) -> str:
    return (
        f'<div class="tp-making" role="status"><p>Laying out {n_items:,} products… {seconds:.0f} s'
        '</p><div class="tp-busy"><span></span></div><p class="tp-muted">This is done once for each '
        "set of embeddings, and then kept.</p></div>"
    )


def _about_map(title: str, n_items: int, own: bool) -> str:
    said = (
        f"Near each other is what {escape(title)} finds alike; the distances have no unit (t-SNE). "
        "Hollow dots are products that nobody clicked in training."
    )
    if n_items > DOTS:
        said += f" Drawn are {DOTS:,} of {n_items:,} products, chosen by lot."
    if own:
        said += " Pictures that are in no catalogue stand between their nearest neighbours."
    return f'<p class="tp-muted tp-map-note">{said}</p>'


def render(
    shop: Shop, session: VisitorSession, beside: list[str] | None, k: int
) -> tuple[str, Any, str]:
    """The columns and the bump chart of a session, and the chart's legend.

    Raises:
        TpadError: the recommender cannot rank.
    """
    if not len(session):
        return views.no_session(), None, ""
    models = [shop.models[0], *[name for name in beside or [] if name in shop.models][:BESIDE]]
    table, target = compared(shop, session, models)
    columns = views.comparison(table, shop.catalogue.items, shop.titles, int(k), target)
    if len(models) < 2:
        return columns, None, ""
    items = shop.catalogue.items
    chart = figures.bump_chart(table, items, shop.titles, min(int(k), 10), target=target)
    return (
        columns,
        chart,
        views.bump_key(figures.followed_lines(table, target=target), items, target),
    )

"""The Compare tab: one session ranked by several embeddings, side by side."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd

from app.compare import views
from app.compare.bump_chart import bump_chart, chart_lines
from app.compare.map_figure import MAX_DOTS, map_figure
from app.compare.maps import Maps
from app.shell import exploration
from app.shell.address_fields import AddressPart, Field, choice, several
from app.shell.events import html, static_html
from app.shell.ranking import rank_table
from app.shell.ranking_settings import model_menu
from app.shell.session import VisitorSession
from app.shell.shop import Shop, seen_rows
from app.shell.static_files import script
from app.shell.templates import macros
from app.shell.views import no_session
from tpad.data.columns import Columns
from tpad.errors import ConfigError

NAME = "compare"
MAX_OTHERS = 3  # embeddings compared with the first, at most
COUNTS = (5, 10, 20)  # items shown per list
DEFAULT_COUNT = 10
CHART_NOTE = (
    "The first five items of each list, followed through all of them. A line that drops out is an "
    "item that the other model ranks much lower."
)
_COMPACT: dict[str, Any] = {"show_label": False, "container": False}


@dataclass(frozen=True)
class CompareTab:
    """The tab's components that others listen to.

    Attributes:
        models, k: embeddings compared with the first, and the number of items per list.
        columns: the lists.
        chart, legend: the bump chart.
        map_model, map, map_note: whose map is shown, the map, and how to read it.
        clock: asks again while a map is being computed.
        maps: computes the maps.
    """

    models: gr.Dropdown
    k: gr.Radio
    columns: gr.HTML
    chart: gr.Plot
    legend: gr.HTML
    map_model: gr.Dropdown
    map: gr.Plot
    map_note: gr.HTML
    clock: gr.Timer
    maps: Maps

    def address_part(self, shop: Shop) -> AddressPart:
        """What the tab keeps in the page's address."""
        others = shop.models[1:]
        read_k = choice([DEFAULT_COUNT, *COUNTS])
        return AddressPart(
            [
                Field(
                    "beside",
                    self.models,
                    ",".join(others[:MAX_OTHERS]),
                    several(others, MAX_OTHERS),
                ),
                Field("places", self.k, str(DEFAULT_COUNT), read_k),
                Field("map", self.map_model, shop.models[0], choice(shop.models)),
            ]
        )


def build(shop: Shop) -> CompareTab:
    """Lay out the tab; it is filled when it is opened."""
    models, k = _settings(shop)
    columns = html("", script("highlight.js"), elem_id="compare")
    heading = macros("macros.html").heading
    static_html(heading("How ranks change from model to model", CHART_NOTE))
    chart = gr.Plot(elem_id="bump", **_COMPACT)
    legend = html("", elem_id="bump-key")
    with gr.Row(elem_classes="tp-settings tp-map-head"):
        static_html(heading("Map of the catalogue"), min_width=180, scale=0)
        map_model = model_menu(shop, "Embeddings of the map", "map-of", scale=0, min_width=230)
    note = static_html("")
    plot = gr.Plot(visible=False, elem_id="map", **_COMPACT)
    clock = gr.Timer(1.0, active=False)
    maps = Maps(shop.recommender.bundle)
    return CompareTab(models, k, columns, chart, legend, map_model, plot, note, clock, maps)


def _settings(shop: Shop) -> tuple[gr.Dropdown, gr.Radio]:
    first, others = shop.titles[shop.models[0]], shop.models[1:]
    with gr.Row(elem_classes="tp-settings tp-compared"):
        label = macros("macros.html").control_label(f"{first} compared with")
        static_html(label, min_width=80, scale=0)
        models = gr.Dropdown(
            [(shop.titles[name], name) for name in others],
            value=list(others[:MAX_OTHERS]),
            multiselect=True,
            max_choices=MAX_OTHERS,
            label=f"Embeddings compared with {first}",
            scale=5,
            min_width=260,
            elem_id="beside",
            **_COMPACT,
        )
        k = gr.Radio(
            [(f"first {count}", count) for count in COUNTS],
            value=DEFAULT_COUNT,
            label="Items per list",
            scale=0,
            min_width=250,
            elem_classes="tp-pills",
            elem_id="places",
            **_COMPACT,
        )
    return models, k


def render_map(
    shop: Shop,
    maps: Maps,
    session: VisitorSession,
    model: str,
    k: int,
    new_items: str = exploration.TUNED,
) -> tuple[Any, str, gr.Timer]:
    """The map of one embedding set, how to read it, and whether to ask again soon.

    Args:
        shop: the open bundle.
        maps: computes the maps.
        session: the visitor's.
        model: name of the embedding set.
        k: number of recommendations to show.
        new_items: how many new items are shown, see `app.shell.exploration`.

    Raises:
        TpadError: there is no such set, or its map could not be computed.
    """
    if model not in shop.models:
        raise ConfigError("There is no such embedding set; reload the page.")
    items = shop.catalogue.items
    points = maps.points(model)
    if points is None:
        progress = views.map_progress(len(items), maps.seconds(model))
        return None, progress, gr.Timer(active=True)
    share = exploration.share_of(shop, model, new_items)
    path, recommended = on_map(shop, maps, session, model, points, int(k), share)
    target = session.now.target if session.now.revealed else ""
    row = shop.catalogue.rows[target] if target else None
    figure = map_figure(items, points, path, recommended, row)
    has_new_items = any(element.is_new for element in session.elements)
    note = views.map_note(shop.titles[model], len(items), MAX_DOTS, has_new_items)
    return figure, note, gr.Timer(active=False)


def on_map(
    shop: Shop,
    maps: Maps,
    session: VisitorSession,
    model: str,
    points: np.ndarray,
    k: int,
    share: float | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Where a session and its recommendations are on a map.

    Args:
        shop: the open bundle.
        maps: computes the maps.
        session: the visitor's.
        model: name of the embedding set.
        points: (n_items, 2).
        k: number of recommendations to show.
        share: of new items among them, as the recommender's `exploration`.

    Returns:
        title, x and y of each element; row and rank of each recommendation.
    """
    rows = shop.catalogue.rows
    new = [element.value for element in session.elements if element.is_new]
    placed = iter(maps.place(model, shop.recommender.encode(new, model)) if new else ())
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
    found = shop.recommender.recommend(session.values, k, True, model, share)
    found = found[found[Columns.ITEM_ID].isin(rows)]
    recommended = pd.DataFrame({"row": found[Columns.ITEM_ID].map(rows), "rank": found["rank"]})
    return path, recommended


def render(
    shop: Shop,
    session: VisitorSession,
    others: list[str] | None,
    k: int,
    new_items: str = exploration.TUNED,
) -> tuple[str, Any, str]:
    """The lists and the bump chart of a session, and the chart's legend.

    Args:
        shop: the open bundle.
        session: the visitor's.
        others: names of the embedding sets that are compared with the first.
        k: number of items per list.
        new_items: how many new items are shown, see `app.shell.exploration`.

    Raises:
        TpadError: the recommender cannot rank.
    """
    if not len(session):
        return no_session(), None, ""
    models = [shop.models[0], *[name for name in others or [] if name in shop.models][:MAX_OTHERS]]
    table, target = _ranks(shop, session, models, new_items)
    items = shop.catalogue.items
    news = "" if new_items == exploration.TUNED else exploration.label(new_items)
    columns = views.comparison(table, items, shop.titles, int(k), target, news)
    if len(models) < 2:
        return columns, None, ""
    chart = bump_chart(table, items, shop.titles, min(int(k), 10), target=target)
    legend = views.bump_legend(chart_lines(table, target=target), items, target)
    return columns, chart, legend


def _ranks(
    shop: Shop, session: VisitorSession, models: list[str], new_items: str
) -> tuple[pd.DataFrame, int | None]:
    """Ranks of every item under each model, and the row of the true next item if revealed."""
    shares = {model: exploration.share_of(shop, model, new_items) for model in models}
    scores = {m: shop.recommender.scores(session.values, m, shares[m]) for m in models}
    known = len(shop.catalogue.items)
    table = rank_table({m: s[:known] for m, s in scores.items()}, seen_rows(shop, session))
    target = session.now.target if session.now.revealed else ""
    return table, shop.catalogue.rows[target] if target else None

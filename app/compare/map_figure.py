"""The map of the catalogue as a plotly figure: a pure function from tables to a plot."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.shell.figures import PALETTE, TRUTH
from app.shell.text import plot_text
from tpad.data.columns import Columns

# Okabe and Ito's palette, with one hue for a seventh category and light blue-grey for an eighth.
COLOURS = (*PALETTE, "#882255", "#7F9BB3")
OTHER = "#999999"
MAX_DOTS = 6000  # more would only overlap
SESSION, NEXT = "#1c2533", "#ffffff"
HEIGHT = 620  # pixels


def map_figure(
    items: pd.DataFrame,
    points: np.ndarray,
    session: pd.DataFrame,
    recommended: pd.DataFrame,
    target: int | None = None,
) -> go.Figure:
    """The catalogue as dots, with the path of a session and its recommendations.

    Args:
        items: one row per item: title, category, is_cold.
        points: (n_items, 2).
        session: title, x and y of each element, oldest first.
        recommended: row (of the item), rank; best first.
        target: row of the true next item, if it is known.
    """
    traces = _dots(items, points)
    if len(recommended):
        traces.append(_recommendations(items, points, recommended))
    if target is not None:
        traces.append(_target(items, points, target))
    if len(session):
        traces.append(_path(session))
    axis = {"visible": False}
    layout = {
        "height": HEIGHT,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "hovermode": "closest",
        "hoverlabel": {"font": {"size": 13}},
        "dragmode": False,  # dragging scrolls the page; the tools above the map zoom and move it
        "legend": {"orientation": "h", "y": -0.02, "yanchor": "top", "itemsizing": "constant"},
        "modebar": {
            "bgcolor": "rgba(0,0,0,0)",
            "color": "#7a8699",
            "activecolor": "#1f5fbf",
            "remove": ["select2d", "lasso2d", "autoScale2d"],
        },
        "xaxis": axis,
        "yaxis": axis,
        "annotations": _arrows(session),
    }
    # The axes are independent, as distances have no unit: the map fills its frame.
    # In one step: plotly validates a figure at every addition.
    return go.Figure({"data": traces, "layout": layout})


def category_colours(categories: pd.Series) -> dict[str, str]:
    """A colour for each category; beyond the eight largest, categories are grey."""
    names = categories[categories.ne("")].value_counts(sort=False)
    names = names.sort_index().sort_values(ascending=False, kind="stable")
    return {
        str(name): COLOURS[place] if place < len(COLOURS) else OTHER
        for place, name in enumerate(names.index)
    }


def _dots(items: pd.DataFrame, points: np.ndarray) -> list[dict[str, Any]]:
    shown = np.arange(len(items))
    if len(items) > MAX_DOTS:
        shown = np.sort(np.random.default_rng(0).choice(len(items), MAX_DOTS, replace=False))
    colours = category_colours(items[Columns.CATEGORY])
    category = items[Columns.CATEGORY].to_numpy()[shown]
    named = [name for name, colour in colours.items() if colour != OTHER]
    groups = [(name, colours[name], category == name) for name in named]
    rest = ~np.isin(category, named)
    if rest.any():
        groups.append(("other" if named else "items", OTHER, rest))
    cold = items[Columns.IS_COLD].to_numpy()[shown]
    titles = [plot_text(title) for title in items[Columns.TITLE].to_numpy()[shown]]
    return [
        {
            "type": "scattergl" if len(shown) > 3000 else "scatter",
            "x": points[shown[chosen], 0].tolist(),
            "y": points[shown[chosen], 1].tolist(),
            "text": [
                f"{titles[i]}{'<br>never clicked in training' if cold[i] else ''}"
                for i in np.flatnonzero(chosen)
            ],
            "mode": "markers",
            "name": plot_text(name[:1].upper() + name[1:], 28),
            "marker": {
                "color": colour,
                "size": 6,
                "opacity": 0.6,
                "symbol": ["circle-open" if c else "circle" for c in cold[chosen]],
                "line": {"width": np.where(cold[chosen], 1.5, 0).tolist()},
            },
            "hovertemplate": "%{text}<extra></extra>",
        }
        for name, colour, chosen in groups
        if chosen.any()
    ]


def _recommendations(
    items: pd.DataFrame, points: np.ndarray, recommended: pd.DataFrame
) -> dict[str, Any]:
    rows = recommended["row"].to_numpy()
    titles = items[Columns.TITLE].to_numpy()[rows]
    return {
        "type": "scatter",
        "x": points[rows, 0].tolist(),
        "y": points[rows, 1].tolist(),
        "text": [
            f"<b>Recommended, rank {rank}</b><br>{plot_text(title)}"
            for rank, title in zip(recommended["rank"], titles, strict=True)
        ],
        "mode": "markers",
        "name": "Recommended",
        "marker": {
            "color": NEXT,
            "size": 13,
            "symbol": "diamond",
            "line": {"color": SESSION, "width": 2},
        },
        "hovertemplate": "%{text}<extra></extra>",
    }


def _target(items: pd.DataFrame, points: np.ndarray, target: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [float(points[target, 0])],
        "y": [float(points[target, 1])],
        "text": [f"<b>True next item</b><br>{plot_text(items[Columns.TITLE].iat[target])}"],
        "mode": "markers",
        "name": "True next item",
        "marker": {
            "color": TRUTH,
            "size": 18,
            "symbol": "star",
            "line": {"color": NEXT, "width": 1.5},
        },
        "hovertemplate": "%{text}<extra></extra>",
    }


def _path(session: pd.DataFrame) -> dict[str, Any]:
    """The session's elements with their numbers; the arrows between them are annotations."""
    return {
        "type": "scatter",
        "x": session["x"].tolist(),
        "y": session["y"].tolist(),
        "text": [str(number) for number in range(1, len(session) + 1)],
        "customdata": [plot_text(title) for title in session["title"]],
        "mode": "markers+text",
        "name": "Session, in order",
        "textfont": {"color": NEXT, "size": 11, "weight": 700},
        "marker": {"color": SESSION, "size": 20, "line": {"color": NEXT, "width": 1.5}},
        "hovertemplate": "<b>Session, item %{text}</b><br>%{customdata}<extra></extra>",
    }


def _arrows(session: pd.DataFrame) -> list[dict[str, Any]]:
    places = list(zip(session["x"], session["y"], strict=True)) if len(session) else []
    return [
        {
            "x": to[0],
            "y": to[1],
            "ax": start[0],
            "ay": start[1],
            "xref": "x",
            "yref": "y",
            "axref": "x",
            "ayref": "y",
            "text": "",
            "showarrow": True,
            "arrowhead": 2,
            "arrowsize": 1.1,
            "arrowwidth": 2,
            "arrowcolor": "#7a8699",
            "standoff": 11,
            "startstandoff": 11,
        }
        for start, to in pairwise(places)
        if start != to
    ]

"""The bump chart: the rank of each model's first items under the other models."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.shell.figures import GREY, TRUTH
from app.shell.ranking import top
from app.shell.text import plot_text

# As far from each other as possible, each with a contrast of about 3:1 to the page, light and dark.
# As many as a bump chart has lines at most.
LINES = (
    "#0072B2",
    "#00A500",
    "#A569D2",
    "#B45A4B",
    "#009696",
    "#E15A96",
    "#966900",
    "#69693C",
    "#875A78",
    "#2D87FF",
    "#879600",
    "#FF004B",
    "#870FFF",
    "#00874B",
    "#F000B4",
    "#005AFF",
    "#B45AFF",
    "#FF1E00",
    "#FF0087",
    "#F000FF",
)
ROW_HEIGHT = 34  # pixels between two ranks


def bump_chart(
    table: pd.DataFrame,
    items: pd.DataFrame,
    titles: dict[str, str],
    k: int = 10,
    per_model: int = 5,
    target: int | None = None,
) -> go.Figure:
    """The rank of each model's first items under the other models, drawn with their pictures.

    Args:
        table: ranks, one row per item, one column per model; 0 is an item that is not ranked.
        items: one row per item: title, picture.
        titles: human name of each model.
        k: ranks drawn one by one; what lies beyond shares one line below them.
        per_model: number of items taken from the top of each model.
        target: row of the true next item, drawn bold, if it is known.
    """
    models = list(table.columns)
    below = k + 1.3
    lines, images = [], []
    for row, colour in chart_lines(table, per_model, target):
        item, ranks = items.iloc[row], table.iloc[row].tolist()
        heights = [rank if rank <= k else below for rank in ranks]
        data = [[titles[m], rank] for m, rank in zip(models, ranks, strict=True)]
        lines.append(_line(item, heights, data, colour, below, row == target))
        images += [
            _image(item["picture"], x, height)
            for x, height in enumerate(heights)
            if height != below and item["picture"]
        ]
    # In one step: plotly validates a figure at every addition, which takes longer than drawing it.
    layout = _layout([titles[model] for model in models], k, below)
    return go.Figure({"data": lines, "layout": {"images": images, **layout}})


def chart_lines(
    table: pd.DataFrame, per_model: int = 5, target: int | None = None
) -> list[tuple[int, str]]:
    """The lines of a bump chart, each with a colour of its own: (row, colour).

    The first items of each model come in turn; the true next item comes last, to be drawn on top.
    """
    rows: list[int] = []
    for model in table.columns:
        rows += [row for row in top(table, model, per_model) if row not in rows]
    colours = [(row, LINES[number % len(LINES)]) for number, row in enumerate(rows)]
    if target is not None and (table.iloc[target] > 0).all():
        colours = [(row, colour) for row, colour in colours if row != target]
        colours.append((target, TRUTH))
    return colours


def _line(
    item: pd.Series, heights: list[float], data: list, colour: str, below: float, is_target: bool
) -> dict[str, Any]:
    name = plot_text(item["title"])
    return {
        "type": "scatter",
        "x": list(range(len(heights))),
        "y": heights,
        "customdata": data,
        "name": name,
        "mode": "lines+markers",
        "line": {
            "color": colour,
            "width": 5 if is_target else 3,
            "shape": "spline",
            "smoothing": 0.6,
        },
        "marker": {"size": [8 if height == below else 30 for height in heights]},
        "hovertemplate": (
            f"<b>{'True next item: ' if is_target else ''}{name}</b><br>"
            "%{customdata[0]}: rank %{customdata[1]}<extra></extra>"
        ),
    }


def _image(address: str, x: int, y: float) -> dict[str, Any]:
    return {
        "source": address,
        "x": x,
        "y": y,
        "xref": "x",
        "yref": "y",
        "sizex": 0.3,
        "sizey": 0.78,
        "xanchor": "center",
        "yanchor": "middle",
        "layer": "above",
    }


def _layout(titles: list[str], k: int, below: float) -> dict[str, Any]:
    return {
        "height": 80 + ROW_HEIGHT * (k + 2),
        "margin": {"l": 64, "r": 20, "t": 34, "b": 16},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "showlegend": False,  # the page has its own, with pictures: `app.compare.views.bump_legend`
        "hovermode": "closest",
        "hoverlabel": {"font": {"size": 13}},
        "yaxis": {
            "range": [below + 0.6, 0.4],
            "tickvals": [*range(1, k + 1), below],
            "ticktext": [*map(str, range(1, k + 1)), f"beyond {k}"],
            "gridcolor": GREY,
            "zeroline": False,
            "fixedrange": True,
        },
        "xaxis": {
            "side": "top",
            "tickvals": list(range(len(titles))),
            "ticktext": titles,
            "range": [-0.35, len(titles) - 0.65],
            "showgrid": False,
            "zeroline": False,
            "tickangle": 0,
            "fixedrange": True,
        },
    }

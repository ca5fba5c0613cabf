"""The style that all plots of the dashboard share.

Backgrounds are transparent and text is coloured by the page, so that plots are readable in light and
dark mode. Families of models differ in colour and in shape.
"""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.dashboard.families import ABLATION, CONTENT, IDS, ORACLE, OURS, REFERENCE
from app.shell.figures import GREY, TRUTH
from eval.models.naming import SUBJECT

COLOURS = {
    IDS: "#7F8FA6",
    CONTENT: "#0072B2",
    OURS: TRUTH,
    ABLATION: "#E69F00",
    REFERENCE: "#009E73",
    ORACLE: "#CC79A7",
}
SHAPES = {
    IDS: "circle",
    CONTENT: "square",
    OURS: "star",
    ABLATION: "diamond",
    REFERENCE: "triangle-up",
    ORACLE: "cross",
}
INK = "#6B7686"  # text in exported pictures; on the page, CSS sets the colour
NAMED = (SUBJECT, "oracle")  # models that a plot labels
BAR = 26  # pixels per bar, gap included


def plot_json(figure: go.Figure, name: str) -> str:
    """A figure as JSON for the page, with a download button.

    Args:
        figure: the plot.
        name: of the downloaded picture, without extension.
    """
    content = json.loads(str(figure.to_json()))
    zooms = figure.layout.meta == "zoom"
    content["config"] = {
        "displaylogo": False,
        "displayModeBar": True,
        "modeBarButtons": [["toImage", *(["zoom2d", "resetScale2d"] if zooms else [])]],
        "toImageButtonOptions": {"format": "png", "filename": f"tpad-{name}", "scale": 2},
    }
    return json.dumps(content)


def error_bar(own: pd.DataFrame, column: str, colour: str) -> dict[str, Any]:
    """The interval around a column as plotly's error bar."""
    return {
        "type": "data",
        "symmetric": False,
        "array": own[f"{column}_high"] - own[column],
        "arrayminus": own[column] - own[f"{column}_low"],
        "color": colour,
        "thickness": 1.4,
        "width": 3,
    }


def panels(figure: go.Figure, titles: Sequence[str]) -> None:
    """Lay out two panels per row, each with its own axes, epochs on the x axis."""
    rows = -(-len(titles) // 2)
    apply_style(figure, 90 + 290 * max(rows, 1))
    height = 1 / max(rows, 1)
    layout: dict[str, Any] = {}
    for number, title in enumerate(titles):
        axis = "" if number == 0 else str(number + 1)
        column, row = number % 2, number // 2
        across = [0.0, 0.45] if column == 0 else [0.55, 1.0]
        top = 1 - row * height
        layout[f"xaxis{axis}"] = {
            "title_text": "epoch",
            "domain": across,
            "anchor": f"y{axis}",
            "tickformat": "d",
            "nticks": 8,
        }
        layout[f"yaxis{axis}"] = {
            "title_text": title,
            "anchor": f"x{axis}",
            "domain": [top - height + 0.17 * height, top],
        }
    figure.update_layout(layout)
    apply_style(figure, 90 + 290 * max(rows, 1))


def apply_style(figure: go.Figure, height: int, *, zoom: bool = False) -> None:
    """Set the height and everything that all plots share."""
    figure.update_layout(
        height=height,
        margin={"l": 12, "r": 16, "t": 44, "b": 12},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        hovermode="closest",
        hoverlabel={
            "bgcolor": "#1c2533",
            "font": {"size": 13, "color": "#ffffff"},
            "align": "left",
        },
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#8A94A3", "activecolor": "#4C7FD0"},
        dragmode=False,
        meta="zoom" if zoom else "",
    )
    axis = {
        "gridcolor": GREY,
        "zerolinecolor": GREY,
        "automargin": True,
        "fixedrange": not zoom,
        "title_standoff": 10,
        "title_font": {"size": 13},
    }
    figure.update_xaxes(axis)
    figure.update_yaxes(axis)

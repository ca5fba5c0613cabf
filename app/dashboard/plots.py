"""The dashboard's plots: pure functions from the tables of `app.dashboard.tables` to plotly figures.

Backgrounds are transparent and text is coloured by the page, so that each is read in light and dark;
families of models differ by colour and by shape.
"""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.dashboard.tables import (
    ABLATION,
    CONTENT,
    FAMILIES,
    HANDFUL,
    IDS,
    ORACLE,
    OURS,
    REFERENCE,
    SHORTEST,
)
from app.shell.figures import GREY, PALETTE, TRUTH, plain
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
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
INK = "#6B7686"  # of exported pictures; the page colours text by itself
NAMED = (SUBJECT, "oracle")  # models that a plot names without being pointed at
BAR = 26  # pixels of a bar with its gap


def plot_json(figure: go.Figure, name: str) -> str:
    """A figure as the page draws it, with its download in the corner.

    Args:
        name: of the downloaded picture, without ending.
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


def scatter(
    table: pd.DataFrame, x: str, y: str, *, x_title: str, y_title: str, log: bool = False
) -> go.Figure:
    """Every model as a point with its 95 % intervals, TPAD largest and by name.

    Args:
        table: model, title, family, and x and y with "<y>_low", "<y>_high"; those of x if there are any.
        x, y: columns.
        x_title, y_title: of the axes, with units.
        log: whether x is logarithmic, in seconds; what is below `SHORTEST` is drawn there.
    """
    figure = go.Figure()
    for kind in FAMILIES:
        own = table[table.family == kind]
        if own.empty:
            continue
        across = own[x].clip(lower=SHORTEST) if log else own[x]
        names = own.title.map(plain)
        trace: dict[str, Any] = {
            "x": across,
            "y": own[y],
            "name": kind,
            "mode": "markers+text",
            "text": [n if m in NAMED else "" for m, n in zip(own.model, names, strict=True)],
            "textposition": "top left",
            "customdata": own[[x, y, f"{y}_low", f"{y}_high"]].assign(name=names),
            "marker": {
                "size": [18 if model == SUBJECT else 11 for model in own.model],
                "symbol": SHAPES[kind],
                "opacity": 1,
                "color": COLOURS[kind],
                "line": {"width": 1, "color": "rgba(255,255,255,.75)"},
            },
            "error_y": _error(own, y, COLOURS[kind]),
            "hovertemplate": f"<b>%{{customdata[4]}}</b><br>{y_title}: %{{customdata[1]:.3f}} "
            "(%{customdata[2]:.3f} – %{customdata[3]:.3f})<br>"
            f"{x_title}: %{{customdata[0]:{',.2f' if log else '.3f'}}}<extra></extra>",
        }
        if f"{x}_low" in own:
            trace["error_x"] = _error(own, x, COLOURS[kind])
        figure.add_scatter(**trace)
    _style(figure, 470, zoom=True)
    figure.update_xaxes(title_text=x_title, type="log" if log else "linear")
    figure.update_yaxes(title_text=y_title)
    if log:
        figure.update_xaxes(dtick=1)
    return figure


def bars(table: pd.DataFrame, x_title: str) -> go.Figure:
    """Shares with their 95 % intervals, one bar a model, the first row at the top.

    Args:
        table: title, family, share, share_low, share_high (of 1).
        x_title: of the axis.
    """
    figure = go.Figure()
    names = table.title.map(plain)
    for kind in FAMILIES:
        mask = table.family == kind
        own = table[mask]
        if own.empty:
            continue
        figure.add_bar(
            x=own.share,
            y=names[mask],
            orientation="h",
            name=kind,
            marker_color=COLOURS[kind],
            customdata=own[["share_low", "share_high"]],
            error_x=_error(own, "share", "#808895"),
            hovertemplate="<b>%{y}</b><br>%{x:.1%} (%{customdata[0]:.1%} – %{customdata[1]:.1%})"
            "<extra></extra>",
        )
    _style(figure, 130 + BAR * len(table))
    figure.update_layout(barmode="overlay", bargap=0.35)
    figure.update_xaxes(title_text=x_title, tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(
        categoryorder="array", categoryarray=names.tolist()[::-1], showgrid=False, ticksuffix=" "
    )
    return figure


def grouped(
    table: pd.DataFrame, models: Sequence[str], *, x_title: str, y_title: str, ordered: bool
) -> go.Figure:
    """A figure of some models on the slices of a kind, with 95 % intervals.

    Args:
        table: as `app.dashboard.tables.by_slices` gives it.
        models: names, in the order of the legend; at most `HANDFUL`.
        x_title, y_title: of the axes, with units.
        ordered: whether the slices have an order, so that lines may join them.
    """
    bins = list(dict.fromkeys(table.bin))
    counts = table.groupby("bin").cases.first()
    figure = go.Figure()
    models = [name for name in models if (table.model == name).any()][:HANDFUL]
    for number, name in enumerate(models):
        own = table[table.model == name]
        colour = PALETTE[number % len(PALETTE)] if name != SUBJECT else TRUTH
        shift = 0.07 * (number - (len(models) - 1) / 2)
        title = plain(own.title.iat[0])
        figure.add_scatter(
            x=[bins.index(b) + shift for b in own.bin],
            y=own["mean"],
            name=title,
            mode="lines+markers" if ordered else "markers",
            line={
                "color": colour,
                "width": 3.5 if name == SUBJECT else 2,
                "dash": DASHES[number % len(DASHES)],
            },
            marker={"size": 10, "symbol": MARKS[number % len(MARKS)], "color": colour},
            error_y=_error(
                own.rename(columns={"low": "mean_low", "high": "mean_high"}), "mean", colour
            ),
            customdata=own[["bin", "cases", "low", "high"]],
            hovertemplate=f"<b>{title}</b>, %{{customdata[0]}}<br>%{{y:.3f}} "
            "(%{customdata[2]:.3f} – %{customdata[3]:.3f})<br>%{customdata[1]:,} cases"
            "<extra></extra>",
        )
    _style(figure, 460)
    figure.update_xaxes(
        title_text=x_title,
        tickvals=list(range(len(bins))),
        ticktext=[f"{plain(name)}<br>{counts[name]:,} cases" for name in bins],
        range=[-0.5, len(bins) - 0.5],
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(title_text=y_title, rangemode="tozero")
    return figure


def forest(table: pd.DataFrame) -> go.Figure:
    """What each ablation loses or gains, a panel a metric, with 95 % intervals.

    Filled points are sure, hollow ones may be chance.

    Args:
        table: as `app.dashboard.tables.ablation_table` gives it.
    """
    metrics = list(dict.fromkeys(zip(table.metric, table.k, strict=True)))
    names = [plain(title) for title in dict.fromkeys(table.title)]
    figure = go.Figure()
    width = 1 / max(len(metrics), 1)
    for number, (metric, k) in enumerate(metrics):
        axis = "" if number == 0 else str(number + 1)
        own = table[(table.metric == metric) & (table.k == k)]
        figure.add_scatter(
            x=own.difference,
            y=own.title.map(plain),
            mode="markers",
            xaxis=f"x{axis}",
            showlegend=False,
            marker={
                "size": 11,
                "color": PALETTE[0],
                "line": {"width": 2, "color": PALETTE[0]},
                "symbol": ["circle" if sure else "circle-open" for sure in own.sure],
            },
            error_x=_error(
                own.rename(columns={"low": "difference_low", "high": "difference_high"}),
                "difference",
                PALETTE[0],
            ),
            # In words already: plotly.js knows no format with a sign.
            text=[
                f"{r.difference:+.4f} ({r.low:+.4f} – {r.high:+.4f})<br>p = {r.p_corrected:.4f}"
                for r in own.itertuples()
            ],
            hovertemplate=f"<b>%{{y}}</b><br>{metric}@{k} %{{text}}<extra></extra>",
        )
        figure.update_layout(
            {
                f"xaxis{axis}": {
                    "title_text": f"{metric}@{k}, difference to the whole method",
                    "domain": [number * width + 0.02, (number + 1) * width - 0.02],
                    "tickformat": ".2f",
                    "nticks": 5,
                    "tickangle": 0,
                }
            }
        )
    _style(figure, 110 + 30 * len(names))
    figure.update_xaxes(zeroline=True, zerolinecolor="#808895", zerolinewidth=2)
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], ticksuffix=" ")
    return figure


def curves(table: pd.DataFrame) -> go.Figure:
    """The recommenders' training: validation MRR@20 and loss after each epoch, a line a set.

    Args:
        table: as `app.dashboard.tables.epochs` gives it.
    """
    figure = go.Figure()
    for number, (name, own) in enumerate(table.groupby("set", sort=False)):
        colour = TRUTH if name == SUBJECT else PALETTE[number % len(PALETTE)]
        title = plain(own.title.iat[0])
        for axis, column in (("", "validation"), ("2", "loss")):
            figure.add_scatter(
                x=own.epoch,
                y=own[column],
                xaxis=f"x{axis}",
                yaxis=f"y{axis}",
                mode="lines",
                name=title,
                legendgroup=str(name),
                showlegend=not axis,
                line={
                    "color": colour,
                    "width": 3.5 if name == SUBJECT else 2,
                    "dash": DASHES[number % len(DASHES)],
                },
                hovertemplate=f"<b>{title}</b>, epoch %{{x}}: %{{y:.3f}}<extra></extra>",
            )
    _panels(figure, ["MRR@20 on validation sessions", "Training loss (nats a case)"])
    return figure


def stage_curves(table: pd.DataFrame, stage: str) -> go.Figure:
    """One training stage: each number of its log in a panel of its own.

    Args:
        table: as `app.dashboard.tables.read_stages` gives it.
        stage: one of its stages.
    """
    own = table[table.stage == stage]
    figure = go.Figure()
    quantities = list(dict.fromkeys(own.quantity))
    for number, quantity in enumerate(quantities):
        axis = "" if number == 0 else str(number + 1)
        some = own[own.quantity == quantity]
        figure.add_scatter(
            x=some.epoch,
            y=some.value,
            xaxis=f"x{axis}",
            yaxis=f"y{axis}",
            showlegend=False,
            mode="lines+markers",
            line={"color": PALETTE[number % len(PALETTE)], "width": 2.5},
            hovertemplate=f"{plain(quantity)}, epoch %{{x}}: %{{y:.4f}}<extra></extra>",
        )
    _panels(figure, [_quantity_title(quantity) for quantity in quantities])
    return figure


def quality(table: pd.DataFrame) -> go.Figure:
    """The measures of embedding sets: shares in one panel, effective rank in the other.

    Args:
        table: as `app.dashboard.quality.Quality.table` gives it.
    """
    names = table.title.map(plain)
    columns = {
        "same_category": "neighbours of the same category",
        "next_warm": "next item near, warm",
        "next_cold": "next item near, cold",
    }
    figure = go.Figure()
    for number, (column, title) in enumerate(columns.items()):
        figure.add_bar(
            x=table[column],
            y=names,
            orientation="h",
            name=title,
            marker_color=(PALETTE[0], PALETTE[1], PALETTE[4])[number],
            offsetgroup=str(number),
            hovertemplate=f"<b>%{{y}}</b><br>{title}: %{{x:.1%}}<extra></extra>",
        )
    figure.add_bar(
        x=table.effective_rank,
        y=names,
        orientation="h",
        name="effective rank",
        xaxis="x2",
        marker_color=PALETTE[2],
        showlegend=False,
        customdata=table[["dimensions"]],
        hovertemplate="<b>%{y}</b><br>effective rank %{x:.0f} of %{customdata[0]:,} dimensions"
        "<extra></extra>",
        offsetgroup="1",
    )
    figure.update_layout(
        xaxis={
            "title_text": "share",
            "domain": [0, 0.62],
            "tickformat": ".0%",
            "rangemode": "tozero",
        },
        xaxis2={
            "title_text": "effective rank (directions)",
            "domain": [0.68, 1],
            "rangemode": "tozero",
        },
        bargap=0.3,
    )
    _style(figure, 150 + 56 * len(table))
    figure.update_yaxes(
        categoryorder="array", categoryarray=names.tolist()[::-1], showgrid=False, ticksuffix=" "
    )
    return figure


def _quantity_title(name: str) -> str:
    words = {
        "loss": "loss (nats)",
        "validation": "MRR@20 on validation",
        "next": "L_next (nats)",
        "generation": "L_gen (nats)",
        "kd": "L_kd (nats)",
        "align": "alignment (nats)",
        "apart": "shared with the private part (nats)",
        "MRR@20": "MRR@20 on validation",
    }
    return words.get(name, plain(name))


def _panels(figure: go.Figure, titles: Sequence[str]) -> None:
    """Two panels a row, each with its own axes, epochs below."""
    rows = -(-len(titles) // 2)
    _style(figure, 90 + 290 * max(rows, 1))
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
    _style(figure, 90 + 290 * max(rows, 1))


def _error(own: pd.DataFrame, column: str, colour: str) -> dict[str, Any]:
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


def _style(figure: go.Figure, height: int, *, zoom: bool = False) -> None:
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
    figure.update_xaxes(
        gridcolor=GREY,
        zerolinecolor=GREY,
        automargin=True,
        fixedrange=not zoom,
        title_standoff=10,
        title_font={"size": 13},
    )
    figure.update_yaxes(
        gridcolor=GREY,
        zerolinecolor=GREY,
        automargin=True,
        fixedrange=not zoom,
        title_standoff=10,
        title_font={"size": 13},
    )

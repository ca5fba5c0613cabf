"""Plots of the results: pure functions from tables to plotly figures."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from app.dashboard.families import FAMILIES, MAX_MODELS
from app.dashboard.plot_style import (
    BAR,
    COLOURS,
    NAMED,
    SHAPES,
    apply_style,
    error_bar,
)
from app.dashboard.tables import MIN_SECONDS
from app.shell.figures import PALETTE, TRUTH
from app.shell.text import plot_text
from eval.models.naming import SUBJECT
from eval.reports.frontier_figure import DASHES, MARKS


def scatter(
    table: pd.DataFrame, x: str, y: str, *, x_title: str, y_title: str, log: bool = False
) -> go.Figure:
    """Every model as a point with 95 % intervals; TPAD is largest and labelled.

    Args:
        table: model, title, family, x and y, with "<y>_low" and "<y>_high", and optionally those of x.
        x, y: columns.
        x_title, y_title: of the axes, with units.
        log: whether x is in seconds on a logarithmic axis; shorter times are drawn at `MIN_SECONDS`.
    """
    figure = go.Figure()
    for kind in FAMILIES:
        own = table[table.family == kind]
        if own.empty:
            continue
        across = own[x].clip(lower=MIN_SECONDS) if log else own[x]
        names = own.title.map(plot_text)
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
            "error_y": error_bar(own, y, COLOURS[kind]),
            "hovertemplate": f"<b>%{{customdata[4]}}</b><br>{y_title}: %{{customdata[1]:.3f}} "
            "(%{customdata[2]:.3f} – %{customdata[3]:.3f})<br>"
            f"{x_title}: %{{customdata[0]:{',.2f' if log else '.3f'}}}<extra></extra>",
        }
        if f"{x}_low" in own:
            trace["error_x"] = error_bar(own, x, COLOURS[kind])
        figure.add_scatter(**trace)
    apply_style(figure, 470, zoom=True)
    figure.update_xaxes(title_text=x_title, type="log" if log else "linear")
    figure.update_yaxes(title_text=y_title)
    if log:
        figure.update_xaxes(dtick=1)
    return figure


def bars(table: pd.DataFrame, x_title: str) -> go.Figure:
    """Shares with 95 % intervals, one bar per model, the first row at the top.

    Args:
        table: title, family, share, share_low, share_high (of 1).
        x_title: of the axis.
    """
    figure = go.Figure()
    names = table.title.map(plot_text)
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
            error_x=error_bar(own, "share", "#808895"),
            hovertemplate="<b>%{y}</b><br>%{x:.1%} (%{customdata[0]:.1%} – %{customdata[1]:.1%})"
            "<extra></extra>",
        )
    apply_style(figure, 130 + BAR * len(table))
    figure.update_layout(barmode="overlay", bargap=0.35)
    figure.update_xaxes(title_text=x_title, tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(
        categoryorder="array", categoryarray=names.tolist()[::-1], showgrid=False, ticksuffix=" "
    )
    return figure


def grouped(
    table: pd.DataFrame, models: Sequence[str], *, x_title: str, y_title: str, ordered: bool
) -> go.Figure:
    """One metric of some models on the slices of a kind, with 95 % intervals.

    Args:
        table: as `app.dashboard.tables.by_slices` gives it.
        models: names, in the order of the legend; at most `MAX_MODELS`.
        x_title, y_title: of the axes, with units.
        ordered: whether the slices have an order, so that lines connect them.
    """
    bins = list(dict.fromkeys(table.bin))
    counts = table.groupby("bin").cases.first()
    figure = go.Figure()
    models = [name for name in models if (table.model == name).any()][:MAX_MODELS]
    for number, name in enumerate(models):
        own = table[table.model == name]
        colour = PALETTE[number % len(PALETTE)] if name != SUBJECT else TRUTH
        shift = 0.07 * (number - (len(models) - 1) / 2)
        title = plot_text(own.title.iat[0])
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
            error_y=error_bar(
                own.rename(columns={"low": "mean_low", "high": "mean_high"}), "mean", colour
            ),
            customdata=own[["bin", "cases", "low", "high"]],
            hovertemplate=f"<b>{title}</b>, %{{customdata[0]}}<br>%{{y:.3f}} "
            "(%{customdata[2]:.3f} – %{customdata[3]:.3f})<br>%{customdata[1]:,} cases"
            "<extra></extra>",
        )
    apply_style(figure, 460)
    figure.update_xaxes(
        title_text=x_title,
        tickvals=list(range(len(bins))),
        ticktext=[f"{plot_text(name)}<br>{counts[name]:,} cases" for name in bins],
        range=[-0.5, len(bins) - 0.5],
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(title_text=y_title, rangemode="tozero")
    return figure


def forest(table: pd.DataFrame) -> go.Figure:
    """The change by each ablation, one panel per metric, with 95 % intervals.

    Filled points are significant differences, hollow ones are not.

    Args:
        table: as `app.dashboard.tables.ablation_table` gives it.
    """
    metrics = list(dict.fromkeys(zip(table.metric, table.k, strict=True)))
    names = [plot_text(title) for title in dict.fromkeys(table.title)]
    figure = go.Figure()
    width = 1 / max(len(metrics), 1)
    for number, (metric, k) in enumerate(metrics):
        axis = "" if number == 0 else str(number + 1)
        own = table[(table.metric == metric) & (table.k == k)]
        figure.add_scatter(
            x=own.difference,
            y=own.title.map(plot_text),
            mode="markers",
            xaxis=f"x{axis}",
            showlegend=False,
            marker={
                "size": 11,
                "color": PALETTE[0],
                "line": {"width": 2, "color": PALETTE[0]},
                "symbol": ["circle" if sure else "circle-open" for sure in own.significant],
            },
            error_x=error_bar(
                own.rename(columns={"low": "difference_low", "high": "difference_high"}),
                "difference",
                PALETTE[0],
            ),
            # Formatted here, because plotly.js has no format with a sign.
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
    apply_style(figure, 110 + 30 * len(names))
    figure.update_xaxes(zeroline=True, zerolinecolor="#808895", zerolinewidth=2)
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], ticksuffix=" ")
    return figure

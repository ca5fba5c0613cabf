"""Plots of the training and of the embedding sets: pure functions from tables to plotly figures."""

import pandas as pd
import plotly.graph_objects as go

from app.dashboard.plot_style import apply_style, panels
from app.shell.figures import PALETTE, TRUTH
from app.shell.text import plot_text
from eval.models.naming import SUBJECT
from eval.reports.frontier_figure import DASHES


def curves(table: pd.DataFrame) -> go.Figure:
    """Training of the recommenders: validation MRR@20 and loss after each epoch, one line per set.

    Args:
        table: as `app.dashboard.training_log.epochs` gives it.
    """
    figure = go.Figure()
    for number, (name, own) in enumerate(table.groupby("set", sort=False)):
        colour = TRUTH if name == SUBJECT else PALETTE[number % len(PALETTE)]
        title = plot_text(own.title.iat[0])
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
    panels(figure, ["MRR@20 on validation sessions", "Training loss (nats per case)"])
    return figure


def stage_curves(table: pd.DataFrame, stage: str) -> go.Figure:
    """One training stage: each number of its log in its own panel.

    Args:
        table: as `app.dashboard.training_log.read_stages` gives it.
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
            hovertemplate=f"{plot_text(quantity)}, epoch %{{x}}: %{{y:.4f}}<extra></extra>",
        )
    panels(figure, [_quantity_title(quantity) for quantity in quantities])
    return figure


def quality(table: pd.DataFrame) -> go.Figure:
    """Measures of the embedding sets: shares in one panel, effective rank in the other.

    Args:
        table: as `app.dashboard.quality.Quality.table` gives it.
    """
    names = table.title.map(plot_text)
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
    apply_style(figure, 150 + 56 * len(table))
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
    return words.get(name, plot_text(name))

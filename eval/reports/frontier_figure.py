"""The plot of the frontiers, for reports and for the dashboard, which give it their own style."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from eval.models.naming import SUBJECT
from eval.reports.unclicked import METRIC, K

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def frontier_figure(
    curves: pd.DataFrame, chosen: pd.DataFrame, ours: str, others: Sequence[str]
) -> go.Figure:
    """P@20 on warm against cold targets, one curve per model, with a marker at its own choice.

    Args:
        curves: model, title, warm, cold, share; a model with one row is a marker only. Plotly reads
            markup in titles.
        chosen: from `eval.reports.unclicked.chosen_points`.
        ours: colour of TPAD.
        others: colours of the other models, which also differ in dashes and marks.
    """
    figure = go.Figure()
    own_choice = chosen.set_index("model")
    for number, (model, own) in enumerate(curves.groupby("model", sort=False)):
        is_ours = model == SUBJECT
        colour = ours if is_ours else others[number % len(others)]
        title = own.title.iat[0]
        group = {"name": title, "legendgroup": str(model)}
        if len(own) > 1:
            dash = DASHES[number % len(DASHES)]
            figure.add_scatter(
                x=own.warm,
                y=own.cold,
                mode="lines",
                line={"color": colour, "width": 3.5 if is_ours else 2, "dash": dash},
                customdata=own.share,
                hovertemplate=f"<b>{title}</b><br>warm %{{x:.3f}}, cold %{{y:.3f}}<br>"
                "%{customdata:.0%} of the lists are new items<extra></extra>",
                **group,
            )
        figure.add_scatter(
            x=[own_choice.warm[model]],
            y=[own_choice.cold[model]],
            mode="markers",
            marker={
                "size": 13 if is_ours else 11,
                "symbol": MARKS[number % len(MARKS)],
                "color": colour,
                "line": {"width": 1, "color": "rgba(255,255,255,.75)"},
            },
            cliponaxis=False,  # many lie on the axis
            showlegend=len(own) == 1,
            hovertemplate=f"<b>{title}</b>, own choice<br>warm %{{x:.3f}}, cold %{{y:.3f}}"
            "<extra></extra>",
            **group,
        )
    figure.update_xaxes(title_text=f"{METRIC}@{K} on warm targets", rangemode="tozero")
    figure.update_yaxes(title_text=f"{METRIC}@{K} on cold targets", rangemode="tozero")
    return figure

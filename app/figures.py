"""The app's plots: pure functions from tables to plotly figures, readable in light and dark."""

import pandas as pd
import plotly.graph_objects as go

from app.agreement import top

# Okabe and Ito's palette, which the colour-blind can tell apart; black is left out for dark mode.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#9A8F00")
TRUTH = "#D55E00"
GREY = "rgba(128,128,128,0.28)"
FLOOR = 1000  # ranks beyond it are drawn on one line


def bump_chart(
    table: pd.DataFrame,
    names: list[str],
    titles: dict[str, str],
    per_model: int = 5,
    target: int | None = None,
) -> go.Figure:
    """Where each model's first items stand in the other models.

    Args:
        table: ranks, one row an item, one column a model; 0 is an item that takes no part.
        names: the items' titles, by row.
        titles: human name of each model.
        per_model: items taken from the top of each model.
        target: row of the true next item, drawn bold, if it is known.
    """
    models = list(table.columns)
    x = [titles[model] for model in models]
    rows: list[int] = []
    for model in models:
        rows += [row for row in top(table, model, per_model) if row not in rows]
    if target is not None and (table.iloc[target] > 0).all():
        rows = [row for row in rows if row != target] + [target]
    worst = 10
    figure = go.Figure()
    for number, row in enumerate(rows):
        places = table.iloc[row].tolist()
        worst = max(worst, *places)
        is_target = row == target
        home = models[places.index(min(places))]
        colour = TRUTH if is_target else PALETTE[models.index(home) % 5]
        name = _short(names[row])
        figure.add_scatter(
            x=x,
            y=[min(place, FLOOR) for place in places],
            customdata=places,
            name=("true next: " if is_target else "") + name,
            mode="lines+markers",
            line={"color": colour, "width": 4 if is_target else 2, "shape": "spline"},
            marker={"size": 11 if is_target else 8, "symbol": "star" if is_target else "circle"},
            opacity=1 if is_target else 0.85,
            hovertemplate=f"<b>{name}</b><br>%{{x}}: place %{{customdata}}<extra></extra>",
            legendrank=number if not is_target else -1,
        )
    ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= worst * 1.6]
    text = [str(tick) if tick < FLOOR else "1000+" for tick in ticks]
    figure.update_layout(
        height=430,
        margin={"l": 56, "r": 24, "t": 12, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        showlegend=False,
        hovermode="closest",
        hoverlabel={"font": {"size": 13}},
    )
    figure.update_yaxes(
        type="log",
        autorange="reversed",
        tickvals=ticks,
        ticktext=text,
        title_text="place in the ranking",
        gridcolor=GREY,
        zeroline=False,
    )
    figure.update_xaxes(
        showgrid=True, gridcolor=GREY, tickangle=0, range=[-0.15, len(models) - 0.85]
    )
    return figure


def _short(text: str, length: int = 44) -> str:
    text = text.replace("<", "‹").replace(">", "›").replace("%{", "% {")
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"

"""The app's plots: pure functions from tables to plotly figures, readable in light and dark."""

import pandas as pd
import plotly.graph_objects as go

from app.compare.agreement import top

# Okabe and Ito's palette, which the colour-blind can tell apart; black is left out for dark mode.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#9A8F00")
TRUTH = "#D55E00"
# As far from each other as may be, each at least 3:1 against the page, light and dark; as many as a
# bump chart has lines at most.
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
GREY = "rgba(128,128,128,0.22)"
ROW = 34  # pixels between two places


def bump_chart(
    table: pd.DataFrame,
    items: pd.DataFrame,
    titles: dict[str, str],
    k: int = 10,
    per_model: int = 5,
    target: int | None = None,
) -> go.Figure:
    """Where each model's first items stand in the other models, drawn with their pictures.

    Args:
        table: ranks, one row an item, one column a model; 0 is an item that takes no part.
        items: one row an item: title, picture.
        titles: human name of each model.
        k: places drawn one by one; what lies beyond shares one line below them.
        per_model: items taken from the top of each model.
        target: row of the true next item, drawn bold, if it is known.
    """
    models = list(table.columns)
    followed = followed_lines(table, per_model, target)
    below = k + 1.3
    lines, images = [], []
    for row, colour in followed:
        item, places = items.iloc[row], table.iloc[row].tolist()
        heights = [place if place <= k else below for place in places]
        truth = row == target
        name = plain(item["title"])
        line = {
            "type": "scatter",
            "x": list(range(len(models))),
            "y": heights,
            "customdata": [[titles[m], place] for m, place in zip(models, places, strict=True)],
            "name": name,
            "mode": "lines+markers",
            "line": {
                "color": colour,
                "width": 5 if truth else 3,
                "shape": "spline",
                "smoothing": 0.6,
            },
            "marker": {"size": [8 if height == below else 30 for height in heights]},
            "hovertemplate": (
                f"<b>{'True next item: ' if truth else ''}{name}</b><br>"
                "%{customdata[0]}: place %{customdata[1]}<extra></extra>"
            ),
        }
        lines.append(line)
        images += [
            {
                "source": item["picture"],
                "x": x,
                "y": height,
                "xref": "x",
                "yref": "y",
                "sizex": 0.3,
                "sizey": 0.78,
                "xanchor": "center",
                "yanchor": "middle",
                "layer": "above",
            }
            for x, height in enumerate(heights)
            if height != below and item["picture"]
        ]
    # All at once: plotly checks a figure anew at every addition, which takes longer than to draw it.
    layout = {
        "images": images,
        "height": 80 + ROW * (k + 2),
        "margin": {"l": 64, "r": 20, "t": 34, "b": 16},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "showlegend": False,  # the page has its own, with pictures: `app.shell.views.bump_key`
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
            "tickvals": list(range(len(models))),
            "ticktext": [titles[model] for model in models],
            "range": [-0.35, len(models) - 0.65],
            "showgrid": False,
            "zeroline": False,
            "tickangle": 0,
            "fixedrange": True,
        },
    }
    return go.Figure({"data": lines, "layout": layout})


def followed_lines(
    table: pd.DataFrame, per_model: int = 5, target: int | None = None
) -> list[tuple[int, str]]:
    """What a bump chart follows, each with a colour of its own: (row, colour).

    The first of each model come in turn; the true next item comes last, so it is drawn on top.
    """
    rows: list[int] = []
    for model in table.columns:
        rows += [row for row in top(table, model, per_model) if row not in rows]
    colours = [(row, LINES[number % len(LINES)]) for number, row in enumerate(rows)]
    if target is not None and (table.iloc[target] > 0).all():
        colours = [(row, colour) for row, colour in colours if row != target]
        colours.append((target, TRUTH))
    return colours


def plain(text: str, length: int = 60) -> str:
    """A title, shortened, that plotly's own markup leaves alone."""
    text = text.replace("<", "‹").replace(">", "›").replace("%{", "% {")
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"

"""Results as plotly figures, and as one HTML page that works offline."""

import html
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from eval.reports.frontier_figure import frontier_figure
from eval.reports.sections import Section, main_slices
from eval.reports.tables import MARK, shares, wide
from eval.reports.unclicked import HOW_TO_READ, METRIC, WHAT_IT_IS, K

INK, MUTED, GRID = "#1f2430", "#6b7280", "#e5e7eb"
ROLE_COLOURS = {
    "baseline": "#9aa5b8",
    "tpad": "#4f46e5",
    "reference": "#0d9488",
    "oracle": "#d97706",
}
ROLE_TITLES = {
    "baseline": "baseline",
    "tpad": "TPAD",
    "reference": "knows the true attributes",
    "oracle": "knows the law",
}
LINES = ("#0284c7", "#d97706", "#0d9488", "#db2777", "#65a30d", "#78350f", "#64748b", "#b91c1c")
HEADLINES = (("P", 20), ("MRR", 20), ("NDCG", 20))


def interval_figure(frame: pd.DataFrame, part: str, metric: str, k: int) -> go.Figure:
    """All models on one slice with their 95 % intervals, the best at the top.

    Args:
        frame: from `eval.reports.tables.results_frame`.
        part: name of the slice.
        metric, k: the metric.
    """
    some = frame[(frame.slice == part) & (frame.metric == metric) & (frame.k == k)]
    some = some.sort_values("mean")
    figure = go.Figure()
    for role, colour in ROLE_COLOURS.items():
        rows = some[some.role == role]
        if rows.empty:
            continue
        figure.add_bar(
            x=rows["mean"],
            y=rows.model,
            orientation="h",
            name=ROLE_TITLES[role],
            marker_color=colour,
            text=[f"{value:.3f}" for value in rows["mean"]],
            textposition="inside",
            insidetextanchor="start",
            constraintext="none",
            error_x={
                "type": "data",
                "symmetric": False,
                "array": rows.high - rows["mean"],
                "arrayminus": rows["mean"] - rows.low,
                "color": INK,
                "thickness": 1.2,
            },
            hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        )
    cases = int(some.cases.iloc[0]) if len(some) else 0
    _style(figure, f"{metric}@{k}, {part} targets ({cases:,} cases)", len(some))
    figure.update_yaxes(categoryorder="array", categoryarray=some.model.tolist())
    return figure


def slice_figure(frame: pd.DataFrame, metric: str, k: int) -> go.Figure:
    """A heat map of models by slices."""
    some = frame[(frame.metric == metric) & (frame.k == k)]
    table = some.pivot(index="model", columns="slice", values="mean")
    table = table.loc[some.model.unique()[::-1], some.slice.unique()]
    figure = go.Figure(
        go.Heatmap(
            z=table.to_numpy(),
            x=table.columns,
            y=table.index,
            colorscale="Purples",
            zmin=0,
            texttemplate="%{z:.3f}",
            showscale=False,
            hovertemplate="%{y}, %{x}: %{z:.4f}<extra></extra>",
        )
    )
    _style(figure, f"{metric}@{k} by slice", len(table))
    return figure


def frontier_chart(curves: pd.DataFrame, chosen: pd.DataFrame) -> go.Figure:
    """The frontiers of models.

    Args:
        curves: from `eval.reports.unclicked.frontier_frame`.
        chosen: from `eval.reports.unclicked.chosen_points`.
    """
    curves = curves.assign(title=curves.model)
    figure = frontier_figure(curves, chosen, ROLE_COLOURS["tpad"], LINES)
    _style(figure, f"{METRIC}@{K} of warm and of cold targets", 14)
    figure.update_layout(legend={"orientation": "v", "y": 1})
    return figure


def page(
    frame: pd.DataFrame,
    *,
    title: str,
    notes: Sequence[str] = (),
    metrics: Sequence[tuple[str, int]] = HEADLINES,
    first: Sequence[Section] = (),
    last: Sequence[Section] = (),
    frontier: go.Figure | None = None,
) -> str:
    """An HTML page with tables, and figures of the main slices.

    The page includes plotly's script (4 MB), so that it works offline.

    Args:
        frame: from `eval.reports.tables.results_frame`.
        title, notes: at the top of the page.
        metrics: columns of the tables of a slice; there are figures of the first two.
        first, last: sections before and after those of the slices.
        frontier: from `frontier_chart`, if any model has one.
    """
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(note)}</p>" for note in notes)]
    parts += [_section_html(section) for section in first]
    # The first figure includes plotly's script.
    parts.append(_figures_html([slice_figure(frame, *metrics[0])], with_script=True))
    if frontier is not None:
        parts.append(f"<h2>Frontier</h2><p>{HOW_TO_READ} {WHAT_IT_IS}</p>")
        parts.append(_figures_html([frontier]))
    for part in main_slices(frame):
        parts.append(f"<h2>{html.escape(part).capitalize()} targets</h2>")
        parts.append(
            _figures_html([interval_figure(frame, part, *metric) for metric in metrics[:2]])
        )
        of_oracle = shares(frame, part, metrics).add_suffix(" of oracle")
        table = pd.concat([wide(frame, part, metrics), of_oracle], axis=1)
        parts.append(_section_html(Section("", table.rename_axis("model"))))
    parts += [_section_html(section) for section in last]
    return PAGE.format(title=html.escape(title), body="\n".join(parts))


def _figures_html(figures: Sequence[go.Figure], *, with_script: bool = False) -> str:
    """Figures side by side."""
    # The grid has fixed columns, as a figure takes the width available when it is drawn.
    parts = [f'<div class="figures {"one" if len(figures) == 1 else "two"}">']
    for i, figure in enumerate(figures):
        parts.append(
            figure.to_html(
                full_html=False,
                include_plotlyjs=with_script and i == 0,
                config={"displaylogo": False, "responsive": True},
            )
        )
    return "\n".join([*parts, "</div>"])


def _section_html(section: Section) -> str:
    """A section as HTML; a wide table scrolls."""
    table = section.table
    heads = [str(table.index.name), *map(str, table.columns)]
    kinds = ['"word"' if head in (heads[0], *section.left) else '"number"' for head in heads]
    lines = [f"<h2>{html.escape(section.title)}</h2>"] if section.title else []
    lines += [f"<p>{html.escape(section.note)}</p>"] if section.note else []
    if table.empty:
        return "\n".join(lines)
    lines.append('<div class="wide"><table class="results"><thead><tr>')
    lines += [
        f"<th class={kind}>{html.escape(head)}</th>"
        for kind, head in zip(kinds, heads, strict=True)
    ]
    lines.append("</tr></thead><tbody>")
    for row in table.itertuples(name=None):
        cells = [
            f"<td class={kind}>{_cell(str(text))}</td>"
            for kind, text in zip(kinds, row, strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def _cell(text: str) -> str:
    own = html.escape(text.removesuffix(MARK))
    return f"<b>{own}</b>" if text.endswith(MARK) else own


def _style(figure: go.Figure, title: str, rows: int) -> None:
    figure.update_layout(
        title={"text": title, "font": {"size": 15}},
        template="plotly_white",
        barmode="overlay",
        font={"family": "system-ui, sans-serif", "color": INK, "size": 12},
        height=110 + 30 * max(rows, 3),
        margin={"l": 10, "r": 20, "t": 46, "b": 40},
        legend={"orientation": "h", "y": -0.12},
    )
    figure.update_xaxes(gridcolor=GRID, automargin=True)
    figure.update_yaxes(automargin=True)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1f2430; max-width: 1180px; margin: 24px auto;
        padding: 0 16px; }}
p {{ color: #4b5563; }}
.figures {{ display: grid; gap: 12px; }}
.two {{ grid-template-columns: repeat(2, minmax(0, 1fr)); }}
@media (max-width: 760px) {{ .two {{ grid-template-columns: minmax(0, 1fr); }} }}
.results {{ border-collapse: collapse; margin: 12px 0 32px; font-variant-numeric: tabular-nums; }}
.wide {{ overflow-x: auto; }}
.results th, .results td {{ padding: 4px 18px 4px 0; border-bottom: 1px solid #e5e7eb; white-space: nowrap; }}
.results th {{ font-weight: 600; vertical-align: bottom; }}
.number {{ text-align: right; }}
.word {{ text-align: left; }}
.results td.word:not(:first-child) {{ white-space: normal; }}
</style></head><body>
{body}
</body></html>
"""

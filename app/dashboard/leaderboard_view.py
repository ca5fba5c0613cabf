"""HTML of the leaderboard."""

from typing import Any

import pandas as pd
from markupsafe import Markup

from app.dashboard.families import IDS, OURS
from app.dashboard.tables import SIGNIFICANCE
from app.dashboard.views import Column, cell_of, table
from app.shell.templates import macros

METRIC_NOTES = {
    "P": "Share of cases with the next item among the first k",
    "MRR": "Mean of 1 / rank of the next item, 0 beyond k",
    "NDCG": "Mean of 1 / log2(rank + 1) of the next item, 0 beyond k",
}
ROLE_NOTES = {
    "reference": "knows the true attributes, which no real model can",
    "oracle": "knows the rules of the shop: the best possible result",
    "tpad": "the method, or a part of it",
}


def leaderboard(
    rows: pd.DataFrame,
    metric: str,
    k: int,
    *,
    marks: pd.DataFrame | None,
    subject: str,
    runs: dict[str, str],
) -> Markup:
    """The models, best first.

    Args:
        rows: as `app.dashboard.tables.leaderboard` returns it.
        metric, k: what the intervals, shares and differences are about.
        marks: as `app.dashboard.tables.differences` returns it; None while it is being computed.
        subject: name of the model that all others are compared with; "" if there is no such model.
        runs: model -> id of a run of it, to open.
    """
    chosen = f"{metric}@{k}"
    columns = [_model_column(runs)]
    for name in ("P", "MRR", "NDCG"):
        columns.append(_metric_column(rows, name, k, "n" if name == metric else "n tb-less"))
    columns.append(_interval_column(rows, metric, k))
    if rows.of_oracle.notna().any():
        columns.append(
            Column(
                "Of the oracle",
                lambda r: "–" if pd.isna(r.of_oracle) else f"{r.of_oracle:.0%}",
                lambda r: r.of_oracle,
                f"{chosen} as a share of the oracle’s",
            )
        )
    if subject:
        columns.append(
            Column(
                "Against TPAD",
                lambda r: _difference_cell(r.model, subject, marks),
                lambda r: _difference(r.model, marks),
                f"{chosen} minus TPAD’s",
            )
        )

    def kind(row: Any) -> str:
        if row.model == subject:
            return "tb-ours"
        return "tb-beyond" if row.role in ("reference", "oracle") else ""

    caption = f"Models by {chosen}"
    return table(rows, columns, "leaderboard", caption=caption, sorted_by=chosen, kind=kind)


def mark_note(count: int, *, done: int | None = None) -> str:
    """What the marks of significance mean.

    Args:
        count: number of tests shown.
        done: number of tests done, while they are being computed.
    """
    if done is not None:
        return f"Testing each model against TPAD: {done} of {count} …"
    return (
        f"† differs from TPAD with p below {SIGNIFICANCE:g}: paired permutation test over sessions, "
        f"two-sided, on means over seeds, corrected by Holm’s method for the {count} tests of this "
        "table. ± is the standard deviation over seeds."
    )


def _model_column(runs: dict[str, str]) -> Column:
    def cell(row: Any) -> Markup:
        kind = {IDS: "id", OURS: "ours"}.get(row.family, row.role)
        words = row.family.removeprefix("baseline, ")
        note = row.family if words != row.family else ROLE_NOTES.get(row.role, row.role)
        run = runs.get(row.model, "")
        return macros("dashboard/cells.html").model(row.place, row.title, run, kind, words, note)

    return Column("Model", cell, lambda r: r.title.lower(), style="w", down=False)


def _metric_column(rows: pd.DataFrame, name: str, k: int, style: str) -> Column:
    def mean(row: Any) -> float:
        return cell_of(row, name, rows)

    def cell(row: Any) -> Markup:
        deviation = cell_of(row, f"{name} deviation", rows)
        shown = None if pd.isna(deviation) else deviation
        return macros("dashboard/cells.html").metric(mean(row), shown)

    return Column(f"{name}@{k}", cell, mean, METRIC_NOTES[name], style)


def _interval_column(rows: pd.DataFrame, metric: str, k: int) -> Column:
    largest = float(rows[f"{metric} high"].max()) or 1.0

    def cell(row: Any) -> Markup:
        mean, low, high = (cell_of(row, metric + end, rows) for end in ("", " low", " high"))
        left, width = 100 * low / largest, max(100 * (high - low) / largest, 0.4)
        return macros("dashboard/cells.html").interval(
            f"{low:.3f} – {high:.3f}", left, width, 100 * mean / largest, row.family == OURS
        )

    note = f"Of {metric}@{k}: bootstrap over sessions, of the mean over seeds"
    return Column("95 % interval", cell, note=note, style="w tb-iv-cell")


def _difference(model: str, marks: pd.DataFrame | None) -> float:
    if marks is None or model not in marks.index:
        return float("nan")
    return float(marks.difference[model])


def _difference_cell(model: str, subject: str, marks: pd.DataFrame | None) -> str:
    if model == subject:
        return "–"
    if marks is None:
        return macros("dashboard/cells.html").pending()
    if model not in marks.index:
        return "–"
    row = marks.loc[model]
    words = f"{row.low:+.3f} – {row.high:+.3f}; p = {row.p:.4f}, corrected {row.p_corrected:.4f}"
    difference = f"{row.difference:+.3f}".replace("-", "−")
    return macros("dashboard/cells.html").difference(difference, words, bool(row.significant))

"""Results as tidy tables: one row a model, slice and metric; and these tables as CSV and LaTeX."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from eval.metrics import metric_names, oracle_ratio
from eval.results import ROLE_NOTE, Result
from eval.significance import over_seeds, seed_interval

COLUMNS = (
    "model", "role", "slice", "cases", "metric", "k", "seeds", "mean", "deviation", "low", "high",
    "of_oracle",
)  # fmt: skip


def results_frame(
    results: Sequence[Result], sessions: np.ndarray, masks: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """All figures of some models on some slices.

    Args:
        results: models with their ranks.
        sessions: (n_cases,) session of each case.
        masks: name of a slice -> (n_cases,) bool; empty ones are left out.

    Returns:
        `COLUMNS`: `mean` over seeds with its standard `deviation` (NaN for one seed), `low` and
        `high` of the 95 % interval (bootstrap over sessions, of the mean over seeds), and
        `of_oracle`, the share of the oracle's figure (NaN where there is no oracle).
    """
    names = metric_names()
    unknown = np.full(len(names), np.nan)
    oracle = next((result for result in results if result.role == "oracle"), None)
    rows = []
    for part, mask in masks.items():
        if not mask.any():
            continue
        best = None if oracle is None else oracle.values(mask).mean(0)  # (n, n_metrics)
        for result in results:
            values = result.values(mask)  # (n_seeds, n, n_metrics)
            mean, deviation = over_seeds(values)  # (n_metrics,) each
            bounds = seed_interval(values, sessions[mask])  # (n_metrics, 2)
            share = unknown if best is None else oracle_ratio(values.mean(0), best)  # (n_metrics,)
            of = result.name, result.role, part, int(mask.sum())
            figures = np.column_stack([mean, deviation, bounds, share])  # (n_metrics, 5)
            rows += [
                (*of, metric, k, len(values), *own)
                for (metric, k), own in zip(names, figures.tolist(), strict=True)
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def wide(frame: pd.DataFrame, part: str, metrics: Sequence[tuple[str, int]]) -> pd.DataFrame:
    """One slice for people: a row a model, a column a metric, as "0.617 ± 0.001".

    The best real model of each column is marked with a trailing asterisk.
    """
    shown = {}
    for metric, k in metrics:
        some = frame[(frame.slice == part) & (frame.metric == metric) & (frame.k == k)]
        real = some[~some.role.isin(list(ROLE_NOTE))]
        best = real["mean"].max()
        shown[f"{metric}@{k}"] = {
            row.model: _cell(row)
            + ("*" if row.mean == best > 0 and row.role not in ROLE_NOTE else "")
            for row in some.itertuples()
        }
    return pd.DataFrame(shown).rename_axis("model")


def latex(frame: pd.DataFrame, metrics: Sequence[tuple[str, int]], caption: str) -> str:
    """The slices below each other as one `tabular` for booktabs; best of each column in bold."""
    heads = " & ".join(f"{metric}@{k}" for metric, k in metrics)
    lines = [
        r"\begin{table}", r"\centering", rf"\caption{{{_escaped(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(metrics)}}}", r"\toprule", rf"model & {heads} \\",
    ]  # fmt: skip
    for part in frame.slice.unique():
        lines += [
            r"\midrule",
            rf"\multicolumn{{{len(metrics) + 1}}}{{l}}{{\emph{{{_escaped(part)} targets}}}} \\",
        ]
        for model, row in wide(frame, part, metrics).iterrows():
            cells = [
                rf"\textbf{{{c[:-1]}}}" if str(c).endswith("*") else str(c) for c in row.tolist()
            ]
            cells = [cell.replace("±", r"$\pm$") for cell in cells]
            lines.append(rf"{_escaped(str(model))} & {' & '.join(cells)} \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _cell(row) -> str:
    text = f"{row.mean:.3f}"
    return text if np.isnan(row.deviation) else f"{text} ± {row.deviation:.3f}"


def _escaped(text: str) -> str:
    for sign in "&%$#_{}":
        text = text.replace(sign, "\\" + sign)
    return text

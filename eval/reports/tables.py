"""Results as tidy tables with one row per model, slice and metric; also as LaTeX."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from eval.metrics.averaging import CASE, MEANS, averaged
from eval.metrics.ranks import HITS, metric_names, oracle_ratio
from eval.metrics.significance import bootstrap_interval, over_seeds, ratio_interval
from eval.runs.results import HEADLINES, LEAVE_ONE_OUT_HEADLINES, ROLE_NOTE, Result

COLUMNS = (
    "model",
    "role",
    "slice",
    "cases",
    "sessions",
    "averaged_over",
    "metric",
    "k",
    "seeds",
    "mean",
    "deviation",
    "low",
    "high",
    "of_oracle",
    "of_oracle_low",
    "of_oracle_high",
)
MARK = "*"
"""Suffix of the best cell of a column."""


def results_frame(
    results: Sequence[Result],
    sessions: np.ndarray,
    masks: Mapping[str, np.ndarray],
    mean: str = CASE,
) -> pd.DataFrame:
    """All metrics of models on slices.

    Args:
        results: models with their ranks.
        sessions: (n_cases,) session of each case.
        masks: name of a slice -> (n_cases,) bool; empty slices are left out.
        mean: whether metrics are averaged over "case" or "session", see `eval.metrics.averaging`.

    Returns:
        A table with `COLUMNS`: `averaged_over` is "cases" or "sessions"; `mean` is over seeds too, and
        `deviation` is its standard deviation over seeds (NaN for one seed); `low` and `high` are the
        95 % interval (bootstrap over sessions, of the mean over seeds); `of_oracle` is the share of
        the oracle's mean, with the interval `of_oracle_low` and `of_oracle_high` (NaN without oracle).
    """
    names = metric_names()
    oracle = next((i for i, result in enumerate(results) if result.role == "oracle"), None)
    rows = []
    for part, mask in masks.items():
        if not (len(results) and mask.any()):
            continue
        # (n_seeds, n, n_metrics) each; from here on n is the number of cases or of sessions.
        pairs = [averaged(one.values(mask), sessions[mask], mean, axis=1) for one in results]
        values, of_session = [value for value, _ in pairs], pairs[0][1]
        mean_values = [value.mean(0) for value in values]  # (n, n_metrics) each
        # One call for all models: drawing the resamples takes most of the time.
        joined = np.concatenate(mean_values, axis=1)  # (n, n_models · n_metrics)
        bounds = bootstrap_interval(joined, of_session).reshape(len(results), -1, 2)
        shares = np.full((len(results), len(names), 3), np.nan)  # ratio, low, high
        if oracle is not None:
            best = np.tile(mean_values[oracle], (1, len(results)))  # shaped as `joined`
            shares[..., 0] = oracle_ratio(joined, best).reshape(len(results), -1)
            shares[..., 1:] = ratio_interval(joined, best, of_session).reshape(len(results), -1, 2)
        for i, result in enumerate(results):
            found, deviation = over_seeds(values[i])  # (n_metrics,) each
            figures = np.column_stack([found, deviation, bounds[i], shares[i]])  # (n_metrics, 7)
            counts = int(mask.sum()), len(np.unique(of_session))
            of = result.name, result.role, part, *counts, MEANS[mean]
            rows += [
                (*of, metric, k, len(values[i]), *own)
                for (metric, k), own in zip(names, figures.tolist(), strict=True)
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def headlines(frame: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    """The metrics that are shown first; with one case per session also those of leave-one-out."""
    return HEADLINES + (LEAVE_ONE_OUT_HEADLINES if one_per_session(frame) else ())


def one_per_session(frame: pd.DataFrame) -> bool:
    """Whether no session has two cases, as in leave-one-out."""
    return bool((frame.cases == frame.sessions).all())


def wide(
    frame: pd.DataFrame,
    part: str,
    metrics: Sequence[tuple[str, int]],
    *,
    with_intervals: bool = False,
    digits: int = 3,
) -> pd.DataFrame:
    """One slice as text: a row per model, a column per metric, as "0.617 ± 0.001".

    The best model of each column, except references and oracle, is marked with a trailing `MARK`. With
    intervals a cell is "0.617 (0.606–0.628)", always of three digits.
    """
    text = _interval_cell if with_intervals else partial(_cell, digits=digits)
    shown = {}
    for metric, some in _by_metric(frame, part, metrics):
        real = some[~some.role.isin(list(ROLE_NOTE))]
        best = real["mean"].max()
        shown[metric] = {
            row.model: text(row)
            + (MARK if row.mean == best > 0 and row.role not in ROLE_NOTE else "")
            for row in some.itertuples()
        }
    return pd.DataFrame(shown).rename_axis("model")


def intervals(frame: pd.DataFrame, part: str, metrics: Sequence[tuple[str, int]]) -> pd.DataFrame:
    """The 95 % intervals of one slice, as "0.606–0.628"; rows and columns as in `wide`."""
    return _texts(frame, part, metrics, lambda row: f"{row.low:.3f}–{row.high:.3f}")


def shares(frame: pd.DataFrame, part: str, metrics: Sequence[tuple[str, int]]) -> pd.DataFrame:
    """Shares of the oracle's means on one slice with 95 % intervals, as "86 % (85–88)".

    Rows and columns as in `wide`; the table is empty without an oracle.
    """
    if frame.of_oracle.isna().all():
        return pd.DataFrame()
    return _texts(frame, part, metrics, _share)


def _texts(
    frame: pd.DataFrame,
    part: str,
    metrics: Sequence[tuple[str, int]],
    text: Callable[[Any], str],
) -> pd.DataFrame:
    shown = {
        metric: {row.model: text(row) for row in some.itertuples()}
        for metric, some in _by_metric(frame, part, metrics)
    }
    return pd.DataFrame(shown).rename_axis("model")


def _by_metric(
    frame: pd.DataFrame, part: str, metrics: Sequence[tuple[str, int]]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Metrics such as "P@20", each with the rows of its models on a slice."""
    of_part = frame[frame.slice == part]
    for metric, k in metrics:
        name = HITS[0] if metric in HITS else metric
        yield f"{metric}@{k}", of_part[(of_part.metric == name) & (of_part.k == k)]


def _share(row: Any) -> str:
    if np.isnan(row.of_oracle):
        return "–"
    text = f"{100 * row.of_oracle:.0f} %"
    if row.role == "oracle" or row.of_oracle == 0 or np.isnan(row.of_oracle_low):
        return text
    return f"{text} ({100 * row.of_oracle_low:.0f}–{100 * row.of_oracle_high:.0f})"


def latex(frame: pd.DataFrame, metrics: Sequence[tuple[str, int]], caption: str) -> str:
    """All slices in one `tabular` for booktabs; the best of each column is bold."""
    heads = " & ".join(f"{metric}@{k}" for metric, k in metrics)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escaped(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(metrics)}}}",
        r"\toprule",
        rf"model & {heads} \\",
    ]
    for part in frame.slice.unique():
        lines += [
            r"\midrule",
            rf"\multicolumn{{{len(metrics) + 1}}}{{l}}{{\emph{{{_escaped(part)} targets}}}} \\",
        ]
        for model, row in wide(frame, part, metrics).iterrows():
            cells = [
                rf"\textbf{{{c.removesuffix(MARK)}}}" if str(c).endswith(MARK) else str(c)
                for c in row.tolist()
            ]
            cells = [cell.replace("±", r"$\pm$") for cell in cells]
            lines.append(rf"{_escaped(str(model))} & {' & '.join(cells)} \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _cell(row: Any, digits: int) -> str:
    text = f"{row.mean:.{digits}f}"
    return text if np.isnan(row.deviation) else f"{text} ± {row.deviation:.{digits}f}"


def _interval_cell(row: Any) -> str:
    return f"{row.mean:.3f} ({row.low:.3f}–{row.high:.3f})"


def _escaped(text: str) -> str:
    for sign in "&%$#_{}":
        text = text.replace(sign, "\\" + sign)
    return text

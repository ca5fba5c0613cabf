"""What the dashboard shows, as tables: pure functions from an evaluation to DataFrames."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from app.dashboard.families import ABLATION, ORACLE, REFERENCE, family, shown_models
from app.shell.evaluation import Evaluation
from app.shell.names import model_title
from eval.metrics.ranks import metric_names
from eval.metrics.slices import informative, kind_of
from eval.models.naming import FULL, SUBJECT, VARIANT
from eval.runs.comparison import corrected
from eval.runs.results import HEADLINES
from eval.runs.slice_comparison import SliceComparison
from tpad.training.ablations.definitions import ABLATIONS

METRICS = [f"{metric}@{k}" for metric, k in metric_names()]
DEFAULT_METRIC = "MRR@20"
HEADLINE_METRICS = [f"{metric}@{k}" for metric, k in HEADLINES]
SIGNIFICANCE = 0.05
"""Corrected p-value below which a difference is marked."""
MIN_CASES = 10
"""Number of cases that a slice needs to be drawn."""
MIN_SECONDS = 0.01
"""Shorter times are drawn at this value, because a logarithmic axis has no zero."""


def leaderboard(
    evaluation: Evaluation, part: str, metric: str, k: int, *, extras: bool = False
) -> pd.DataFrame:
    """One row per model, the best by `metric` first.

    Returns:
        model, title, role, family, cases, sessions, averaged_over, seeds; for each of P, MRR and
        NDCG (at `k`) "<name>", "<name> deviation", "<name> low" and "<name> high"; of_oracle,
        of_oracle_low, of_oracle_high of `metric`; place (from 1; 0 for references and the oracle).
    """
    frame = evaluation.frame(part)
    frame = frame[frame.model.isin(shown_models(evaluation, extras)) & (frame.k == k)]
    rows = []
    for name, own in frame.groupby("model", sort=False):
        by_metric = own.set_index("metric")
        first = by_metric.iloc[0]
        row: dict[str, Any] = {
            "model": name,
            "title": model_title(name),
            "role": first.role,
            "family": family(name, first.role),
            "cases": first.cases,
            "sessions": first.sessions,
            "averaged_over": first.averaged_over,
            "seeds": first.seeds,
        }
        for one, figure in by_metric.iterrows():
            row |= {
                one: figure["mean"],
                f"{one} deviation": figure.deviation,
                f"{one} low": figure.low,
                f"{one} high": figure.high,
            }
        chosen = by_metric.loc[metric]
        row |= {name: chosen[name] for name in ("of_oracle", "of_oracle_low", "of_oracle_high")}
        rows.append(row)
    table = pd.DataFrame(rows).sort_values(metric, ascending=False, kind="stable")
    real = ~table.family.isin([REFERENCE, ORACLE])
    return table.assign(place=np.where(real, real.cumsum(), 0)).reset_index(drop=True)


def differences(found: Sequence[SliceComparison]) -> pd.DataFrame:
    """The difference of each other model to the subject.

    Returns:
        Columns model, difference, low, high, p, p_corrected, significant; the index is the model too.
    """
    rows = [
        (
            one.other,
            -one.comparison.difference,
            -one.comparison.high,
            -one.comparison.low,
            one.comparison.p_value,
            one.comparison.p_corrected,
        )
        for one in found
    ]
    columns = ["model", "difference", "low", "high", "p", "p_corrected"]
    table = pd.DataFrame(rows, columns=columns).set_index("model", drop=False).rename_axis(None)
    return table.assign(significant=table.p_corrected.astype(float) < SIGNIFICANCE)


def corrected_together(found: Sequence[SliceComparison]) -> list[SliceComparison]:
    """The same comparisons, with p-values corrected over all of them."""
    again = corrected([one.comparison for one in found])
    return [replace(one, comparison=own) for one, own in zip(found, again, strict=True)]


def metric_by_model(
    evaluation: Evaluation, part: str, metric: str, k: int, models: Sequence[str] | None = None
) -> pd.DataFrame:
    """One metric of each model on a slice.

    Returns:
        Columns model, title, role, family, slice, cases, mean, low, high.
    """
    frame = evaluation.frame(part, models)
    own = frame[(frame.metric == metric) & (frame.k == k)].reset_index(drop=True)
    return own.assign(
        title=own.model.map(model_title),
        family=[family(n, r) for n, r in zip(own.model, own.role, strict=True)],
    )[["model", "title", "role", "family", "slice", "cases", "mean", "low", "high"]]


def warm_cold(evaluation: Evaluation, metric: str, k: int, *, extras: bool = False) -> pd.DataFrame:
    """One row per model: model, title, role, family, warm, warm_low, warm_high, cold, ….

    Empty if the cases are not of both kinds.
    """
    models = shown_models(evaluation, extras)
    if not {"warm", "cold"} <= set(evaluation.masks):
        return pd.DataFrame()
    both = []
    for part in ("warm", "cold"):
        own = metric_by_model(evaluation, part, metric, k)
        own = own[own.model.isin(models)].rename(
            columns={"mean": part, "low": f"{part}_low", "high": f"{part}_high"}
        )
        both.append(own.drop(columns=["slice", "cases"]))
    return both[0].merge(both[1].drop(columns=["title", "role", "family"]), on="model")


def by_slices(
    evaluation: Evaluation, kind: str, metric: str, k: int, models: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """One metric of some models on the slices of a kind, and the slices that are too small.

    Returns:
        Columns of `metric_by_model`, and `bin` (the slice without its kind), slice by slice.
    """
    parts = [name for name in informative(evaluation.masks) if kind_of(name) == kind]
    large = [name for name in parts if evaluation.masks[name].sum() >= MIN_CASES]
    tables = [
        metric_by_model(evaluation, name, metric, k, models).assign(
            bin=name.removeprefix(f"{kind} ")
        )
        for name in large
    ]
    small = [
        f"{n.removeprefix(f'{kind} ')} ({evaluation.masks[n].sum()} cases)"
        for n in parts
        if n not in large
    ]
    return (pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()), small


def ablations(evaluation: Evaluation) -> tuple[str, list[str]]:
    """Names of the whole method and of its ablations."""
    whole = VARIANT + FULL if VARIANT + FULL in evaluation.by_name else SUBJECT
    return whole, [
        r.name for r in evaluation.results if family(r.name, r.role) == ABLATION and r.name != whole
    ]


def ablation_table(own: Sequence[SliceComparison]) -> pd.DataFrame:
    """The change by each ablation, the greatest loss (by MRR) first.

    Args:
        own: comparisons of the whole method with each ablation, on one slice.

    Returns:
        Columns model, title, metric, k, whole (the metric of the whole method), difference, low, high,
        p, p_corrected, significant.
    """
    table = differences(own).reset_index(drop=True)
    table.insert(1, "title", [_without(one.other) for one in own])
    table.insert(2, "metric", [one.metric for one in own])
    table.insert(3, "k", [one.k for one in own])
    table.insert(4, "whole", [one.comparison.first for one in own])
    order = table[table.metric == "MRR"].set_index("model").difference
    return table.sort_values("difference", key=lambda _: table.model.map(order), kind="stable")


def costs(
    evaluation: Evaluation, part: str, metric: str, k: int, *, extras: bool = False
) -> pd.DataFrame:
    """Columns of `metric_by_model`, fit_seconds and score_seconds (means over runs).

    The oracle, which is not fitted, and imported models are left out.
    """
    models = [
        name
        for name in shown_models(evaluation, extras)
        if evaluation.by_name[name].role != "oracle" and evaluation.by_name[name].imported is None
    ]
    table = metric_by_model(evaluation, part, metric, k)
    table = table[table.model.isin(models)].reset_index(drop=True)
    results = [evaluation.by_name[name] for name in table.model]
    return table.assign(
        fit_seconds=[result.fit_seconds for result in results],
        score_seconds=[result.score_seconds for result in results],
    )


def _without(name: str) -> str:
    what = name.removeprefix(VARIANT)
    return ABLATIONS[what][0] if what in ABLATIONS else what

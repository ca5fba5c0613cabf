"""What the dashboard shows, as tables: pure functions from results to DataFrames."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app.shell.names import model_title
from app.shell.results import Outcome
from eval.database.records import RunInfo
from eval.metrics.ranks import metric_names
from eval.metrics.slices import KINDS, informative, kind_of
from eval.models.naming import FULL, SUBJECT, VARIANT
from eval.runs.comparison import corrected
from eval.runs.results import HEADLINES
from eval.runs.slice_comparison import SliceComparison, best_baseline
from tpad.training.ablations.definitions import ABLATIONS

METRICS = [f"{metric}@{k}" for metric, k in metric_names()]
DEFAULT_METRIC = "MRR@20"
HEADLINE_METRICS = [f"{metric}@{k}" for metric, k in HEADLINES]
SURE = 0.05
"""Corrected p-value below which a difference is marked."""
FEWEST = 10
"""Cases that a slice needs to be drawn."""
HANDFUL = 6
"""Models that are drawn beside each other at most."""
SHORTEST = 0.01
"""Seconds: what was fitted faster is drawn here, as a logarithmic axis has no zero."""

IDS, CONTENT, OURS, ABLATION, REFERENCE, ORACLE = (
    "baseline, item IDs",
    "baseline, content",
    "TPAD",
    "ablation",
    "reference",
    "oracle",
)
FAMILIES = (IDS, CONTENT, OURS, ABLATION, REFERENCE, ORACLE)
"""Kinds of models, in the order of a legend."""
EXTRAS = (ABLATION, REFERENCE)
"""Families that are left out unless they are asked for."""


def family(name: str, role: str) -> str:
    """Which of `FAMILIES` a model belongs to."""
    if role == "baseline":
        return IDS if _knows_ids(name) else CONTENT
    if role == "tpad":
        return ABLATION if name.startswith(VARIANT) else OURS
    return REFERENCE if role == "reference" else ORACLE


def _knows_ids(name: str) -> bool:
    from eval.baselines.registry import BASELINES  # brings torch, which the page starts without

    return name in BASELINES


def shown_models(outcome: Outcome, extras: bool) -> list[str]:
    """Names of the models of a table, with or without `EXTRAS`."""
    return [r.name for r in outcome.results if extras or family(r.name, r.role) not in EXTRAS]


def part_title(name: str) -> str:
    """A slice in words."""
    words = {
        "all": "All targets",
        "warm": "Warm targets, clicked in training",
        "cold": "Cold targets, never clicked in training",
        "held out": "Held-out targets",
        "few shot": "Few-shot targets",
        "repeat": "Targets that the session holds",
        "no repeat": "Targets that are new to the session",
        "other categories": "Targets of other categories",
        "no category": "Targets without category",
    }
    if name in words:
        return words[name]
    kind, _, rest = name.partition(" ")
    form = {
        "length": "Sessions of {} items",
        "frequency": "Targets with {} training clicks",
        "category": "Targets of category {}",
    }.get(kind, "{}")
    title = form.format(rest or name)
    return title.replace(" 1 items", " 1 item")


def part_choices(outcome: Outcome, *, main: bool = False) -> list[tuple[str, str]]:
    """Slices to choose from, as (words, name).

    Args:
        main: only those by what the target is.
    """
    return [
        (f"{part_title(name)} ({int(mask.sum()):,})", name)
        for name, mask in informative(outcome.masks).items()
        if not main or kind_of(name) is None
    ]


def kinds_of(outcome: Outcome) -> list[tuple[str, str]]:
    """Kinds of finer slices that divide the cases, as (words, kind)."""
    found = [kind_of(name) for name in informative(outcome.masks)]
    return [(f"By {words}", kind) for kind, words in KINDS.items() if kind in found]


def handful(outcome: Outcome) -> list[str]:
    """Models worth a look beside each other: TPAD, the best baseline by ID, the best others."""
    everything = np.ones(len(outcome.selection.cases), bool)
    by_id = [r for r in outcome.results if _knows_ids(r.name)]
    others = [r for r in outcome.results if not _knows_ids(r.name)]
    best = [best_baseline(some, everything, "MRR", 20) for some in (others, by_id)]
    names = [SUBJECT, *(r.name for r in best if r is not None), "oracle"]
    chosen = [name for name in names if name in outcome.by_name]
    return chosen or list(outcome.by_name)[:HANDFUL]


def leaderboard(
    outcome: Outcome, part: str, metric: str, k: int, *, extras: bool = False
) -> pd.DataFrame:
    """One row a model, the best by `metric` first.

    Returns:
        model, title, role, family, cases, sessions, averaged_over, seeds; for each of P, MRR and NDCG (at `k`) "<name>",
        "<name> deviation", "<name> low" and "<name> high"; of_oracle, of_oracle_low,
        of_oracle_high of `metric`; place (from 1; 0 for references and the oracle).
    """
    frame = outcome.frame(part)
    frame = frame[frame.model.isin(shown_models(outcome, extras)) & (frame.k == k)]
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
    """Each rival less the subject.

    Returns:
        Columns model, difference, low, high, p, p_corrected, sure; the index is the model too.
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
    return table.assign(sure=table.p_corrected.astype(float) < SURE)


def together(found: Sequence[SliceComparison]) -> list[SliceComparison]:
    """The same contests, their p-values corrected over all of them."""
    again = corrected([one.comparison for one in found])
    return [replace(one, found=own) for one, own in zip(found, again, strict=True)]


def figures_of(
    outcome: Outcome, part: str, metric: str, k: int, models: Sequence[str] | None = None
) -> pd.DataFrame:
    """One figure of each model on a slice: model, title, role, family, cases, mean, low, high."""
    frame = outcome.frame(part, models)
    own = frame[(frame.metric == metric) & (frame.k == k)].reset_index(drop=True)
    return own.assign(
        title=own.model.map(model_title),
        family=[family(n, r) for n, r in zip(own.model, own.role, strict=True)],
    )[["model", "title", "role", "family", "slice", "cases", "mean", "low", "high"]]


def warm_cold(outcome: Outcome, metric: str, k: int, *, extras: bool = False) -> pd.DataFrame:
    """One row a model: model, title, role, family, and warm, warm_low, warm_high, cold, ….

    Empty where the cases are not of both kinds.
    """
    models = shown_models(outcome, extras)
    if not {"warm", "cold"} <= set(outcome.masks):
        return pd.DataFrame()
    both = []
    for part in ("warm", "cold"):
        own = figures_of(outcome, part, metric, k)
        own = own[own.model.isin(models)].rename(
            columns={"mean": part, "low": f"{part}_low", "high": f"{part}_high"}
        )
        both.append(own.drop(columns=["slice", "cases"]))
    return both[0].merge(both[1].drop(columns=["title", "role", "family"]), on="model")


def by_slices(
    outcome: Outcome, kind: str, metric: str, k: int, models: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Figures of some models on the slices of a kind, and the slices that are too small for it.

    Returns:
        Columns of `figures_of`, and `bin` (the slice without its kind); slice by slice.
    """
    parts = [name for name in informative(outcome.masks) if kind_of(name) == kind]
    large = [name for name in parts if outcome.masks[name].sum() >= FEWEST]
    tables = [
        figures_of(outcome, name, metric, k, models).assign(bin=name.removeprefix(f"{kind} "))
        for name in large
    ]
    small = [
        f"{n.removeprefix(f'{kind} ')} ({outcome.masks[n].sum()} cases)"
        for n in parts
        if n not in large
    ]
    return (pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()), small


def ablations(outcome: Outcome) -> tuple[str, list[str]]:
    """The whole method and its ablations, as `eval.runs.slice_comparison.compare_with_ablations` pairs them."""
    whole = VARIANT + FULL if VARIANT + FULL in outcome.by_name else SUBJECT
    return whole, [
        r.name for r in outcome.results if family(r.name, r.role) == ABLATION and r.name != whole
    ]


def ablation_table(own: Sequence[SliceComparison]) -> pd.DataFrame:
    """What each ablation loses or gains, the greatest loss (by MRR) first.

    Args:
        own: the whole method against each ablation, on one slice.

    Returns:
        Columns model, title, metric, k, whole (the whole method's figure), difference, low, high,
        p, p_corrected, sure.
    """
    table = differences(own).reset_index(drop=True)
    table.insert(1, "title", [_without(one.other) for one in own])
    table.insert(2, "metric", [one.metric for one in own])
    table.insert(3, "k", [one.k for one in own])
    table.insert(4, "whole", [one.comparison.first for one in own])
    order = table[table.metric == "MRR"].set_index("model").difference
    return table.sort_values("difference", key=lambda _: table.model.map(order), kind="stable")


def costs(
    outcome: Outcome, part: str, metric: str, k: int, *, extras: bool = False
) -> pd.DataFrame:
    """Columns of `figures_of`, and fit_seconds and score_seconds: means over runs.

    Without the oracle, which is not fitted, and models that were run elsewhere.
    """
    models = [
        name
        for name in shown_models(outcome, extras)
        if outcome.by_name[name].role != "oracle" and outcome.by_name[name].imported is None
    ]
    table = figures_of(outcome, part, metric, k)
    table = table[table.model.isin(models)].reset_index(drop=True)
    results = [outcome.by_name[name] for name in table.model]
    return table.assign(
        fit_seconds=[result.fit_seconds for result in results],
        score_seconds=[result.score_seconds for result in results],
    )


def epochs(recommenders: Mapping[str, Any], titles: Mapping[str, str]) -> pd.DataFrame:
    """Training of the session recommenders over each set: set, title, epoch, loss, validation.

    Args:
        recommenders: name -> anything with a `history` of `EpochReport`s.
        titles: human name of each set.
    """
    rows = [
        (name, titles.get(name, name), report.epoch, report.loss, report.validation)
        for name in recommenders
        for report in recommenders[name].history
    ]
    return pd.DataFrame(rows, columns=["set", "title", "epoch", "loss", "validation"])


def read_stages(path: Path) -> pd.DataFrame:
    """The training's own log, one row a number of an epoch; empty where there is none.

    A stage that was trained more than once, as for ablations, gets a number behind its name from
    its second training on. Lines that are no epoch are passed over.

    Returns:
        Columns stage, epoch, quantity, value.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    last: dict[str, tuple[int, int]] = {}  # stage -> its last epoch and its number
    rows = []
    for line in lines:
        try:
            record = json.loads(line)
            stage, epoch = str(record["stage"]), int(record["epoch"])
        except (ValueError, TypeError, KeyError):
            continue  # such as a line that is being written
        before, number = last.get(stage, (0, 1))
        number += epoch <= before
        last[stage] = epoch, number
        name = stage if number == 1 else f"{stage} ({number})"
        rows += [
            (name, epoch, quantity, float(value))
            for quantity, value in record.items()
            if quantity not in ("time", "epoch")
            and isinstance(value, int | float)
            and not isinstance(value, bool)
        ]
    return pd.DataFrame(rows, columns=["stage", "epoch", "quantity", "value"])


def run_table(runs: Iterable[RunInfo]) -> pd.DataFrame:
    """Runs, the newest first: run, model, title, role, seed, status, started, seconds, commit, on.

    `seconds` are from start to end, NaN for a run that goes on.
    """
    rows = [
        (
            run.id,
            run.model,
            model_title(run.model),
            run.role,
            run.seed,
            run.status,
            run.started,
            np.nan if run.ended is None else (run.ended - run.started).total_seconds(),
            run.commit,
            run.dataset + (f", {run.split}" if run.split else ""),
        )
        for run in runs
    ]
    columns = [
        "run",
        "model",
        "title",
        "role",
        "seed",
        "status",
        "started",
        "seconds",
        "commit",
        "on",
    ]
    return pd.DataFrame(rows[::-1], columns=columns)


def worst_cases(ranks: np.ndarray, mask: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the cases of a slice with the largest ranks; those not found come last.

    Args:
        ranks: (n_cases,), inf is not found.
        mask: (n_cases,) bool.
        count: at most so many.
    """
    rows = np.flatnonzero(mask)
    own = ranks[rows].astype(np.float64)
    found = np.isfinite(own)
    order = np.lexsort((rows, np.where(found, -own, 0.0), ~found))
    return rows[order][:count]


def _without(name: str) -> str:
    what = name.removeprefix(VARIANT)
    return ABLATIONS[what][0] if what in ABLATIONS else what

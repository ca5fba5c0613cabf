"""Evaluates a fitted model: ranks, metrics of its lists, unclicked items, and calibration."""

import time
from dataclasses import dataclass

import numpy as np

from eval.metrics.calibration import calibration, temperature_of
from eval.metrics.frontier import Frontier, frontier_of
from eval.metrics.lists import item_values, list_metrics
from eval.metrics.ranking import Ranking, rank_all
from eval.metrics.ranks import Ranks, case_values
from eval.metrics.significance import bootstrap_interval
from eval.metrics.slice_metrics import MetricValue
from eval.protocol import SLICES, RankingModel, TestCases
from tpad import Dataset

LIST_LENGTH = 20
"""Length of the lists that are evaluated."""
LIST_METRICS = ("coverage", "gini", "popularity", "popularity_percentile", "novelty", "diversity")
UNCLICKED_METRICS = ("unclicked_share", "unclicked_P", "unclicked_MRR", "frontier_area")
"""Share of unclicked items in the lists; P and MRR of cold targets among unclicked items alone; area of
the frontier. The second and third are of cold targets, and missing if a model scores no unclicked item."""
CALIBRATION_METRICS = ("ece", "brier", "first_brier", "log_likelihood", "impossible", "temperature")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results of one model on one set of cases.

    Attributes:
        ranks: of the n_cases targets.
        metrics: of the lists and of unclicked items (k is `LIST_LENGTH`), and of calibration on all
            cases and on those with a warm or a cold target (k is 0); undefined ones are left out.
        seconds: time to rank all cases.
        frontier: of P at `LIST_LENGTH`; None if all targets are warm, or all are cold.
    """

    ranks: Ranks
    metrics: tuple[MetricValue, ...]
    seconds: float
    frontier: Frontier | None = None


def evaluate(
    model: RankingModel,
    dataset: Dataset,
    cases: TestCases,
    validation: TestCases,
    features: np.ndarray | None = None,
) -> Evaluation:
    """Ranks all cases with a fitted model.

    Args:
        model: fitted.
        dataset: the dataset it was fitted on.
        cases: the test cases.
        validation: cases of the validation sessions, made in the same way; the temperature is fitted
            on them.
        features: (n_items, d) used to compute diversity.
    """
    n_items = len(dataset)
    temperature = temperature_of(model, validation, n_items)
    start = time.perf_counter()
    unclicked = dataset.cold if dataset.cold.any() and model.can_score_new_items else None
    ranking = rank_all(
        model, cases, n_items, k=LIST_LENGTH, temperature=temperature, unclicked=unclicked
    )
    seconds = time.perf_counter() - start
    lists = list_metrics(ranking.lists, dataset.popularity, features)
    metrics = [MetricValue("all", name, LIST_LENGTH, value) for name, value in lists.items()]
    metrics += _unclicked_metrics(ranking, cases, dataset.cold)
    frontier, area = _frontier(ranking, cases)
    metrics.append(MetricValue("all", "frontier_area", LIST_LENGTH, area))
    for part in SLICES:
        values = calibration(ranking, mask=cases.slice(part)).metrics()
        if part != "all":
            del values["temperature"]  # the same for all cases
        metrics += [MetricValue(part, name, 0, value) for name, value in values.items()]
    defined = tuple(metric for metric in metrics if np.isfinite(metric.value))
    return Evaluation(ranking.ranks, defined, seconds, frontier)


def _unclicked_metrics(
    ranking: Ranking, cases: TestCases, unclicked: np.ndarray
) -> list[MetricValue]:
    """The share of unclicked items in the lists, and how cold targets rank among them alone.

    Args:
        ranking: of the cases.
        cases: the cases.
        unclicked: (n_items,) bool.
    """
    if not unclicked.any():
        return []
    shares = item_values(ranking.lists, unclicked)  # (n,), NaN for an empty list
    found = [_with_interval("all", "unclicked_share", shares, cases.session)]
    if ranking.by_kind is not None and cases.cold.any():
        own = ranking.by_kind.own[cases.cold]
        for metric in ("P", "MRR"):
            values = case_values(own, metric, LIST_LENGTH)
            session = cases.session[cases.cold]
            found.append(_with_interval("cold", f"unclicked_{metric}", values, session))
    return found


def _with_interval(part: str, name: str, values: np.ndarray, sessions: np.ndarray) -> MetricValue:
    """The mean over the cases (n,) for which a value is defined, with its interval."""
    some = ~np.isnan(values)
    if not some.any():
        return MetricValue(part, name, LIST_LENGTH, float("nan"))
    low, high = bootstrap_interval(values[some], sessions[some])
    mean = float(values[some].mean())
    return MetricValue(part, name, LIST_LENGTH, mean, float(low), float(high))


def _frontier(ranking: Ranking, cases: TestCases) -> tuple[Frontier | None, float]:
    """The frontier and its area; None and NaN if all targets are warm, or all are cold.

    A model that scores no unclicked item has the point of its ranks.
    """
    if cases.cold.all() or not cases.cold.any():
        return None, float("nan")
    if ranking.by_kind is not None:
        return frontier_of(ranking.by_kind)
    values = case_values(ranking.ranks, "P", LIST_LENGTH)
    warm, cold = float(values[~cases.cold].mean()), float(values[cases.cold].mean())
    return Frontier.point(warm, cold, 0.0), warm * cold

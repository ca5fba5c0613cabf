"""Evaluates a fitted model: ranks, metrics of its lists, and calibration."""

import time
from dataclasses import dataclass

import numpy as np

from eval.metrics.calibration import calibration, temperature_of
from eval.metrics.lists import list_metrics
from eval.metrics.ranking import rank_all
from eval.metrics.ranks import Ranks
from eval.metrics.slice_metrics import MetricValue
from eval.protocol import SLICES, RankingModel, TestCases
from tpad import Dataset

LIST_LENGTH = 20
"""Length of the lists that are evaluated."""
LIST_METRICS = ("coverage", "gini", "popularity", "popularity_percentile", "novelty", "diversity")
CALIBRATION_METRICS = ("ece", "brier", "first_brier", "log_likelihood", "impossible", "temperature")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results of one model on one set of cases.

    Attributes:
        ranks: of the n_cases targets.
        metrics: of the lists on all cases (k is `LIST_LENGTH`), and of calibration on all cases and
            on those with a warm or a cold target (k is 0); undefined ones are left out.
        seconds: time to rank all cases.
    """

    ranks: Ranks
    metrics: tuple[MetricValue, ...]
    seconds: float


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
    ranking = rank_all(model, cases, n_items, k=LIST_LENGTH, temperature=temperature)
    seconds = time.perf_counter() - start
    lists = list_metrics(ranking.lists, dataset.popularity, features)
    metrics = [MetricValue("all", name, LIST_LENGTH, value) for name, value in lists.items()]
    for part in SLICES:
        values = calibration(ranking, mask=cases.slice(part)).metrics()
        if part != "all":
            del values["temperature"]  # the same for all cases
        metrics += [MetricValue(part, name, 0, value) for name, value in values.items()]
    defined = tuple(metric for metric in metrics if np.isfinite(metric.value))
    return Evaluation(ranking.ranks, defined, seconds)

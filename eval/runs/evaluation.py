"""Everything that is stored of a fitted model: ranks, figures of its lists, and calibration."""

import time
from dataclasses import dataclass

import numpy as np

from eval.metrics.calibration import calibration, temperature_of
from eval.metrics.lists import list_figures
from eval.metrics.ranking import rank_all
from eval.metrics.ranks import Ranks
from eval.metrics.slice_metrics import Figure
from eval.protocol import SLICES, RankingModel, TestCases
from tpad import Dataset

SHOWN = 20
"""Length of the lists that are looked at."""
LIST_FIGURES = ("coverage", "gini", "popularity", "popularity_percentile", "novelty", "diversity")
CALIBRATION_FIGURES = ("ece", "brier", "first_brier", "log_likelihood", "impossible", "temperature")


@dataclass(frozen=True, eq=False)
class Measured:
    """What one model did on one set of cases.

    Attributes:
        ranks: of the n_cases targets.
        figures: of the lists on all cases (k is `SHOWN`), and of calibration on all cases, on those
            with a warm and those with a cold target (k is 0).
        seconds: of ranking all cases.
    """

    ranks: Ranks
    figures: tuple[Figure, ...]
    seconds: float


def measure(
    model: RankingModel,
    dataset: Dataset,
    cases: TestCases,
    validation: TestCases,
    features: np.ndarray | None = None,
) -> Measured:
    """Asks a fitted model all cases.

    Args:
        model: fitted.
        dataset: what it was fitted on.
        cases: the test cases.
        validation: cases of the validation sessions, made as the others were; they settle the
            temperature.
        features: (n_items, d) by which diversity is measured.
    """
    n_items = len(dataset)
    temperature = temperature_of(model, validation, n_items)
    start = time.perf_counter()
    ranking = rank_all(model, cases, n_items, k=SHOWN, temperature=temperature)
    seconds = time.perf_counter() - start
    lists = list_figures(ranking.lists, dataset.popularity, features)
    found = [Figure("all", name, SHOWN, value) for name, value in lists.items()]
    for part in SLICES:
        of_part = calibration(ranking, mask=cases.slice(part)).figures()
        if part != "all":
            del of_part["temperature"]  # one for all cases
        found += [Figure(part, name, 0, value) for name, value in of_part.items()]
    # Where a figure cannot be told, it is left out.
    told = tuple(figure for figure in found if np.isfinite(figure.value))
    return Measured(ranking.ranks, told, seconds)

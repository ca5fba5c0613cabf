"""The results of one model on one set of cases over all seeds; every table has one row per result."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from eval.metrics.frontier import Frontier
from eval.metrics.ranks import Ranks, all_case_values, case_values

HEADLINES = (("P", 20), ("MRR", 20))
LEAVE_ONE_OUT_HEADLINES = (("HR", 10), ("NDCG", 10))
"""Shown as well if every session has one case, as in leave-one-out; HR is another name of P."""
ROLE_NOTE = {
    "reference": "knows the true attributes",
    "oracle": "knows the law of the shop",
}
"""Roles of models that no real model can match, and why."""


@dataclass(frozen=True, eq=False)
class Result:
    """All finished runs of one model on one set of cases.

    Attributes:
        name: of the model.
        role: of the model, see `eval.models.entries.Entry`.
        seeds: of the runs.
        ranks: of shape (n_seeds, n_cases).
        tuned: settings tuned on validation sessions; None if there is nothing to tune.
        fit_seconds, score_seconds: means over the runs that were timed.
        imported: `file` and `longest_list` of imported ranked lists; None for a model that was run here.
        settings: what the runs depend on besides data, features and seed, see
            `eval.models.entries.Entry`.
        further: slice -> name -> metrics of lists, unclicked items and calibration, means over runs.
        frontiers: seed -> frontier of its run; runs without one are left out.
    """

    name: str
    role: str
    seeds: tuple[int, ...]
    ranks: Ranks
    tuned: dict | None = None
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    imported: dict | None = None
    further: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    frontiers: Mapping[int, Frontier] = field(default_factory=dict)

    def of_seed(self, seed: int) -> "Result":
        """The run of one seed; `further` and the times stay means over all runs."""
        own = {one: curve for one, curve in self.frontiers.items() if one == seed}
        ranks = self.ranks[[self.seeds.index(seed)]]
        return replace(self, seeds=(seed,), ranks=ranks, frontiers=own)

    def values(self, mask: np.ndarray) -> np.ndarray:
        """All metrics on the cases of a slice: (n_seeds, n, n_metrics)."""
        return all_case_values(self.ranks[:, mask])

    def metric(self, metric: str, k: int, mask: np.ndarray) -> np.ndarray:
        """One metric on the cases of a slice: (n_seeds, n)."""
        return case_values(self.ranks[:, mask], metric, k)

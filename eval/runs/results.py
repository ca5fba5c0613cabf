"""What one model did on one set of cases, over all its seeds: the rows of every table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.metrics.ranks import Ranks, all_case_values, case_values

HEADLINES = (("P", 20), ("MRR", 20))
ROLE_NOTE = {
    "reference": "knows the true attributes",
    "oracle": "knows the law of the shop",
}
"""Roles that no real model can play, and why."""


@dataclass(frozen=True, eq=False)
class Result:
    """All finished runs of one model on one set of cases.

    Attributes:
        name: the model.
        role: the part it plays, see `eval.models.entries.Entry`.
        seeds: seeds of the runs.
        ranks: of shape (n_seeds, n_cases).
        tuned: what was settled on validation sessions; None for a model that has nothing to tune.
        fit_seconds, score_seconds: means over the runs that were timed.
        imported: of lists that an outside model made, what is known of them: `file` and
            `longest_list`; None for a model that was run here.
        settings: what the runs depend on beside data, features and seed, see `eval.models.entries.Entry`.
        further: slice -> name -> figures of lists and calibration, means over runs.
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

    def values(self, mask: np.ndarray) -> np.ndarray:
        """Metrics of the cases of a slice: (n_seeds, n, n_metrics)."""
        return all_case_values(self.ranks[:, mask])

    def metric(self, metric: str, k: int, mask: np.ndarray) -> np.ndarray:
        """One metric of the cases of a slice: (n_seeds, n)."""
        return case_values(self.ranks[:, mask], metric, k)

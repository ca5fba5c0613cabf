"""The validation cases by which baselines stop training and settle their settings."""

from dataclasses import dataclass

import numpy as np

from eval.metrics import case_values, target_ranks
from eval.protocol import CASES, RankingModel, holds
from eval.ranking import candidate_scores
from tpad import Dataset


@dataclass(frozen=True, eq=False)
class ValidationCases:
    """Prefixes of validation sessions whose next item occurs in training.

    Attributes:
        prefixes: n arrays of item rows, the most recent last.
        targets: (n,) item rows.
        n_items: number of items ranked.
        mask_seen: whether the items of a prefix are no candidates.
    """

    prefixes: list[np.ndarray]
    targets: np.ndarray
    n_items: int
    mask_seen: bool

    @classmethod
    def of(
        cls, dataset: Dataset, *, mask_seen: bool = True, cases: str = "every prefix"
    ) -> "ValidationCases":
        """The cases of a dataset.

        Args:
            dataset: its validation sessions are read.
            mask_seen: leave out cases whose target is in the prefix, and mask the prefix.
            cases: "every prefix", or "last item" where all clicks but a session's last one are
                training clicks too, as in leave-one-out.
        """
        found = dataset.validation.prefixes()
        keep = ~dataset.cold[found.targets]
        if cases == CASES["last_item"]:
            keep[:-1] &= np.diff(found.session) != 0  # the cases of a session are in order
        if mask_seen:
            keep &= ~holds(found.prefixes, found.targets)
        rows = np.flatnonzero(keep)
        prefixes = [found.prefixes[row] for row in rows]
        return cls(prefixes, found.targets[rows], len(dataset), mask_seen)

    def __len__(self) -> int:
        return len(self.prefixes)

    def mrr(self, model: RankingModel, k: int = 20) -> float:
        """MRR@k of a fitted model; NaN without cases."""
        if not len(self):
            return float("nan")
        values = np.empty(len(self))
        asked = candidate_scores(model, self.prefixes, self.n_items, mask_seen=self.mask_seen)
        for start, scores in asked:  # (c, n_items)
            part = slice(start, start + len(scores))
            values[part] = case_values(target_ranks(scores, self.targets[part]), "MRR", k)
        return float(values.mean())

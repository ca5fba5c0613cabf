"""The validation cases that baselines use for early stopping and tuning.

Validation targets occur in training, so they do not measure how well a model ranks items without clicks. A
model that can rank these is tuned like the session recommender: a tenth of the training items are
pseudo-cold, and the mean of the MRR@20 on targets of both kinds is maximised.
"""

from dataclasses import dataclass

import numpy as np

from eval.metrics.ranking import candidate_scores
from eval.metrics.ranks import case_values, target_ranks
from eval.protocol import CASES, RankingModel, contains_target
from tpad import Dataset


@dataclass(frozen=True, eq=False)
class ValidationCases:
    """Prefixes of validation sessions whose next item occurs in training.

    Attributes:
        prefixes: n arrays of item rows, the most recent last.
        targets: (n,) item rows.
        candidates: (n_items,) bool, the items that are ranked: those that occur in training.
        mask_seen: whether the items of a prefix are excluded from the candidates.
        held_out: (n_items,) bool, the pseudo-cold items; None: there are none.
    """

    prefixes: list[np.ndarray]
    targets: np.ndarray
    candidates: np.ndarray
    mask_seen: bool
    held_out: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        *,
        mask_seen: bool = True,
        cases: str = "every prefix",
        held_out: np.ndarray | None = None,
    ) -> "ValidationCases":
        """The cases of a dataset.

        Args:
            dataset: its validation sessions are used; the items of its training sessions are ranked.
            mask_seen: leave out cases whose target is in the prefix, and mask the prefix.
            cases: "every prefix", or "last item" if all but the last click of a session are training
                clicks, as in leave-one-out.
            held_out: (n_items,) bool, the pseudo-cold items.
        """
        found = dataset.validation.prefixes()
        keep = ~dataset.cold[found.targets]
        if cases == CASES["last_item"]:
            keep[:-1] &= np.diff(found.session) != 0  # the cases of a session are adjacent
        if mask_seen:
            keep &= ~contains_target(found.prefixes, found.targets)
        rows = np.flatnonzero(keep)
        prefixes = [found.prefixes[row] for row in rows]
        return cls(prefixes, found.targets[rows], ~dataset.cold, mask_seen, held_out)

    def __len__(self) -> int:
        return len(self.prefixes)

    def mrr(self, model: RankingModel, k: int = 20) -> float:
        """MRR@k of a fitted model; NaN without cases.

        With pseudo-cold items it is the mean of two values, for pseudo-cold targets and for the others;
        if only one kind has cases, its value.
        """
        if not len(self):
            return float("nan")
        n_items = len(self.candidates)
        values = np.empty(len(self))
        chunks = candidate_scores(model, self.prefixes, n_items, mask_seen=self.mask_seen)
        for start, scores in chunks:  # (c, n_items)
            scores[:, ~self.candidates] = -np.inf
            part = slice(start, start + len(scores))
            values[part] = case_values(target_ranks(scores, self.targets[part]), "MRR", k)
        if self.held_out is None:
            return float(values.mean())
        cold = self.held_out[self.targets]
        return float(np.mean([part.mean() for part in (values[~cold], values[cold]) if len(part)]))

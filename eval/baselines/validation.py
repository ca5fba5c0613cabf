"""The validation cases by which baselines stop training and settle their settings."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eval.metrics import case_values, target_ranks
from tpad import Dataset

CELLS_AT_ONCE = 8_000_000  # scores held in memory at once: 32 MB
CASES = ("every prefix", "last item")


@dataclass(frozen=True, eq=False)
class ValidationCases:
    """Prefixes of validation sessions whose next item occurs in training.

    Attributes:
        prefixes: n arrays of item rows, the most recent last.
        targets: (n,) item rows.
        mask_seen: whether the items of a prefix are no candidates.
    """

    prefixes: list[np.ndarray]
    targets: np.ndarray
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
        if cases == "last item":
            keep &= np.append(np.diff(found.session) != 0, True)[: len(keep)]
        if mask_seen:
            keep &= np.array(
                [t not in p for p, t in zip(found.prefixes, found.targets, strict=True)], dtype=bool
            )
        rows = np.flatnonzero(keep)
        return cls([found.prefixes[row] for row in rows], found.targets[rows], mask_seen)

    def __len__(self) -> int:
        return len(self.prefixes)

    def mrr(self, scores: Callable[[list[np.ndarray]], np.ndarray], k: int = 20) -> float:
        """MRR@k of a model; NaN without cases.

        Args:
            scores: sessions -> (n, n_items).
            k: places that count.
        """
        if not len(self):
            return float("nan")
        found, done = 0.0, 0
        chunk = 256
        while done < len(self):
            prefixes = self.prefixes[done : done + chunk]
            table = np.array(scores(prefixes), dtype=np.float32)  # own copy: it gets masked
            if self.mask_seen:
                row = np.repeat(np.arange(len(prefixes)), [len(prefix) for prefix in prefixes])
                table[row, np.concatenate(prefixes)] = -np.inf
            ranks = target_ranks(table, self.targets[done : done + len(prefixes)])
            found += float(case_values(ranks, "MRR", k).sum())
            done += len(prefixes)
            chunk = max(1, CELLS_AT_ONCE // table.shape[1])
        return found / len(self)

"""Which test cases are shown, and in which order."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.runs.results import Result
from tpad.errors import DataError

HIT_WITHIN = 20
"""A model is right in a case if the true next item is among so many first ranks."""
RULES = {
    "all": "every case",
    "right": "{first} right, {second} wrong",
    "wrong": "{first} wrong, {second} right",
    "none": "all models wrong",
    "gain": "largest rank gain over {second}",
    "loss": "largest rank loss to {second}",
    "open": "not rated by you yet",
}
"""Ways to select and order the cases, in words."""


def rank_table(results: Sequence[Result]) -> pd.DataFrame:
    """The rank of the target in each case, under each model.

    Args:
        results: models with ranks of shape (n_seeds, n_cases).

    Returns:
        One row per case, one column per model: the median over seeds, inf if it was not found.
    """
    return pd.DataFrame({one.name: median_ranks(one.ranks.expected) for one in results})


def median_ranks(ranks: np.ndarray) -> np.ndarray:
    """(n_seeds, n_cases) -> (n_cases,); of an even number of seeds the worse of the middle two."""
    return np.sort(ranks, axis=0)[len(ranks) // 2].astype(np.float64)


def select_cases(
    ranks: pd.DataFrame,
    mask: np.ndarray,
    rule: str,
    first: str,
    second: str,
    rated: Sequence[int] = (),
) -> np.ndarray:
    """Numbers of the cases that a rule selects, in the order in which they are shown.

    Args:
        ranks: of `rank_table`.
        mask: (n_cases,) bool, the slice.
        rule: one of `RULES`.
        first, second: the model that is rated and the one it is compared with.
        rated: numbers of the cases that already have a verdict.

    Returns:
        (m,) int64. Gains and losses come largest first, measured on a logarithmic scale: from rank
        400 to 100 counts as much as from 20 to 5. All other rules keep the order of the cases.

    Raises:
        DataError: there is no such rule or model.
    """
    missing = [name for name in (first, second) if name not in ranks]
    if rule not in RULES or missing:
        raise DataError("The page and the app have different versions; reload the page.")
    ours, theirs = (ranks[name].to_numpy() for name in (first, second))
    right, other_right = ours <= HIT_WITHIN, theirs <= HIT_WITHIN  # (n_cases,) each
    if rule in ("gain", "loss"):
        gained = np.log2(_finite(theirs, ranks)) - np.log2(_finite(ours, ranks))
        if rule == "loss":
            gained = -gained
        order = np.argsort(-gained, kind="stable")
        return order[mask[order] & (gained[order] > 0)]
    chosen = {
        "all": mask,
        "right": mask & right & ~other_right,
        "wrong": mask & ~right & other_right,
        "none": mask & (ranks.to_numpy() > HIT_WITHIN).all(axis=1),
        "open": mask & ~np.isin(np.arange(len(mask)), list(rated)),
    }[rule]
    return np.flatnonzero(chosen)


def _finite(ranks: np.ndarray, table: pd.DataFrame) -> np.ndarray:
    """Ranks, with items that were not found behind all others."""
    values = table.to_numpy()
    last = values[np.isfinite(values)].max(initial=1.0)
    return np.where(np.isfinite(ranks), ranks, 2 * last)

"""Sampled negatives, and the probability with which each item is among them.

A softmax over all trained items is estimated on a sample of them. Each score in the sample is lowered
by the log of the item's inclusion probability, so that

    E[ sum over sampled j of exp(s_j − log π_j) ] = sum over all j of exp(s_j)

(importance sampling of the softmax, Bengio and Senécal 2008; with targets of the batch as negatives,
"logQ correction", Yi et al. 2019, RecSys). This holds only if π_j is the probability that j is *in the
sample*, which is not its share of the clicks: popular items are all but certain to be in it.

The sample is the union of `most` items drawn uniformly without replacement and of the batch's targets
("mixed negative sampling", Yang et al. 2020, WWW Companion). The two are independent, so

    π_j = 1 − (1 − most / n) · P(j is no target of the batch)

is exact. Sampling in proportion to popularity without replacement has no such closed form.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln


class Sample(NamedTuple):
    """The items that compete in a step.

    Attributes:
        columns: (C,) int64, distinct and ascending, columns of the n items.
        log_q: (C,) float64, log of the probability with which each was included.
    """

    columns: np.ndarray
    log_q: np.ndarray


def sample_items(
    n: int,
    most: int,
    rng: np.random.Generator,
    *,
    targets: np.ndarray | None = None,
    absent: np.ndarray | None = None,
) -> Sample | None:
    """Draws `most` of n items and joins them with the batch's targets.

    Args:
        n: number of items.
        most: how many are drawn.
        rng: draws them; untouched if all items are used.
        targets: (t,) columns that are in the sample in any case; None: none are.
        absent: (n,) probability that an item is no target of the batch, see `BatchTargets`; needed
            with `targets`.

    Returns:
        The sample, or None where all n items are used and nothing has to be corrected.

    Raises:
        ValueError: only one of `targets` and `absent` is given.
    """
    if (targets is None) != (absent is None):
        raise ValueError("Give targets and absent together, or neither.")
    if n <= most:
        return None
    columns = np.sort(rng.choice(n, most, replace=False))
    if targets is None or absent is None:
        return Sample(columns, np.full(most, np.log(most / n)))
    columns = np.union1d(columns, targets)
    return Sample(columns, np.log1p((most / n - 1) * absent[columns]))


class BatchTargets:
    """The probability that an item is no target of a batch of session windows.

    A window's targets are all its items but the first. Batches hold windows of like length, so the
    number of windows of each length is taken as given. Among those of one length the batch is a
    random subset without replacement: b of W windows miss an item that is a target of w of them with
    probability C(W − w, b) / C(W, b) (hypergeometric distribution).

    Args:
        windows: all windows of an epoch, or those that epochs choose from at random.
        n: number of items.
    """

    def __init__(self, windows: Sequence[np.ndarray], n: int) -> None:
        alike: dict[int, list[np.ndarray]] = {}  # length -> its windows
        for window in windows:
            alike.setdefault(len(window), []).append(window)
        self._total = {length: len(some) for length, some in alike.items()}
        self._held = {length: _windows_with(some, n) for length, some in alike.items()}

    def absent(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        """(n,) float64, for a batch of windows with the lengths of these."""
        result: np.ndarray | float = 0.0
        lengths, counts = np.unique([len(window) for window in batch], return_counts=True)
        for length, chosen in zip(lengths.tolist(), counts.tolist(), strict=True):
            total, without = self._total[length], self._total[length] - self._held[length]
            log_share = _log_choose(without, chosen) - _log_choose(total, chosen)
            result = result + np.where(without >= chosen, log_share, -np.inf)
        return np.exp(result)


def _windows_with(windows: Sequence[np.ndarray], n: int) -> np.ndarray:
    """(n,) int64, number of windows in which each item is a target."""
    return np.bincount(np.concatenate([np.unique(window[1:]) for window in windows]), minlength=n)


def _log_choose(n: np.ndarray | int, k: int) -> np.ndarray:
    """Log of the binomial coefficient without the part that only k has; n < k is no number."""
    n = np.asarray(n, dtype=np.float64)
    return gammaln(n + 1) - gammaln(np.maximum(n - k, 0) + 1)

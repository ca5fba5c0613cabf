"""Sampled negatives, and the inclusion probability of each item.

The softmax over all trained items is estimated from a sample of them. The log of an item's inclusion
probability is subtracted from its score, so that

    E[ sum over sampled j of exp(s_j − log π_j) ] = sum over all j of exp(s_j)

(importance sampling of the softmax, Bengio and Senécal 2008; with targets of the batch as negatives,
"logQ correction", Yi et al. 2019, RecSys). This holds only if π_j is the probability that j is *in the
sample*, not its share of the clicks: popular items are almost certainly in the sample.

The sample is the union of `most` items drawn uniformly without replacement and of the batch's targets
("mixed negative sampling", Yang et al. 2020, WWW Companion). The two are independent, so

    π_j = 1 − (1 − most / n) · P(j is no target of the batch)

is exact. Sampling in proportion to popularity without replacement has no such closed form.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln


class Sample(NamedTuple):
    """The items that a training step scores.

    Attributes:
        columns: (C,) int64, columns of the items, distinct and ascending.
        log_q: (C,) float64, log of their inclusion probabilities.
    """

    columns: np.ndarray
    log_q: np.ndarray


def sample_items(
    n: int,
    most: int,
    rng: np.random.Generator,
    *,
    targets: np.ndarray | None = None,
    absent: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Sample | None:
    """Draw `most` of n items and add the targets of the batch.

    Args:
        n: number of items.
        most: how many are drawn.
        rng: random generator; not used if all items are in the sample.
        targets: (t,) columns that are always in the sample; None for none.
        absent: takes columns (C,) and returns the probability (C,) that each item is no target of
            the batch, see `BatchTargets`; needed with `targets`.

    Returns:
        The sample, or None if n is at most `most`: all items are used, without a correction.

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
    return Sample(columns, np.log1p((most / n - 1) * absent(columns)))


class BatchTargets:
    """The probability that an item is no target of a batch of session windows.

    The targets of a window are all its items except the first. Batches consist of windows of similar
    length, so the number of windows of each length is treated as given. Among the windows of one
    length, the batch is a random subset without replacement: if an item is a target of w of the W
    windows, b drawn windows do not contain it with probability C(W − w, b) / C(W, b) (hypergeometric distribution).

    Args:
        windows: all windows of an epoch, or those that epochs draw from.
        n: number of items.
    """

    def __init__(self, windows: Sequence[np.ndarray], n: int) -> None:
        lengths = np.fromiter(map(len, windows), np.int64, len(windows))
        self._total: dict[int, int] = {}
        self._held: dict[int, np.ndarray] = {}
        for length in np.unique(lengths).tolist():
            some = [windows[number] for number in np.flatnonzero(lengths == length).tolist()]
            self._total[length], self._held[length] = len(some), _windows_with(some, n)

    def absent(self, lengths: np.ndarray, items: np.ndarray) -> np.ndarray:
        """The probability that items are no targets of a batch: (C,) float64.

        Args:
            lengths: (B,) lengths of the batch's windows.
            items: (C,).
        """
        result = np.zeros(len(items))
        for length, chosen in zip(*np.unique(lengths, return_counts=True), strict=True):
            total = self._total[length]
            without = total - self._held[length][items]
            log_share = _log_choose(without, chosen) - _log_choose(total, chosen)
            result = result + np.where(without >= chosen, log_share, -np.inf)
        return np.exp(result)


def _windows_with(windows: Sequence[np.ndarray], n: int) -> np.ndarray:
    """(n,) int32, number of windows of equal length in which each item is a target."""
    targets = np.sort(np.stack(windows)[:, 1:], axis=1)  # (W, length - 1)
    first = np.ones(targets.shape, bool)  # an item that occurs twice in a window counts once
    first[:, 1:] = targets[:, 1:] != targets[:, :-1]
    return np.bincount(targets[first], minlength=n).astype(np.int32)


def _log_choose(n: np.ndarray | int, k: int) -> np.ndarray:
    """Log of the binomial coefficient, without the term of k alone; not valid for n < k."""
    n = np.asarray(n, dtype=np.float64)
    return gammaln(n + 1) - gammaln(np.maximum(n - k, 0) + 1)

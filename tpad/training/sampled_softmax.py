"""Sampled softmax over session windows: which items a step scores, and the correction of their scores.

A step scores the targets of its batch and items drawn uniformly, see `tpad.data.negatives`. With S this sample,
and π_j the probability that it contains j,

    E[ exp(s_y) + Σ_{j ∈ S, j ≠ y} exp(s_j − log π_j) ] = Σ_j exp(s_j)

is the normaliser of the full softmax. The targets of a case's own window are in S whenever the case is, the
target y among them: there π is 1, and nothing is subtracted. Other windows are treated as independent
of the own one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tpad.data.negatives import BatchTargets, sample_items
from tpad.model.session.batching import PADDING

VALIDATION_SEED = 23
MASKED = 1e9  # subtracted from the scores of items that are no candidates


@dataclass(frozen=True)
class Sampling:
    """When training samples the items that it compares a click with, and how many."""

    full_softmax_items: int = 10_000
    """Number of warm items up to which each click is compared with all of them."""
    negatives: int = 2_048
    """Items drawn in each step beyond that size."""
    validation_cases: int = 2_000
    """Validation cases beyond that size."""

    def __post_init__(self) -> None:
        if self.negatives > self.full_softmax_items:
            raise ValueError("There must not be more negatives than full_softmax_items.")


class SessionSampler:
    """Draws the candidates of each batch.

    Args:
        windows: all training windows, arrays of item rows.
        warm_rows: (n_warm,) ascending rows of the items that may be targets and negatives.
        n_items: number of all items.
        negatives: items drawn in each step, fewer than n_warm.
    """

    def __init__(
        self,
        windows: Sequence[np.ndarray],
        warm_rows: np.ndarray,
        n_items: int,
        negatives: int,
    ) -> None:
        self.batch_targets = BatchTargets(windows, n_items)
        self.warm_rows, self.negatives = warm_rows, negatives

    def draw(
        self, lengths: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """The candidates of a batch.

        Args:
            lengths: (B,) lengths of the windows.
            targets: (t,) columns of the warm items in the windows, except their first ones.
            rng: random generator.

        Returns:
            Ascending columns (C,), positions in `warm_rows`, and log π of each, (C,) float32.
        """
        sample = sample_items(
            len(self.warm_rows),
            self.negatives,
            rng,
            targets=targets,
            absent=lambda columns: self.batch_targets.absent(lengths, self.warm_rows[columns]),
        )
        assert sample is not None  # there are more items than negatives
        return torch.from_numpy(sample.columns), torch.from_numpy(sample.log_q).float()


def some_cases(n: int, most: int) -> np.ndarray:
    """Ascending numbers of a sample of validation cases, or of all n if there are at most `most`."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(VALIDATION_SEED).permutation(n)[:most])


def correction(log_q: Tensor, own: Tensor, seen: Tensor | None) -> Tensor:
    """What is subtracted from the scores: (n, C).

    Args:
        log_q: (C,).
        own: (n, L) positions in the sample of the targets of each case's window, or `PADDING`.
        seen: (n, M) positions in the sample of the items that are masked, or `PADDING`.
    """
    result = log_q.repeat(len(own), 1)
    for places, value in ((own, 0.0), (seen, MASKED)):
        if places is not None:
            case, column = torch.nonzero(places >= 0, as_tuple=True)
            result[case, places[case, column]] = value
    return result


def positions(columns: Tensor, wanted: Tensor) -> Tensor:
    """Positions of columns in an ascending sample, or `PADDING` for those that it lacks.

    Args:
        columns: (C,) ascending.
        wanted: columns, or negative values; any shape.
    """
    place = torch.searchsorted(columns, wanted.contiguous()).clamp(max=len(columns) - 1)
    return torch.where(columns[place] == wanted, place, PADDING)

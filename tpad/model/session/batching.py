"""Sessions as padded tensors, and training batches of them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

PADDING = -1
"""Value after the last item of a padded session; it is not an item row."""
BUCKET = 8  # batches of sessions that are sorted by length together, to reduce padding


def pad_sessions(sessions: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Sessions of different lengths as one tensor.

    Args:
        sessions: n integer arrays, at least one.

    Returns:
        The sessions (n, L) int64, padded at the end with `PADDING` to the maximum length L, and the
        positions (n,) int64 of their last items.
    """
    lengths = np.fromiter(map(len, sessions), np.int64, len(sessions))
    padded = np.full((len(sessions), int(lengths.max())), PADDING, dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(sessions)
    return torch.from_numpy(padded), torch.from_numpy(lengths - 1)


def shuffled_batches(
    sessions: Sequence[np.ndarray], size: int, rng: np.random.Generator
) -> list[Tensor]:
    """Shuffle the sessions, and split them into batches of sessions of similar length.

    Groups of `BUCKET` batches are sorted by length; then the order of the batches is shuffled.

    Args:
        sessions: integer arrays, at least one.
        size: sessions per batch; one batch may have fewer.
        rng: draws both orders; the same state gives the same batches.

    Returns:
        Batches (B, L) int64, padded at the end with `PADDING`.
    """
    lengths = np.fromiter(map(len, sessions), np.int64, len(sessions))
    order, batches = rng.permutation(len(sessions)), []
    for start in range(0, len(order), size * BUCKET):
        bucket = order[start : start + size * BUCKET]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    return [
        pad_sessions([sessions[i] for i in batches[b]])[0] for b in rng.permutation(len(batches))
    ]

"""Sessions as padded tensors, and the batches in which recommenders learn from them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

PADDING = -1
"""What stands behind the last item of a padded session; no item row."""
BUCKET = 8  # batches among which sessions are sorted by length, to save padding


def pad_sessions(sessions: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Sessions of different lengths as one tensor.

    Args:
        sessions: n integer arrays, at least one.

    Returns:
        (n, L) int64, each row padded at its end with `PADDING` to the longest session's length L,
        and (n,) int64, the place of each session's last item.
    """
    lengths = np.fromiter(map(len, sessions), np.int64, len(sessions))
    padded = np.full((len(sessions), int(lengths.max())), PADDING, dtype=np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(sessions)
    return torch.from_numpy(padded), torch.from_numpy(lengths - 1)


def shuffled_batches(
    sessions: Sequence[np.ndarray], size: int, rng: np.random.Generator
) -> list[Tensor]:
    """All sessions once, in random order, those of one batch of similar length.

    Sessions are sorted by length among those of `BUCKET` batches; the batches then come in random
    order.

    Args:
        sessions: integer arrays, at least one.
        size: sessions of a batch; one batch may have fewer.
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

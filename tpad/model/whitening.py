"""A fixed space for features that a model keeps learning."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tpad.errors import DataError

LEAST_VARIANCE = 1e-6  # of the largest variance; axes with less would be noise


class Whitening(nn.Module):
    """Centres features, scales their principal axes to the same variance, and divides by the length.

    Token features of language models have a few axes with most of the variance, so that all items look
    alike. Whitening removes them **[ours; as in Su et al. 2021, arXiv 2103.15316]**. The axes are buffers:
    they are fitted once, before training, and gradients pass to the features.

    Args:
        n_features: size of the features.
        width: number of axes that are kept.

    Shape:
        (n, n_features) -> (n, width), rows of length 1
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, n_features: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("matrix", torch.zeros(n_features, width))

    @classmethod
    def fit(cls, features: np.ndarray, width: int) -> "Whitening":
        """Fit to the features of the training items.

        Args:
            features: (n, n_features), finite.
            width: most axes that are kept; fewer if the features vary along fewer.

        Raises:
            DataError: all items have the same features.
        """
        known = features.astype(np.float64)
        mean = known.mean(0)
        variance, axes = np.linalg.eigh(np.cov(known, rowvar=False, bias=True))  # ascending
        used = np.flatnonzero(variance > LEAST_VARIANCE * max(variance[-1], 0.0))[::-1][:width]
        if not len(used):
            raise DataError("All training items read the same; give items with different texts.")
        whitening = cls(features.shape[1], len(used))
        whitening.mean.copy_(torch.from_numpy(mean))
        whitening.matrix.copy_(torch.from_numpy(axes[:, used] * variance[used] ** -0.5))
        return whitening

    @property
    def width(self) -> int:
        """Number of axes."""
        return self.matrix.shape[1]

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize((features.float() - self.mean) @ self.matrix, dim=1)

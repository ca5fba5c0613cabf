"""Standardises item features and optionally reduces them by PCA, fitted on warm items."""

import numpy as np
import torch
from torch import Tensor, nn

from tpad.errors import DataError

RELATIVE_FLOOR = 1e-6  # features with a smaller relative deviation are treated as constant


class FeatureScaler(nn.Module):
    """`x -> (x − mean) / deviation`, optionally followed by the leading principal components.

    Mean, deviation and components are fitted on warm items; cold items are only transformed. They are
    buffers, so they are saved with the model, and gradients pass to `x`.

    Shape:
        (n, n_features) -> (n, n_outputs)
    """

    mean: Tensor
    deviation: Tensor
    components: Tensor | None

    def __init__(self, n_features: int, n_outputs: int | None = None) -> None:
        super().__init__()
        self.n_features, self.n_outputs = n_features, n_outputs or n_features
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("deviation", torch.ones(n_features))
        components = None if n_outputs is None else torch.zeros(n_outputs, n_features)
        self.register_buffer("components", components)

    @classmethod
    def fit(cls, features: np.ndarray, warm: np.ndarray, pca: int | None = None) -> "FeatureScaler":
        """Fit to the warm rows.

        Args:
            features: (n_items, n_features), finite.
            warm: (n_items,) bool.
            pca: number of principal components. None, or a number that is not below the number of
                features and of warm items, keeps all features.

        Raises:
            DataError: a feature is not finite, or no item is warm.
        """
        if not np.isfinite(features).all():
            row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            raise DataError(
                f"The features of item row {row} contain NaN or infinity; compute them again."
            )
        if not warm.any():
            raise DataError("No item occurs in a training session; give at least one session.")
        known = features[warm].astype(np.float64)  # (n_warm, n_features)
        mean = known.mean(0)
        deviation = known.std(0)
        floor = RELATIVE_FLOOR * np.maximum(np.abs(mean), 1.0)
        deviation[deviation <= floor] = 1.0
        if pca is not None and pca >= min(known.shape):
            pca = None
        scaler = cls(features.shape[1], pca)
        scaler.mean.copy_(torch.from_numpy(mean))
        scaler.deviation.copy_(torch.from_numpy(deviation))
        if pca is not None:
            assert scaler.components is not None  # because `pca` is given
            scaled = (known - mean) / deviation
            _, vectors = np.linalg.eigh(scaled.T @ scaled)  # eigenvalues ascend
            components = vectors[:, ::-1][:, :pca].T  # (pca, n_features)
            # The sign of an eigenvector is arbitrary; fix it, so that equal data give equal models.
            largest = np.abs(components).argmax(1)
            components = components * np.sign(components[np.arange(pca), largest])[:, None]
            # Scale all components by one factor to unit variance on average. Whitening would amplify
            # noise, so their relative sizes are kept.
            spread = np.sqrt(np.square(scaled @ components.T).mean())
            scaler.components.copy_(torch.from_numpy(components / max(spread, RELATIVE_FLOOR)))
        return scaler

    def forward(self, features: Tensor) -> Tensor:
        scaled = (features - self.mean) / self.deviation  # (n, n_features)
        return scaled if self.components is None else scaled @ self.components.T

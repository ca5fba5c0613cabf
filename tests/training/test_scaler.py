"""Features are scaled, and reduced by PCA, by what warm items show."""

import numpy as np
import pytest
import torch

from tpad.model.scaler import FeatureScaler


def test_scaler_learns_from_warm_items_only():
    rng = np.random.default_rng(0)
    features = rng.normal(5, 3, (60, 4)).astype(np.float32)
    features[:, 3] = 7  # constant
    warm = np.arange(60) < 40
    changed = features.copy()
    changed[~warm] = 1e3
    first, second = FeatureScaler.fit(features, warm), FeatureScaler.fit(changed, warm)
    assert torch.equal(first.mean, second.mean)
    scaled = first(torch.from_numpy(features[warm]))
    torch.testing.assert_close(scaled.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled[:, :3].std(0, correction=0), torch.ones(3), atol=1e-4, rtol=0)
    assert scaled[:, 3].abs().max() < 1e-4


def test_pca_keeps_the_strongest_directions():
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((200, 2))
    features = hidden @ rng.standard_normal((2, 10)) + 0.01 * rng.standard_normal((200, 10))
    scaler = FeatureScaler.fit(features.astype(np.float32), np.ones(200, dtype=bool), pca=2)
    reduced = scaler(torch.from_numpy(features.astype(np.float32))).numpy()  # (200, 2)
    assert reduced.shape == (200, 2)
    fit, *_ = np.linalg.lstsq(reduced, hidden - hidden.mean(0), rcond=None)
    assert np.abs(reduced @ fit - (hidden - hidden.mean(0))).max() < 0.1
    assert np.square(reduced).mean() == pytest.approx(1.0, abs=0.01)
    whole = FeatureScaler.fit(features.astype(np.float32), np.ones(200, dtype=bool), pca=10)
    assert whole.components is None

"""Overlap probe: how much of `k_tau` can be told from `k_nu` [ours].

Disentanglement keeps the two parts apart by an upper bound of their mutual information, which is one only if its
distribution q is fitted. The probe does not depend on q: ridge regression predicts `k_tau` from `k_nu`.
"""

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from tpad.training.probes.facts import PENALTIES


def explained(tau: np.ndarray, nu: np.ndarray, is_test: np.ndarray) -> float:
    """R² of `k_tau` predicted from `k_nu` on items that the probe is not fitted to.

    1 says that `k_tau` holds nothing beyond a linear function of `k_nu`, 0 that they have nothing linear in
    common.

    Args:
        tau: (n, h_tau).
        nu: (n, h_nu).
        is_test: (n,) bool, the items to predict.
    """
    scaler = StandardScaler().fit(nu[~is_test])
    probe = RidgeCV(PENALTIES).fit(scaler.transform(nu[~is_test]), tau[~is_test])
    wrong = tau[is_test] - probe.predict(scaler.transform(nu[is_test]))
    total = tau[is_test] - tau[is_test].mean(0)
    return float(1 - np.square(wrong).sum() / np.square(total).sum())

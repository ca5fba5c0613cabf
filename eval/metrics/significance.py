"""Bootstrap intervals and paired permutation tests, both over sessions.

The cases of a session are not independent (they share its prefix), so sessions, not cases, are resampled
or exchanged. `eval.runs.comparison` applies these to two runs.
"""

from collections.abc import Sequence

import numpy as np

SAMPLES_AT_ONCE = 100


def session_sums(values: np.ndarray, sessions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the values (n, m) per session, (n_sessions, m), and the number of cases of each.

    Sessions are in ascending order, as in `np.unique(sessions)`.
    """
    _, index = np.unique(sessions, return_inverse=True)
    counts = np.bincount(index)
    sums = np.stack([np.bincount(index, column, len(counts)) for column in values.T], axis=1)
    return sums, counts


def bootstrap_interval(
    values: np.ndarray,
    sessions: np.ndarray,
    *,
    level: float = 0.95,
    samples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Percentile interval of the mean over cases; sessions are resampled with replacement.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Args:
        values: (n,) or (n, m) metric values of cases.
        sessions: (n,) the session of each case.
        level: confidence level.
        samples: number of resamples.
        seed: of the resampling.

    Returns:
        (2,) or (m, 2): lower and upper bound; NaN if there are no cases.
    """
    matrix = values[:, None] if values.ndim == 1 else values
    if len(matrix) == 0:
        bounds = np.full((matrix.shape[1], 2), np.nan)
    else:
        sums, counts = session_sums(matrix, sessions)
        bounds = _ratio_bounds(
            sums, counts[:, None].astype(np.float64), level, samples, seed
        )  # (m, 2)
    return bounds[0] if values.ndim == 1 else bounds


def ratio_interval(
    values: np.ndarray,
    reference: np.ndarray,
    sessions: np.ndarray,
    *,
    level: float = 0.95,
    samples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Percentile interval of a ratio of means, such as `eval.metrics.ranks.oracle_ratio`.

    Both models get the same resamples, so sessions that are easy for both do not widen the interval.

    Args:
        values: (n,) or (n, m) metric values of a model.
        reference: the same shape, those of the oracle.
        sessions, level, samples, seed: see `bootstrap_interval`.

    Returns:
        (2,) or (m, 2); NaN if there are no cases, or a resample has a reference of 0.

    Raises:
        ValueError: the shapes differ.
    """
    if values.shape != reference.shape:
        raise ValueError("Both models must have values for the same cases.")
    above, below = (v[:, None] if v.ndim == 1 else v for v in (values, reference))
    if len(above) == 0:
        bounds = np.full((above.shape[1], 2), np.nan)
    else:
        sums, _ = session_sums(np.concatenate([above, below], axis=1), sessions)
        above, below = np.split(sums, 2, axis=1)  # (n_sessions, m) each
        bounds = _ratio_bounds(above, below, level, samples, seed)
    return bounds[0] if values.ndim == 1 else bounds


def _ratio_bounds(
    above: np.ndarray, below: np.ndarray, level: float, samples: int, seed: int
) -> np.ndarray:
    """Interval of `Σ above / Σ below` over resampled sessions: two (n_sessions, m) -> (m, 2)."""
    rng = np.random.default_rng(seed)
    n = len(above)
    found = []
    for start in range(0, samples, SAMPLES_AT_ONCE):
        size = min(SAMPLES_AT_ONCE, samples - start)
        drawn = rng.integers(0, n, size=(size, n), dtype=np.int32)
        drawn += n * np.arange(size, dtype=np.int32)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        weights = weights.astype(np.float64)  # (size, n_sessions), how often each was drawn
        total = weights @ below  # (size, m)
        ratio = np.full((size, above.shape[1]), np.nan)
        found.append(np.divide(weights @ above, total, out=ratio, where=total != 0))
    tail = (1 - level) / 2
    return np.quantile(np.concatenate(found), [tail, 1 - tail], axis=0).T


def over_seeds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over seeds of the mean over cases.

    Args:
        values: (n_seeds, n) or (n_seeds, n, m) metric values of cases.

    Returns:
        Two () or (m,) float64: the mean, and the sample standard deviation (over n_seeds − 1),
        which is NaN for a single seed.
    """
    means = np.asarray(values, np.float64).mean(1)  # (n_seeds,) or (n_seeds, m)
    if len(means) < 2:
        return means.mean(0), np.full(means.shape[1:], np.nan)
    return means.mean(0), means.std(0, ddof=1)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values corrected for multiple tests by Holm's step-down method.

    With the m p-values in ascending order, `p'_i = max_{j ≤ i} min(1, (m − j + 1) p_j)`. Rejecting all
    hypotheses with p' below α keeps the family-wise error rate at α, whatever the dependence of the
    tests (Holm, Scandinavian Journal of Statistics 1979).

    Args:
        p_values: (m,); NaN marks a test that was not possible and is not counted.

    Returns:
        (m,) float64 in the order given.

    Raises:
        ValueError: one is not between 0 and 1.
    """
    p = np.asarray(p_values, np.float64)
    valid = np.flatnonzero(~np.isnan(p))
    if ((p[valid] < 0) | (p[valid] > 1)).any():
        raise ValueError("A p-value must be between 0 and 1.")
    order = valid[np.argsort(p[valid], kind="stable")]
    result = np.full(len(p), np.nan)
    stepped = p[order] * np.arange(len(order), 0, -1)
    result[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return result


def paired_permutation_test(
    first: np.ndarray,
    second: np.ndarray,
    sessions: np.ndarray,
    *,
    samples: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p-value of the difference of two models' means on the same cases.

    Under the null hypothesis the results of the two models are exchangeable within each session; each
    sample exchanges them in every session with probability ½. `p = (1 + #{|d*| >= |d|}) / (1 + samples)`,
    which is never 0 (Phipson and Smyth, 2010).

    Args:
        first, second: (n,) metric values of both models for the same cases.
        sessions: (n,) the session of each case.
        samples: number of random exchanges.
        seed: of the exchanges.
    """
    if len(first) != len(second):
        raise ValueError("A paired test needs values of both models for the same cases.")
    if len(first) == 0:
        return float("nan")
    sums, _ = session_sums((first - second)[:, None], sessions)
    sums = sums[sums[:, 0] != 0, 0]  # sessions without a difference do not change the sum
    observed = abs(sums.sum())
    rng = np.random.default_rng(seed)
    beyond = 0
    for start in range(0, samples, SAMPLES_AT_ONCE):
        size = min(SAMPLES_AT_ONCE, samples - start)
        signs = rng.integers(0, 2, size=(size, len(sums)), dtype=np.int8) * 2 - 1
        # Equal sums may differ in the last digits if they are added in another order.
        beyond += int((np.abs(signs @ sums) >= observed - 1e-9).sum())
    return (1 + beyond) / (1 + samples)

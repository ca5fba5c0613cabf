"""How sure a figure is: bootstrap intervals and paired tests, both over sessions.

The cases of one session are not independent (they share its prefix), so a session, not a case, is
what is drawn again or flipped.
"""

import numpy as np

SAMPLES_AT_ONCE = 100


def _session_sums(values: np.ndarray, sessions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the values (n, m) within each session, (n_sessions, m), and the cases of each."""
    _, index = np.unique(sessions, return_inverse=True)
    counts = np.bincount(index)
    sums = np.stack([np.bincount(index, column) for column in values.T], axis=1)
    return sums, counts


def bootstrap_interval(
    values: np.ndarray,
    sessions: np.ndarray,
    *,
    level: float = 0.95,
    samples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Percentile interval of the mean over cases, sessions being resampled with replacement.

    Args:
        values: (n,) or (n, m) metric values of cases.
        sessions: (n,) the session of each case.
        level: coverage.
        samples: number of resamples.
        seed: seed of the resampling.

    Returns:
        (2,) or (m, 2): lower and upper end; NaN if there are no cases.
    """
    matrix = values[:, None] if values.ndim == 1 else values
    if len(matrix) == 0:
        bounds = np.full((matrix.shape[1], 2), np.nan)
    else:
        sums, counts = _session_sums(matrix, sessions)
        rng = np.random.default_rng(seed)
        n = len(counts)
        means = []
        for start in range(0, samples, SAMPLES_AT_ONCE):
            size = min(SAMPLES_AT_ONCE, samples - start)
            drawn = rng.integers(0, n, size=(size, n), dtype=np.int32)
            drawn += n * np.arange(size, dtype=np.int32)[:, None]
            weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
            weights = weights.astype(np.float64)  # (size, n_sessions), how often each was drawn
            means.append((weights @ sums) / (weights @ counts)[:, None])
        tail = (1 - level) / 2
        bounds = np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0).T  # (m, 2)
    return bounds[0] if values.ndim == 1 else bounds


def paired_permutation_test(
    first: np.ndarray,
    second: np.ndarray,
    sessions: np.ndarray,
    *,
    samples: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p-value of the difference of two models' means on the same cases.

    Under the null hypothesis the two models' results for a session may be exchanged; for each
    session it is drawn at random whether they are. `p = (1 + #{|d*| >= |d|}) / (1 + samples)`.

    Args:
        first: (n,) metric values of one model.
        second: (n,) those of the other, case by case.
        sessions: (n,) the session of each case.
        samples: number of random exchanges.
        seed: seed of the exchanges.
    """
    if len(first) != len(second):
        raise ValueError("A paired test needs both models' values for the same cases.")
    if len(first) == 0:
        return float("nan")
    sums, _ = _session_sums((first - second)[:, None], sessions)
    sums = sums[sums[:, 0] != 0, 0]  # a session without a difference cannot move the sum
    observed = abs(sums.sum())
    rng = np.random.default_rng(seed)
    beyond = 0
    for start in range(0, samples, SAMPLES_AT_ONCE):
        size = min(SAMPLES_AT_ONCE, samples - start)
        signs = rng.integers(0, 2, size=(size, len(sums)), dtype=np.int8) * 2 - 1
        # A hair of tolerance: equal sums added in another order must count as equal.
        beyond += int((np.abs(signs @ sums) >= observed - 1e-9).sum())
    return (1 + beyond) / (1 + samples)

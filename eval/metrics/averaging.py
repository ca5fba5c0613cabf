"""Averages the values of cases: the mean over cases, or over sessions.

With the value v_i of case i, n cases, S sessions, and the cases C_s of session s:

    case:     1/n · Σ_i v_i
    session:  1/S · Σ_s ( 1/|C_s| · Σ_{i in C_s} v_i )

In the mean over cases the weight of a session is its number of cases, so a few long sessions can
dominate. In the mean over sessions all sessions have the same weight. On a slice, only its cases count,
and only sessions that have one.

For both means, intervals and tests resample or exchange whole sessions, see `eval.metrics.significance`.
"""

import numpy as np

from eval.metrics.significance import session_sums
from tpad import ConfigError

MEANS = {"case": "cases", "session": "sessions"}
"""What metrics can be averaged over -> its name for people."""
CASE, SESSION = MEANS


def averaged(
    values: np.ndarray, sessions: np.ndarray, mean: str, *, axis: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Values whose plain mean is the average, and the session of each.

    Args:
        values: metric values of n cases along `axis`.
        sessions: (n,) the session of each case.
        mean: "case" returns the values as they are, "session" their means per session, in ascending
            order of the sessions.
        axis: of the cases.

    Returns:
        The values, float64, with n or n_sessions entries along `axis`; and (n,) or (n_sessions,)
        sessions.

    Raises:
        ConfigError: `mean` is neither.
    """
    check_mean(mean)
    values = np.asarray(values, np.float64)
    if mean == CASE:
        return values, np.asarray(sessions)
    first = np.moveaxis(values, axis, 0)  # (n, ...)
    flat = first.reshape(len(first), int(np.prod(first.shape[1:])))
    sums, counts = session_sums(flat, sessions)
    means = (sums / counts[:, None]).reshape(len(counts), *first.shape[1:])
    return np.moveaxis(means, 0, axis), np.unique(sessions)


def check_mean(mean: str) -> None:
    """Checks that metrics can be averaged over `mean`.

    Raises:
        ConfigError: it is not one of `MEANS`.
    """
    if mean not in MEANS:
        raise ConfigError(f"Metrics cannot be averaged over {mean!r}; choose {' or '.join(MEANS)}.")


def concentration(sessions: np.ndarray, share: float = 0.1) -> tuple[int, int, float]:
    """How many of the cases belong to the longest sessions.

    Args:
        sessions: (n,) the session of each case, at least one.
        share: the share of sessions with the most cases; rounded up to whole sessions.

    Returns:
        The number of these sessions, the number of all sessions, and the share of their cases.
    """
    counts = np.sort(np.unique(sessions, return_counts=True)[1])[::-1]
    most = int(np.ceil(share * len(counts)))
    return most, len(counts), float(counts[:most].sum() / counts.sum())

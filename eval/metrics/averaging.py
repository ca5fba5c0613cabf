"""How the values of cases become one figure: the mean over cases, or over sessions.

With v_i the metric of case i, n cases, S sessions, and C_s the cases of session s:

    case:     1/n · Σ_i v_i
    session:  1/S · Σ_s ( 1/|C_s| · Σ_{i in C_s} v_i )

In the mean over cases a session weighs as much as it has cases, so that few long sessions may
decide it. In the mean over sessions each session weighs the same. On a slice only the cases of the
slice count, and the sessions that have one.

Intervals and tests draw or exchange whole sessions for both, see `eval.metrics.significance`: `averaged`
gives one value a session, of which the plain mean is the figure.
"""

import numpy as np

from eval.metrics.significance import session_sums
from tpad import ConfigError

MEANS = {"case": "cases", "session": "sessions"}
"""What a figure can be the mean over, and the words for it."""
CASE, SESSION = MEANS


def averaged(
    values: np.ndarray, sessions: np.ndarray, mean: str, *, axis: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Values of which the plain mean is the figure, and the session of each.

    Args:
        values: metric values of n cases, which lie along `axis`.
        sessions: (n,) the session of each case.
        mean: "case" leaves the values as they are, "session" makes them means of sessions, in
            ascending order of the sessions.
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
    """Refuses what no figure can be the mean over.

    Raises:
        ConfigError: it is none of `MEANS`.
    """
    if mean not in MEANS:
        raise ConfigError(f"There is no mean over {mean!r}; choose {' or '.join(MEANS)}.")


def concentration(sessions: np.ndarray, share: float = 0.1) -> tuple[int, int, float]:
    """How unequally the cases are spread over the sessions.

    Args:
        sessions: (n,) the session of each case, at least one.
        share: of the sessions, those with the most cases; rounded up to whole sessions.

    Returns:
        How many sessions that is, how many there are, and their share of the cases.
    """
    counts = np.sort(np.unique(sessions, return_counts=True)[1])[::-1]
    most = int(np.ceil(share * len(counts)))
    return most, len(counts), float(counts[:most].sum() / counts.sum())

"""Compares two runs: their difference, its interval and p-value, and the sessions that differ most."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.metrics.averaging import CASE, SESSION, averaged
from eval.metrics.significance import (
    bootstrap_interval,
    holm,
    paired_permutation_test,
    session_sums,
)

SHOWN = 10
SAME_WITHIN = 1e-9  # equal sums may differ in the last digits if they are added in another order


@dataclass(frozen=True)
class SessionDifference:
    """The results of two runs on one session.

    Attributes:
        session: row of the test session.
        cases: its number of cases.
        first, second: mean of the metric over its cases, for each run.
    """

    session: int
    cases: int
    first: float
    second: float

    @property
    def difference(self) -> float:
        """First minus second."""
        return self.first - self.second


@dataclass(frozen=True)
class Comparison:
    """The first run compared with the second, on the same cases by one metric.

    Attributes:
        cases, sessions: their number.
        first, second: means over cases or sessions, and over seeds.
        low, high: bootstrap interval of `difference`.
        p_value: of the paired permutation test; NaN without cases.
        wins, ties, losses: sessions (or cases) on which the first run is better, equal, worse.
        most: the sessions that contribute most to the difference, in either direction.
        p_corrected: corrected by Holm's method, if the comparison is one of several.
    """

    cases: int
    sessions: int
    first: float
    second: float
    low: float
    high: float
    p_value: float
    wins: int
    ties: int
    losses: int
    most: tuple[SessionDifference, ...] = ()
    p_corrected: float | None = None

    @property
    def difference(self) -> float:
        """First minus second."""
        return self.first - self.second


def compare_runs(
    first: np.ndarray,
    second: np.ndarray,
    sessions: np.ndarray,
    *,
    level: float = 0.95,
    samples: int = 1000,
    exchanges: int = 10_000,
    seed: int = 0,
    count: str = "sessions",
    shown: int = SHOWN,
    mean: str = CASE,
) -> Comparison:
    """Compares two runs, or two models over several seeds.

    Args:
        first: (n,) metric values of cases, or (n_seeds, n), which are averaged over seeds first.
        second: the values of the other run for the same cases; the seeds may differ.
        sessions: (n,) the session of each case.
        level, samples: of the interval.
        exchanges: samples of the permutation test.
        seed: of the interval and the test.
        count: whether wins, ties and losses count "sessions" or "cases".
        shown: maximum number of sessions in `most`.
        mean: "case" compares means over cases, "session" means over sessions, see `eval.metrics.averaging`.

    Raises:
        ValueError: the runs have different cases, or `count` is unknown.
        ConfigError: `mean` is unknown.
    """
    ours, theirs = _over_seeds(first), _over_seeds(second)  # (n,) each
    if not len(ours) == len(theirs) == len(sessions):
        raise ValueError("Two runs can be compared only on the same cases.")
    wins, ties, losses = win_tie_loss(ours, theirs, sessions, count=count)
    most = differing_sessions(ours, theirs, sessions, shown=shown, mean=mean)
    cases = len(ours)
    ours, _ = averaged(ours, sessions, mean)  # (n,), or (n_sessions,) from here on
    theirs, sessions = averaged(theirs, sessions, mean)
    low, high = bootstrap_interval(ours - theirs, sessions, level=level, samples=samples, seed=seed)
    n = len(ours)
    return Comparison(
        cases=cases,
        sessions=len(np.unique(sessions)),
        first=float(ours.mean()) if n else float("nan"),
        second=float(theirs.mean()) if n else float("nan"),
        low=float(low),
        high=float(high),
        p_value=paired_permutation_test(ours, theirs, sessions, samples=exchanges, seed=seed),
        wins=wins,
        ties=ties,
        losses=losses,
        most=most,
    )


def win_tie_loss(
    first: np.ndarray, second: np.ndarray, sessions: np.ndarray, *, count: str = "sessions"
) -> tuple[int, int, int]:
    """How often the first run is better, equal and worse.

    Args:
        first, second: (n,) metric values of the same cases.
        sessions: (n,) the session of each case.
        count: "sessions" (by the mean over the cases of a session) or "cases".

    Raises:
        ValueError: `count` is unknown.
    """
    if count not in ("sessions", "cases"):
        raise ValueError(f"count must be sessions or cases, not {count!r}.")
    difference = first - second  # (n,)
    if count == "sessions":
        difference = session_sums(difference[:, None], sessions)[0][:, 0]  # (n_sessions,)
    wins = int((difference > SAME_WITHIN).sum())
    losses = int((difference < -SAME_WITHIN).sum())
    return wins, len(difference) - wins - losses, losses


def differing_sessions(
    first: np.ndarray,
    second: np.ndarray,
    sessions: np.ndarray,
    *,
    shown: int = SHOWN,
    mean: str = CASE,
) -> tuple[SessionDifference, ...]:
    """The sessions that contribute most to the difference of the two means, the largest first.

    Sessions have the same weights as in the mean: their number of cases in a mean over cases, equal
    weights in a mean over sessions. Sessions that contribute equally are in the order of their rows;
    sessions without a difference are left out.

    Args:
        first, second: (n,) metric values of the same cases.
        sessions: (n,) the session of each case.
        shown: maximum number of sessions.
        mean: "case" or "session".
    """
    rows = np.unique(sessions)  # (n_sessions,)
    sums, counts = session_sums(np.stack([first, second], axis=1), sessions)  # (n_sessions, 2)
    contribution = np.abs(sums[:, 0] - sums[:, 1])
    if mean == SESSION:
        contribution = contribution / counts
    contribution = contribution.round(9)  # equal sums must tie
    order = np.lexsort((rows, -contribution))[:shown]
    return tuple(
        SessionDifference(
            int(rows[i]),
            int(counts[i]),
            float(sums[i, 0] / counts[i]),
            float(sums[i, 1] / counts[i]),
        )
        for i in order
        if contribution[i] > 0
    )


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with `p_corrected`, by Holm's method over all of them."""
    values = holm([comparison.p_value for comparison in comparisons])
    return [
        replace(comparison, p_corrected=float(value))
        for comparison, value in zip(comparisons, values, strict=True)
    ]


def _over_seeds(values: np.ndarray) -> np.ndarray:
    """(n,) or (n_seeds, n) -> (n,) float64."""
    values = np.asarray(values, np.float64)
    return values.mean(0) if values.ndim == 2 else values

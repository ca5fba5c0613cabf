"""Two runs held against each other: by how much they differ, how surely, and on which sessions."""

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
SAME_WITHIN = 1e-9  # sums of equal values that were added in another order


@dataclass(frozen=True)
class SessionDifference:
    """One session as two runs see it.

    Attributes:
        session: row of the test session.
        cases: how many it has.
        first, second: mean metric of each run over its cases.
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
    """The first run against the second, on the same cases by one metric.

    Attributes:
        cases, sessions: how many.
        first, second: means over cases or sessions, and over seeds.
        low, high: bootstrap interval of `difference`.
        p_value: of the paired permutation test; NaN without cases.
        wins, ties, losses: sessions (or cases) on which the first run is better, as good, worse.
        most: the sessions that add most to the difference, in either direction.
        p_corrected: by Holm's method, where the comparison is one of many.
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
        second: those of the other for the same cases, perhaps over other seeds.
        sessions: (n,) the session of each case.
        level, samples: of the interval.
        exchanges: of the permutation test.
        seed: of both.
        count: whether "sessions" or "cases" win, tie and lose.
        shown: most sessions in `most`.
        mean: "case" compares means over cases, "session" means over sessions, see `eval.metrics.averaging`.

    Raises:
        ValueError: the runs have not the same cases, or nothing called `count` can be counted.
        ConfigError: there is no such mean.
    """
    ours, theirs = _over_seeds(first), _over_seeds(second)  # (n,) each
    if not len(ours) == len(theirs) == len(sessions):
        raise ValueError("Two runs can only be compared on the same cases.")
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
    """How often the first run is better, as good and worse.

    Args:
        first, second: (n,) metric values of the same cases.
        sessions: (n,) the session of each case.
        count: "sessions", by the mean over a session's cases, or "cases".

    Raises:
        ValueError: `count` is neither.
    """
    if count not in ("sessions", "cases"):
        raise ValueError(f"Only sessions or cases can be counted, not {count!r}.")
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
    """The sessions whose cases add most to the difference of the two means, the most first.

    A session weighs as it does in the mean: by its number of cases in a mean over cases, like any
    other in a mean over sessions. Of sessions that add the same the lower row comes first; sessions
    without a difference are left out.

    Args:
        first, second: (n,) metric values of the same cases.
        sessions: (n,) the session of each case.
        shown: at most so many.
        mean: "case" or "session".
    """
    rows = np.unique(sessions)  # (n_sessions,)
    sums, counts = session_sums(np.stack([first, second], axis=1), sessions)  # (n_sessions, 2)
    added = np.abs(sums[:, 0] - sums[:, 1])
    if mean == SESSION:
        added = added / counts
    added = added.round(9)  # equal sums must tie
    order = np.lexsort((rows, -added))[:shown]
    return tuple(
        SessionDifference(
            int(rows[i]),
            int(counts[i]),
            float(sums[i, 0] / counts[i]),
            float(sums[i, 1] / counts[i]),
        )
        for i in order
        if added[i] > 0
    )


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with `p_corrected` by Holm's method over all of them."""
    values = holm([comparison.p_value for comparison in comparisons])
    return [
        replace(comparison, p_corrected=float(value))
        for comparison, value in zip(comparisons, values, strict=True)
    ]


def _over_seeds(values: np.ndarray) -> np.ndarray:
    """(n,) or (n_seeds, n) -> (n,) float64."""
    values = np.asarray(values, np.float64)
    return values.mean(0) if values.ndim == 2 else values

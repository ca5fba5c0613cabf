"""Splits sessions by time or by leaving out last clicks, and holds out items so that they are cold."""

from dataclasses import replace

import numpy as np

from tpad.data.clicks import drop_short
from tpad.data.report import ReportBuilder
from tpad.data.sessions import SPLITS, Clicks, Sessions
from tpad.errors import ConfigError, DataError, check_seed, shown

FEWEST_TO_LEAVE_ONE_OUT = 3
"""Clicks of a sequence from which `split_leave_one_out` makes validation and test cases."""
HELD_OUT_CLICK = "click on a held-out item"  # reasons and an action in a report
REMOVED = "removed from training and validation, so that the item is cold"
TOO_SHORT = "session too short without its held-out items"


def split_by_time(
    starts: np.ndarray,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    found: str = "",
) -> np.ndarray:
    """Assign sessions to splits by their start: train before validation before test.

    Args:
        starts: (n,) int64 Unix seconds.
        validation_fraction: share of the sessions for validation; at least one session unless 0.
        test_fraction: share of the sessions, the latest ones, for test; at least one unless 0.
        found: what was wrong with the table, for an error.

    Returns:
        (n,) int8, index into `SPLITS`.
    """
    fractions = (validation_fraction, test_fraction)
    numbers = all(isinstance(one, int | float | np.number) for one in fractions)
    if not numbers or not (min(fractions) >= 0 and sum(fractions) < 1):  # false for NaN
        raise ConfigError(
            f"validation_fraction {validation_fraction} and test_fraction {test_fraction} must be "
            "at least 0 and leave sessions to train on; choose smaller ones."
        )
    n = len(starts)
    counts = [max(1, round(n * fraction)) if fraction > 0 else 0 for fraction in fractions]
    if n - sum(counts) < 1:
        raise DataError(
            f"{n} session(s) of two clicks or more are too few to split"
            f"{f' ({found})' if found else ''}; give more interactions."
        )
    codes = np.repeat(np.arange(3, dtype=np.int8), [n - sum(counts), *counts])
    splits = np.empty(n, np.int8)
    splits[np.argsort(starts, kind="stable")] = codes
    return splits


def split_leave_one_out(sessions: Sessions) -> tuple[Sessions, Sessions, Sessions]:
    """The last click of each sequence is the test target, the second last the validation target.

    As in SASRec (Kang & McAuley 2018): the clicks before the target are its history, and sequences of
    fewer than three clicks are used for training only.

    Args:
        sessions: one sequence per user, without history.

    Returns:
        Training, validation and test sessions, named `user:train`, `user:validation` and `user:test`.
    """
    long = sessions.take(sessions.lengths >= FEWEST_TO_LEAVE_ONE_OUT)

    def part(name: str, whole: Sessions, lengths: np.ndarray) -> Sessions:
        return replace(
            _first_clicks(whole, lengths),
            ids=np.array([f"{user}:{name}" for user in whole.ids], dtype=object),
            history=None if name == "train" else lengths - 1,
        )

    lengths = sessions.lengths
    kept = lengths - np.where(lengths >= FEWEST_TO_LEAVE_ONE_OUT, 2, 0)
    return (
        part("train", sessions, kept),
        part("validation", long, long.lengths - 1),
        part("test", long, long.lengths),
    )


def hold_out_items(n_items: int, fraction: float, seed: int) -> np.ndarray:
    """Draw a random share of all items that will be cold: (n_items,) bool."""
    if not 0 <= fraction < 1:
        raise ConfigError(f"cold_fraction must be at least 0 and below 1, not {fraction}.")
    check_seed(seed)
    held_out = np.zeros(n_items, dtype=bool)
    chosen = np.random.default_rng(seed).permutation(n_items)[: round(fraction * n_items)]
    held_out[chosen] = True
    return held_out


def remove_held_out(
    clicks: Clicks, held_out: np.ndarray, min_session: int, report: ReportBuilder, name: str
) -> Clicks:
    """Remove held-out items from training and validation sessions; test sessions do not change.

    Sessions that become shorter than `min_session` are dropped.

    Args:
        clicks: with their split.
        held_out: (n_items,) bool.
    """
    assert clicks.split is not None
    test = SPLITS.index("test")
    removed = held_out[clicks.item] & (clicks.split[clicks.session] != test)
    if not removed.any():
        return clicks
    report.note(
        HELD_OUT_CLICK,
        REMOVED,
        (),
        int(removed.sum()),
    )
    left = clicks.select(~removed)
    left = drop_short(left, min_session, ReportBuilder(), name, is_error=False)
    report.note(
        TOO_SHORT,
        "the session is skipped",
        (),
        len(clicks.ids) - len(left.ids),
    )
    return left


def without_clicks(sessions: Sessions, removed: np.ndarray) -> Sessions:
    """The sessions without the clicks where `removed` (n_clicks,) is True.

    A session that is left without a target has nothing to predict and is removed too.
    """
    if not removed.any():
        return sessions
    owner, n = sessions.owners, len(sessions)  # (n_clicks,)
    left = np.bincount(owner[~removed], minlength=n)
    history = np.bincount(owner[~removed & sessions.is_history], minlength=n)
    keep = (left > np.maximum(history, 1)) | (left == sessions.lengths)
    return sessions.where(~removed & keep[owner])


def assert_no_leak(
    train: Sessions,
    validation: Sessions,
    test: Sessions,
    *,
    held_out: np.ndarray | None = None,
    by_time: bool = False,
) -> None:
    """Check that the later splits do not leak into training.

    Args:
        held_out: (n_items,) bool, items that training and validation may not hold.
        by_time: also check that no training session starts after a validation session, and none
            of these after a test session. Not for splits with held-out items: a session without its
            first click starts later than before.

    Raises:
        DataError: a session is in two splits, a held-out item occurs where it may not, or the
            splits overlap in time.
    """
    parts = dict(zip(SPLITS, (train, validation, test), strict=True))
    names = list(parts)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            shared = np.intersect1d(parts[first].ids.astype(str), parts[second].ids.astype(str))
            if shared.size:
                raise DataError(
                    f"Session '{shown(shared[0])}' is both in {first} and in {second}; "
                    "give each session one split."
                )
            both = by_time and len(parts[first]) > 0 and len(parts[second]) > 0
            if both and parts[first].starts.max() > parts[second].starts.min():
                raise DataError(
                    f"A session of {first} starts after one of {second}; split by time again."
                )
    if held_out is not None:
        for name in SPLITS[:2]:
            leaked = np.flatnonzero(held_out[parts[name].clicks])
            if leaked.size:
                row = parts[name].clicks[leaked[0]]
                raise DataError(
                    f"The held-out item in row {row} occurs in {name}; remove its clicks there."
                )


def _first_clicks(sessions: Sessions, counts: np.ndarray) -> Sessions:
    """The first clicks of each session; counts (n,) are at least 1."""
    cuts = counts.tolist()
    times = sessions.times
    return replace(
        sessions,
        items=[items[:cut] for items, cut in zip(sessions.items, cuts, strict=True)],
        times=None if times is None else [t[:cut] for t, cut in zip(times, cuts, strict=True)],
    )

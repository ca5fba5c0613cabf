"""One model against the best baseline, slice by slice, and against itself without its parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.comparison import Comparison, compare_runs, corrected
from eval.names import FULL, SUBJECT, VARIANT
from eval.results import HEADLINES, Result


@dataclass(frozen=True)
class Contest:
    """Two models on one slice by one metric.

    Attributes:
        slice, metric, k: where.
        rival: name of the other model: the best baseline, or the subject without a part.
        found: the subject (first) against it (second).
    """

    slice: str
    metric: str
    k: int
    rival: str
    found: Comparison


def best_baseline(
    results: Sequence[Result], mask: np.ndarray, metric: str, k: int, *, but: str = ""
) -> Result | None:
    """The baseline with the highest mean over seeds on the cases of a slice.

    Args:
        results: of all models.
        mask: (n_cases,) bool, at least one True.
        metric, k: what counts.
        but: name of a model that is none, though it may play that role.
    """
    baselines = [result for result in results if result.role == "baseline" and result.name != but]
    return max(
        baselines, key=lambda r: r.metric(metric, k, mask).mean(), default=None
    )


def against_best(
    results: Sequence[Result],
    sessions: np.ndarray,
    masks: Mapping[str, np.ndarray],
    subject: str = SUBJECT,
) -> list[Contest]:
    """Tests the subject against the best baseline of each slice and headline metric.

    The best baseline is picked on the very cases of the test, which favours the baseline. p-values
    are also corrected, by Holm's method over all of these tests.

    Args:
        results: of all models.
        sessions: (n_cases,) session of each case.
        masks: slice -> (n_cases,) bool; one without cases is left out.
        subject: name of the model that is tested.

    Returns:
        Slice by slice; nothing where there is no such model, or no baseline.
    """
    ours = next((result for result in results if result.name == subject), None)
    if ours is None:
        return []
    pairs = []
    for name, mask in masks.items():
        for metric, k in HEADLINES if mask.any() else ():
            rival = best_baseline(results, mask, metric, k, but=subject)
            if rival is not None:
                pairs.append((name, metric, k, ours, rival))
    return _contests(pairs, sessions, masks)


def against_variants(
    results: Sequence[Result], sessions: np.ndarray, masks: Mapping[str, np.ndarray]
) -> list[Contest]:
    """Tests TPAD against each of its ablations, by each headline metric on each slice.

    TPAD is the full method that was trained beside them, or that of the bundle, of which all
    results of the same settings are equal. p-values are corrected over all of these tests.

    Args:
        results: of all models.
        sessions: (n_cases,) session of each case.
        masks: slice -> (n_cases,) bool; one without cases is left out.

    Returns:
        Ablation by ablation; nothing where there is none.
    """
    by_name = {result.name: result for result in results}
    full = by_name.pop(VARIANT + FULL, by_name.get(SUBJECT))
    variants = [
        one for name, one in by_name.items() if name.startswith(VARIANT) and one.role == "tpad"
    ]
    if full is None:
        return []
    pairs = [
        (name, metric, k, full, variant)
        for variant in variants
        for name, mask in masks.items()
        for metric, k in (HEADLINES if mask.any() else ())
    ]
    return _contests(pairs, sessions, masks)


def _contests(
    pairs: Sequence[tuple[str, str, int, Result, Result]],
    sessions: np.ndarray,
    masks: Mapping[str, np.ndarray],
) -> list[Contest]:
    """Compares the pairs (slice, metric, k, first, second), p-values corrected over all of them."""
    found = []
    for name, metric, k, *both in pairs:
        mask = masks[name]  # (n_cases,)
        first, second = (result.metric(metric, k, mask) for result in both)
        found.append(compare_runs(first, second, sessions[mask], shown=0))  # of (n_seeds, n) each
    places = [(name, metric, k, second.name) for name, metric, k, _, second in pairs]
    return [Contest(*place, one) for place, one in zip(places, corrected(found), strict=True)]

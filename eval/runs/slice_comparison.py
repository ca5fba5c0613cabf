"""Compares TPAD with the best baseline and with its ablations, slice by slice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.averaging import CASE, averaged
from eval.models.naming import FULL, SUBJECT, VARIANT
from eval.runs.comparison import Comparison, compare_runs, corrected
from eval.runs.results import HEADLINES, Result


@dataclass(frozen=True)
class SliceComparison:
    """A model compared with another on one slice by one metric.

    Attributes:
        slice, metric, k: the slice and the metric.
        other: name of the other model: the best baseline, or an ablation.
        comparison: the model (first) compared with the other (second).
    """

    slice: str
    metric: str
    k: int
    other: str
    comparison: Comparison


def best_baseline(
    results: Sequence[Result],
    mask: np.ndarray,
    metric: str,
    k: int,
    *,
    but: str = "",
    mean: str = CASE,
    sessions: np.ndarray | None = None,
) -> Result | None:
    """The baseline with the highest mean over seeds on a slice.

    Args:
        results: of all models.
        mask: (n_cases,) bool, at least one True.
        metric, k: the metric to compare.
        but: name of a model to leave out.
        mean: over "case" or "session".
        sessions: (n_cases,) session of each case; only used for a mean over sessions.
    """
    baselines = [result for result in results if result.role == "baseline" and result.name != but]
    case_sessions = np.zeros(len(mask), int) if sessions is None else sessions

    def score(result: Result) -> float:
        values = result.metric(metric, k, mask).mean(0)  # (n,)
        return float(averaged(values, case_sessions[mask], mean)[0].mean())

    return max(baselines, key=score, default=None)


def compare_with_best_baseline(
    results: Sequence[Result],
    sessions: np.ndarray,
    masks: Mapping[str, np.ndarray],
    subject: str = SUBJECT,
    mean: str = CASE,
) -> list[SliceComparison]:
    """Compares a model with the best baseline of each slice and headline metric.

    The best baseline is chosen on the same test cases, which favours the baseline. p-values are also
    corrected by Holm's method over all of these tests.

    Args:
        results: of all models.
        sessions: (n_cases,) session of each case.
        masks: slice -> (n_cases,) bool; empty slices are left out.
        subject: name of the model to compare.
        mean: whether means over "case" or "session" are compared.

    Returns:
        Slice by slice; empty if there is no such model, or no baseline.
    """
    ours = next((result for result in results if result.name == subject), None)
    if ours is None:
        return []
    pairs = []
    for name, mask in masks.items():
        for metric, k in HEADLINES if mask.any() else ():
            best = best_baseline(
                results, mask, metric, k, but=subject, mean=mean, sessions=sessions
            )
            if best is not None:
                pairs.append((name, metric, k, ours, best))
    return _compare_pairs(pairs, sessions, masks, mean)


def compare_with_ablations(
    results: Sequence[Result],
    sessions: np.ndarray,
    masks: Mapping[str, np.ndarray],
    mean: str = CASE,
) -> list[SliceComparison]:
    """Compares TPAD with each of its ablations, by each headline metric on each slice.

    TPAD is the full method that was trained with the ablations, or that of the bundle. p-values are
    corrected over all of these tests.

    Args:
        results: of all models.
        sessions: (n_cases,) session of each case.
        masks: slice -> (n_cases,) bool; empty slices are left out.
        mean: whether means over "case" or "session" are compared.

    Returns:
        Ablation by ablation; empty if there is none.
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
    return _compare_pairs(pairs, sessions, masks, mean)


def _compare_pairs(
    pairs: Sequence[tuple[str, str, int, Result, Result]],
    sessions: np.ndarray,
    masks: Mapping[str, np.ndarray],
    mean: str,
) -> list[SliceComparison]:
    """Compares pairs (slice, metric, k, first, second); p-values are corrected over all of them."""
    found = []
    for name, metric, k, *both in pairs:
        mask = masks[name]  # (n_cases,)
        first, second = (result.metric(metric, k, mask) for result in both)
        # Values are (n_seeds, n) each.
        found.append(compare_runs(first, second, sessions[mask], shown=0, mean=mean))
    places = [(name, metric, k, second.name) for name, metric, k, _, second in pairs]
    return [
        SliceComparison(*place, one) for place, one in zip(places, corrected(found), strict=True)
    ]

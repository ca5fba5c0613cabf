"""One model against the best baseline, slice by slice, and against itself without its parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.averaging import CASE, averaged
from eval.models.naming import FULL, SUBJECT, VARIANT
from eval.runs.comparison import Comparison, compare_runs, corrected
from eval.runs.results import HEADLINES, Result


@dataclass(frozen=True)
class SliceComparison:
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
    results: Sequence[Result],
    mask: np.ndarray,
    metric: str,
    k: int,
    *,
    but: str = "",
    mean: str = CASE,
    sessions: np.ndarray | None = None,
) -> Result | None:
    """The baseline with the highest mean over seeds on the cases of a slice.

    Args:
        results: of all models.
        mask: (n_cases,) bool, at least one True.
        metric, k: what counts.
        but: name of a model that is none, though it may play that role.
        mean: over "case" or "session".
        sessions: (n_cases,) session of each case; only a mean over sessions needs it.
    """
    baselines = [result for result in results if result.role == "baseline" and result.name != but]
    of_case = np.zeros(len(mask), int) if sessions is None else sessions

    def figure(result: Result) -> float:
        values = result.metric(metric, k, mask).mean(0)  # (n,)
        return float(averaged(values, of_case[mask], mean)[0].mean())

    return max(baselines, key=figure, default=None)


def compare_with_best_baseline(
    results: Sequence[Result],
    sessions: np.ndarray,
    masks: Mapping[str, np.ndarray],
    subject: str = SUBJECT,
    mean: str = CASE,
) -> list[SliceComparison]:
    """Tests the subject against the best baseline of each slice and headline metric.

    The best baseline is picked on the very cases of the test, which favours the baseline. p-values
    are also corrected, by Holm's method over all of these tests.

    Args:
        results: of all models.
        sessions: (n_cases,) session of each case.
        masks: slice -> (n_cases,) bool; one without cases is left out.
        subject: name of the model that is tested.
        mean: what is compared, means over "case" or "session".

    Returns:
        Slice by slice; nothing where there is no such model, or no baseline.
    """
    ours = next((result for result in results if result.name == subject), None)
    if ours is None:
        return []
    pairs = []
    for name, mask in masks.items():
        for metric, k in HEADLINES if mask.any() else ():
            rival = best_baseline(
                results, mask, metric, k, but=subject, mean=mean, sessions=sessions
            )
            if rival is not None:
                pairs.append((name, metric, k, ours, rival))
    return _contests(pairs, sessions, masks, mean)


def compare_with_ablations(
    results: Sequence[Result],
    sessions: np.ndarray,
    masks: Mapping[str, np.ndarray],
    mean: str = CASE,
) -> list[SliceComparison]:
    """Tests TPAD against each of its ablations, by each headline metric on each slice.

    TPAD is the full method that was trained beside them, or that of the bundle, of which all
    results of the same settings are equal. p-values are corrected over all of these tests.

    Args:
        results: of all models.
        sessions: (n_cases,) session of each case.
        masks: slice -> (n_cases,) bool; one without cases is left out.
        mean: what is compared, means over "case" or "session".

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
    return _contests(pairs, sessions, masks, mean)


def _contests(
    pairs: Sequence[tuple[str, str, int, Result, Result]],
    sessions: np.ndarray,
    masks: Mapping[str, np.ndarray],
    mean: str,
) -> list[SliceComparison]:
    """Compares the pairs (slice, metric, k, first, second), p-values corrected over all of them."""
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

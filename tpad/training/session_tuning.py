"""Choice of the PCA size of an embedding set, without a look at test sessions or cold items.

Validation sessions hold warm targets only, so they cannot tell how an embedding set does on items
nobody has clicked. A tenth of the warm items therefore plays cold: their clicks are taken out of
the training sessions, and validation is read on both kinds of targets **[ours]**.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tpad.data.sessions import Sessions
from tpad.training.session_model import EpochReport, SessionModelConfig, fit_session_model

PCA_SIZES: tuple[int | None, ...] = (None, 256, 96)
PSEUDO_COLD_SHARE = 0.1
PSEUDO_COLD_SEED = 41  # one draw for all embedding sets, so that they face the same items


@dataclass(frozen=True)
class PcaChoice:
    """The size chosen, and what every size reached."""

    pca: int | None
    """Size with the best `value`; None keeps the features as they are."""
    values: dict[str, float]
    """Mean of the MRR@20 on warm and on pseudo-cold validation targets, by size."""


def hold_out(sessions: Sessions, kept: np.ndarray) -> Sessions:
    """The sessions without the clicks on items that are not `kept`; short ones drop out."""
    shorter = [items[kept[items]] for items in sessions.items]
    rows = np.array([i for i, items in enumerate(shorter) if len(items) > 1], dtype=np.int64)
    return Sessions(sessions.ids[rows], [shorter[i] for i in rows], sessions.starts[rows])


def choose_pca(
    features: np.ndarray,
    train: Sessions,
    validation: Sessions,
    warm: np.ndarray,
    config: SessionModelConfig,
    *,
    sizes: Sequence[int | None] = PCA_SIZES,
    progress: Callable[[EpochReport], None] | None = None,
) -> PcaChoice:
    """Trains once for each size with a tenth of the warm items held out, and compares.

    Args:
        features: (n_items, n_features).
        train, validation: sessions.
        warm: (n_items,) bool.
        config: settings of the recommender; its `pca` is replaced.
        sizes: sizes to try; those at or above n_features count as None.
        progress: called after each epoch of each try.

    Returns:
        The best size; the earliest one if several are equal.
    """
    usable = list(dict.fromkeys(s if s and s < features.shape[1] else None for s in sizes))
    if len(usable) == 1:
        return PcaChoice(usable[0], {})
    rows = np.flatnonzero(warm)
    draw = np.random.default_rng(PSEUDO_COLD_SEED).permutation(rows)
    held_out = draw[: max(1, round(PSEUDO_COLD_SHARE * len(rows)))]
    known = warm.copy()
    known[held_out] = False
    reduced = hold_out(train, known)
    cases = validation.prefixes(config.max_length)
    values = {}
    for size in usable:
        model = fit_session_model(
            features, reduced, validation, known, replace(config, pca=size), progress=progress
        )
        found = _reciprocal_ranks(model.scores(cases.prefixes), cases.prefixes, cases.targets, warm)
        groups = [found[known[cases.targets]], found[np.isin(cases.targets, held_out)]]
        values[size] = float(np.mean([group.mean() for group in groups if len(group)] or [0.0]))
    best = max(values, key=lambda size: values[size])
    return PcaChoice(best, {str(size or "all"): value for size, value in values.items()})


def _reciprocal_ranks(
    scores: np.ndarray, prefixes: Sequence[np.ndarray], targets: np.ndarray, candidates: np.ndarray
) -> np.ndarray:
    """1 / rank of each target among the candidates outside its session, 0 beyond rank 20: (n,)."""
    scores[:, ~candidates] = -np.inf
    own = scores[np.arange(len(targets)), targets].copy()  # (n,)
    for row, prefix in enumerate(prefixes):
        scores[row, prefix] = -np.inf
    rank = 1 + (scores > own[:, None]).sum(1)  # (n,)
    return np.where(rank <= 20, 1.0 / rank, 0.0)

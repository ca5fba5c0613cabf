"""Tunes the session recommender on pseudo-cold items.

Validation sessions have only warm targets, so they cannot measure how well items without clicks are
ranked. Therefore a tenth of the warm items is pseudo-cold: their clicks are removed from the training
sessions, and validation uses both warm and pseudo-cold targets **[ours]**. Two settings are tuned:

- the PCA size of the features, by MRR@20;
- the *cold offset*, which is added to the scores of items without clicks. The network partly memorises
  the clicked items and scores them higher than equally relevant items that it has never seen. The
  tuned offset maximises the likelihood of the validation clicks: items without clicks then get as much
  probability as they get clicks.

Test sessions and cold items are not used. `train` stores the result in the bundle.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tpad.data.cases import known_cases, mask_history
from tpad.data.pseudo_cold import hold_out, pseudo_cold
from tpad.data.sessions import Sessions
from tpad.model.session.fitted import EpochReport, FittedSessionModel, chunks
from tpad.model.session.network import PCA_SIZES
from tpad.model.session.tuned import SessionModelConfig, SessionTuning
from tpad.training.fitting import fit_session_model
from tpad.training.ranking import reciprocal_ranks

LARGEST_OFFSET = 4.0  # a factor of 55 in probability; a larger one would mean useless features


@dataclass(frozen=True)
class SizeTry:
    """The result of one PCA size."""

    value: float
    """Mean of MRR@20 on warm targets and MRR@20 on pseudo-cold targets."""
    cold_offset: float
    """Best offset for the scores of items without clicks."""


def tune_session_model(
    features: np.ndarray,
    train: Sessions,
    validation: Sessions,
    warm: np.ndarray,
    config: SessionModelConfig,
    *,
    sizes: Sequence[int | None] = PCA_SIZES,
    progress: Callable[[EpochReport], None] | None = None,
) -> SessionTuning:
    """Tune the PCA size and the cold offset with a tenth of the warm items held out.

    Args:
        features: (n_items, n_features).
        train, validation: sessions.
        warm: (n_items,) bool.
        config: settings of the recommender; its `pca` and `cold_offset` are ignored.
        sizes: PCA sizes to try; None keeps all features.
        progress: called after each epoch.

    Returns:
        The best size, the first one if several are equal, and its offset.
    """
    return best_size(
        {
            size: try_size(features, train, validation, warm, config, size, progress=progress)
            for size in sizes_to_try(features.shape[1], sizes)
        }
    )


def sizes_to_try(n_features: int, sizes: Sequence[int | None]) -> list[int | None]:
    """The distinct PCA sizes; a size that is not below the number of features counts as None."""
    return list(dict.fromkeys(size if size and size < n_features else None for size in sizes))


def try_size(
    features: np.ndarray,
    train: Sessions,
    validation: Sessions,
    warm: np.ndarray,
    config: SessionModelConfig,
    size: int | None,
    **options: Any,
) -> SizeTry:
    """Train and validate with one PCA size and a tenth of the warm items held out.

    Args:
        features, train, validation, warm, config: as in `tune_session_model`.
        size: PCA size; None keeps all features.
        options: `progress`, `bar`, `checkpoint` and `device` of `fit_session_model`.
    """
    warm = np.asarray(warm, dtype=bool)
    known = warm & ~pseudo_cold(warm)
    settings = replace(config, pca=size, cold_offset=0.0)
    reduced = hold_out(train, known)
    model = fit_session_model(features, reduced, validation, known, settings, **options)
    return SizeTry(*_validate(model, validation, warm, known))


def best_size(tries: Mapping[int | None, SizeTry]) -> SessionTuning:
    """The size with the highest value; the first one if several are equal."""
    best = max(tries, key=lambda size: tries[size].value)
    values = {size_label(size): tried.value for size, tried in tries.items()}
    return SessionTuning(best, tries[best].cold_offset, values)


def size_label(size: int | None) -> str:
    """Name of a PCA size in records."""
    return "all" if size is None else str(size)


def _validate(
    model: FittedSessionModel, validation: Sessions, warm: np.ndarray, known: np.ndarray
) -> tuple[float, float]:
    """MRR@20 (mean of warm and pseudo-cold targets) with the best cold offset, and that offset."""
    settings = model.config
    cases = known_cases(
        validation, warm, max_length=settings.max_length, mask_seen=settings.mask_seen
    )
    if not len(cases):
        return 0.0, 0.0
    targets = cases.targets

    def scored() -> Iterator[
        np.ndarray
    ]:  # (c, n_items); the scores of all cases would not fit in memory
        for prefixes in chunks(cases.prefixes):
            scores = model.scores(prefixes)
            scores[:, ~warm] = -np.inf
            if settings.mask_seen:
                mask_history(scores, prefixes)
            yield scores

    offset = cold_offset(scored(), targets, ~known)
    found, start = np.empty(len(targets), np.float32), 0
    for scores in scored():
        scores[:, ~known] += offset
        part = slice(start, start + len(scores))
        own = torch.from_numpy(targets[part]).long()
        found[part] = reciprocal_ranks(torch.from_numpy(scores), own).numpy()
        start = part.stop
    groups = [found[known[targets]], found[~known[targets]]]
    return float(np.mean([group.mean() for group in groups if len(group)])), offset


def cold_offset(scores: Iterable[np.ndarray], targets: np.ndarray, unclicked: np.ndarray) -> float:
    """The offset for the scores of items without clicks that maximises the likelihood of the targets.

    The log-likelihood is concave in the offset. At its maximum, the probability of the items without
    clicks equals their share of the targets; bisection finds that offset.

    Args:
        scores: parts (c, n_items) of the scores (n, n_items), in order; −inf for items that are not
            candidates.
        targets: (n,) item rows.
        unclicked: (n_items,) bool, items without clicks.

    Returns:
        The offset, within ± `LARGEST_OFFSET`.
    """
    mask = torch.from_numpy(unclicked)
    # Only the sums over the two groups matter, so one pass over the scores is enough.
    gap = torch.cat(
        [
            rows[:, mask].logsumexp(1) - rows[:, ~mask].logsumexp(1)
            for rows in map(torch.from_numpy, scores)
        ]
    )  # (n,)
    clicks = float(unclicked[targets].sum())
    low, high = -LARGEST_OFFSET, LARGEST_OFFSET
    for _ in range(40):
        middle = (low + high) / 2
        expected = float(torch.sigmoid(gap.double() + middle).sum())
        low, high = (middle, high) if expected < clicks else (low, middle)
    return round((low + high) / 2, 4)

"""Fits the fused recommender, and chooses the settings of its parts on validation sessions.

1. The settings of the memory and of the session neighbours are those of a grid with the best value of each
   alone (`tpad.training.fusion.clicks`).
2. Each network is trained without the clicks of the validation sessions and of the pseudo-cold items
   (`tpad.training.fusion.validation`). The weights of the parts, the whitening of the content space and the
   offset of new items are chosen by rank metrics: weights that maximise the likelihood show too few new
   items (`tpad.training.fusion.weights`). The best network is kept.
3. Network, memory and session neighbours are fitted with all training clicks.

Test sessions are not used.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tpad.data.sessions import Sessions
from tpad.model.parts import Parts
from tpad.model.session.content_space import ContentSpace
from tpad.model.session.fused import FusedModel
from tpad.model.session.memory import Memory
from tpad.model.session.neighbours import SessionNeighbours
from tpad.training.fitting import fit_session_model
from tpad.training.fusion.clicks import tune_memory, tune_neighbours
from tpad.training.fusion.config import FusionConfig, FusionTuning, TuningStore
from tpad.training.fusion.exploration import measure_exploration
from tpad.training.fusion.pools import pools_of
from tpad.training.fusion.validation import Validation
from tpad.training.fusion.weights import tune_weights


def tune_fused(
    features: np.ndarray,
    train: Sessions,
    validation: Sessions,
    warm: np.ndarray,
    config: FusionConfig | None = None,
    *,
    parts: Parts | None = None,
    say: Callable[[str], None] | None = None,
    store: TuningStore | None = None,
    **options: Any,
) -> FusionTuning:
    """Choose the settings of the parts.

    Args:
        features: (n_items, d), finite.
        train, validation: sessions.
        warm: (n_items,) bool, items of the training sessions.
        config: settings.
        parts: of the features; by default they are one part.
        say: called with a line for each step.
        store: keeps the results of finished networks.
        options: `progress`, `bar`, `checkpoint` and `device` of `fit_session_model`. The state in the
            checkpoint is that of the first network that the store lacks.
    """
    config = config or FusionConfig()
    say = say or (lambda line: None)
    check = Validation.of(train, validation, warm, mask_seen=config.mask_seen)
    numbers = range(len(config.networks))
    finished = [None if store is None else store.load(number) for number in numbers]
    if None in finished:
        memory, neighbours = tune_memory(check), tune_neighbours(check)
        say(f"memory: {memory.config}; {neighbours.config}")
    best: FusionTuning | None = None
    for number, (network, found) in enumerate(zip(config.networks, finished, strict=True)):
        if found is None:
            tried = fit_session_model(
                features, check.train, validation, check.clicked, network, **options
            )
            pools = pools_of(features, tried, memory, neighbours, check, parts)
            chosen = tune_weights(pools)
            scores = pools.scores(replace(chosen.weights, offset=0.0), chosen.whitening)
            found = FusionTuning(
                network,
                memory.config,
                chosen.weights,
                chosen.value,
                chosen.whitening,
                neighbours.config,
                measure_exploration(scores, pools.unclicked, chosen.weights.offset),
                None if parts is None else dict(parts),
            )
            say(
                f"{network.layers} layers: {chosen.weights}, whitening {chosen.whitening}, "
                f"value {chosen.value:.4f}"
            )
            if store is not None:
                store.save(number, found)
        if best is None or found.value > best.value:
            best = found
    assert best is not None
    return best


def fit_tuned(
    features: np.ndarray,
    train: Sessions,
    validation: Sessions,
    warm: np.ndarray,
    tuning: FusionTuning,
    *,
    seed: int | None = None,
    **options: Any,
) -> FusedModel:
    """Fit the fused recommender with chosen settings, on all training clicks.

    Args:
        features, train, validation, warm: as in `tune_fused`.
        tuning: as `tune_fused` returns it.
        seed: of the network; by default that of the tuning.
        options: `progress`, `bar`, `checkpoint` and `device` of `fit_session_model`.
    """
    config = tuning.network if seed is None else replace(tuning.network, seed=seed)
    if not tuning.weights.network:
        config = replace(config, epochs=1)  # its scores are not used
    network = fit_session_model(features, train, validation, warm, config, **options)
    n_items = len(features)
    neighbours = None
    if tuning.weights.neighbours:
        neighbours = SessionNeighbours.fit(train, n_items, tuning.neighbours)
    return FusedModel(
        network,
        Memory.fit(train, n_items, tuning.memory, mask_seen=config.mask_seen),
        tuning.weights,
        tuning.exploration,
        neighbours=neighbours,
        space=ContentSpace.fit(features, warm, tuning.whitening, tuning.parts),
    )

"""Fits the fused recommender, and chooses the settings of its parts on validation sessions.

A tenth of the clicked items is pseudo-cold: their clicks are removed from the training sessions. Targets of
the validation are all clicks of its sessions, on clicked, pseudo-cold and new items, in their shares.
Candidates are the items that occur in training or validation sessions. The value to maximise is
P@20 + MRR@20 **[ours]**: weights that maximise the likelihood show too few new items.

1. The settings of the memory are those of a grid with the best value of the memory alone on clicked targets.
2. Each network is trained without the clicks of the pseudo-cold items. Weights and offset are improved one
   at a time, until none improves the value; the best network is kept.
3. Network and memory are fitted with all training clicks.

Test sessions are not used.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
from pydantic import Field

from tpad.data.cases import known_cases, mask_history
from tpad.data.pseudo_cold import hold_out, pseudo_cold
from tpad.data.sessions import Cases, Sessions
from tpad.model.session.exploration import Exploration
from tpad.model.session.fused import FusedModel, FusionWeights, Parts
from tpad.model.session.memory import Memory, MemoryConfig, clicks_of, count_pairs
from tpad.model.session.network import SessionModelConfig
from tpad.settings import CountOrZero, from_json, settings
from tpad.training.exploration import measure_exploration
from tpad.training.fitting import fit_session_model
from tpad.training.ranking import expected_gains
from tpad.training.trainer import Progress

K = 20
GAINS = 1 + 1 / torch.arange(1, K + 1, dtype=torch.float64)
"""What a target at each rank adds to P@20 + MRR@20."""
MAX_CASES = 3_000
MAX_SCORES = 40_000_000
"""Scores of the sampled validation cases, for each of the parts (160 MB)."""
SEED = 17  # of the sample of validation cases
ROUNDS = 3

MEMORY_GRID = {
    "decay": (1.0, 2.0, 4.0, 8.0),
    "back": (0.5, 1.0),
    "shrinkage": (3.0, 10.0, 30.0),
    "popularity": (0.0, 0.25, 0.5),
}
RECENCY_FACTORS = (0.5, 1.0)
"""Recencies of the memory that are tried, as multiples of its decay."""
WEIGHT_GRID: dict[str, tuple[float, ...]] = {
    "memory": (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
    "sharpness": (30.0, 100.0, 300.0, 1000.0, 3000.0),
    "cosine": (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
    "recency": (1.0, 2.0, 4.0),
    "offset": (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0),
    "network": (0.0, 0.5, 1.0),
}

CONTENT_NETWORK = SessionModelConfig(pca=96)
"""A transformer over the features alone: best where the content says what follows."""
ID_NETWORK = SessionModelConfig(
    layers=0,
    tied=True,
    id_embedding=True,
    item_bias=True,
    id_dropout=0.1,
    dropout=0.4,
    epochs=12,
    patience=2,
    learning_rate=1e-2,
    weight_decay=2.0,
)
"""A decayed mean with ID embeddings: best where the clicks say what follows."""


@settings
class FusionConfig:
    """Settings of the fused recommender."""

    content: SessionModelConfig = Field(default_factory=lambda: CONTENT_NETWORK)
    ids: SessionModelConfig = Field(default_factory=lambda: ID_NETWORK)
    tried: Annotated[tuple[Literal["content", "ids"], ...], Field(min_length=1)] = (
        "content",
        "ids",
    )
    """Networks to try; the one whose fused recommender is best on validation is kept."""
    mask_seen: bool = True
    """Whether items of the session are excluded from the candidates and targets, as in ranking."""
    seed: CountOrZero = 0
    """Seed of the networks."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "FusionConfig":
        """The settings whose fields were stored as JSON.

        Raises:
            TypeError, ValueError: a value is invalid.
        """
        networks = {
            name: from_json(SessionModelConfig, values[name])
            for name in ("content", "ids")
            if name in values
        }
        return from_json(cls, {**values, **networks})

    def with_epochs(self, epochs: int) -> "FusionConfig":
        """A copy whose networks are trained for so many epochs."""
        content, ids = (replace(one, epochs=epochs) for one in (self.content, self.ids))
        return replace(self, content=content, ids=ids)

    @property
    def networks(self) -> tuple[SessionModelConfig, ...]:
        """Settings of the networks to try."""
        return tuple(
            replace(getattr(self, name), mask_seen=self.mask_seen, seed=self.seed)
            for name in self.tried
        )


@dataclass(frozen=True)
class FusionTuning:
    """The chosen settings."""

    network: SessionModelConfig
    memory: MemoryConfig
    weights: FusionWeights
    value: float
    """P@20 + MRR@20 on the validation cases."""
    exploration: Exploration | None = None
    """The offset for each share of new items; None without validation cases or new items."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "FusionTuning":
        """The settings whose fields were stored as JSON.

        Raises:
            KeyError, ValueError: a value is missing or invalid.
        """
        exploration = values["exploration"]
        return cls(
            from_json(SessionModelConfig, values["network"]),
            from_json(MemoryConfig, values["memory"]),
            from_json(FusionWeights, values["weights"]),
            float(values["value"]),
            None if exploration is None else from_json(Exploration, exploration),
        )


class TuningStore(Protocol):
    """Keeps the results of finished networks, so that an interrupted tuning resumes."""

    def load(self, number: int) -> FusionTuning | None:
        """The result of a network, by its place among those to try; None if it is not finished."""

    def save(self, number: int, tuning: FusionTuning) -> None:
        """Store the result of a network."""


@dataclass(frozen=True, eq=False)
class _Validation:
    """Validation cases, and which items are candidates."""

    cases: Cases
    candidates: np.ndarray  # (n_items,) bool
    clicked: np.ndarray  # (n_items,) bool, without the pseudo-cold items
    mask_seen: bool

    def on_clicked(self) -> "_Validation":
        """The cases with clicked targets."""
        return replace(self, cases=_some(self.cases, self.clicked[self.cases.targets]))

    def mask(self, scores: np.ndarray) -> None:
        """Set the scores of items that are not candidates to −inf, in place."""
        scores[:, ~self.candidates] = -np.inf
        if self.mask_seen:
            mask_history(scores, self.cases.prefixes)

    def value(self, scores: np.ndarray) -> float:
        """P@20 + MRR@20, with the expected value under ties; 0 without cases.

        Args:
            scores: (n, n_items) float32; changed.
        """
        if not len(self.cases):
            return 0.0
        self.mask(scores)
        targets = torch.from_numpy(self.cases.targets).long()
        return float(expected_gains(torch.from_numpy(scores), targets, GAINS).mean())


def fit_fused(
    features: np.ndarray,
    train: Sessions,
    validation: Sessions,
    warm: np.ndarray,
    config: FusionConfig | None = None,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[FusedModel, FusionTuning]:
    """Tune and fit the fused recommender on one embedding set.

    Args:
        features: (n_items, d), finite.
        train, validation: sessions.
        warm: (n_items,) bool, items of the training sessions.
        config: settings.
        progress: called after each epoch of the network.
        say: called with a line for each step.
    """
    tuning = tune_fused(features, train, validation, warm, config, progress=progress, say=say)
    return fit_tuned(features, train, validation, warm, tuning, progress=progress), tuning


def tune_fused(
    features: np.ndarray,
    train: Sessions,
    validation: Sessions,
    warm: np.ndarray,
    config: FusionConfig | None = None,
    *,
    say: Callable[[str], None] | None = None,
    store: TuningStore | None = None,
    **options: Any,
) -> FusionTuning:
    """Choose the settings of the parts with a tenth of the clicked items held out.

    Args:
        features, train, validation, warm, config, say: as in `fit_fused`.
        store: keeps the results of finished networks.
        options: `progress`, `bar`, `checkpoint` and `device` of `fit_session_model`. The state in the
            checkpoint is that of the first network that the store lacks.
    """
    config = config or FusionConfig()
    say = say or (lambda line: None)
    known = warm & ~pseudo_cold(warm)
    reduced = hold_out(train, known)
    check = validation_cases(train, validation, known, mask_seen=config.mask_seen)
    memory_config, memory = tune_memory(reduced, check, len(features))
    say(f"memory: {memory_config}")
    best: FusionTuning | None = None
    for number, network in enumerate(config.networks):
        found = store.load(number) if store is not None else None
        if found is None:
            tried = fit_session_model(features, reduced, validation, known, network, **options)
            weights, value = tune_weights(FusedModel(tried, memory, FusionWeights()), check)
            exploration = _explored(FusedModel(tried, memory, weights), check)
            found = FusionTuning(network, memory_config, weights, value, exploration)
            say(f"{network.layers} layers: {weights}, validation P@20 + MRR@20 {value:.4f}")
            if store is not None:
                store.save(number, found)
        if best is None or found.value > best.value:
            best = found
    assert best is not None
    return best


def _explored(model: FusedModel, check: _Validation) -> Exploration | None:
    """The cost of showing new items, with the weights of a model."""
    without = FusedModel(model.network, model.memory, replace(model.weights, offset=0.0))
    scores = without.scores(check.cases.prefixes)
    check.mask(scores)
    return measure_exploration(scores, check.cases.targets, ~check.clicked, model.weights.offset)


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
        features, train, validation, warm: as in `fit_fused`.
        tuning: as `tune_fused` returns it.
        seed: of the network; by default that of the tuning.
        options: `progress`, `bar`, `checkpoint` and `device` of `fit_session_model`.
    """
    config = tuning.network if seed is None else replace(tuning.network, seed=seed)
    network = fit_session_model(features, train, validation, warm, config, **options)
    memory = Memory.fit(train, len(features), tuning.memory, mask_seen=config.mask_seen)
    return FusedModel(network, memory, tuning.weights, tuning.exploration)


def validation_cases(
    train: Sessions, validation: Sessions, known: np.ndarray, *, mask_seen: bool
) -> _Validation:
    """A sample of the validation cases, whatever their targets.

    Args:
        train, validation: sessions.
        known: (n_items,) bool, clicked items without the pseudo-cold ones.
        mask_seen: whether items of the session are excluded from its candidates and targets.
    """
    candidates = np.zeros(len(known), bool)
    candidates[train.clicks] = candidates[validation.clicks] = True
    cases = known_cases(validation, candidates, max_length=None, mask_seen=mask_seen)
    most = min(MAX_CASES, max(1, MAX_SCORES // len(known)))
    if len(cases) > most:
        order = np.random.default_rng(SEED).permutation(len(cases))
        cases = _some(cases, np.sort(order[:most]))
    return _Validation(cases, candidates, known, mask_seen)


def _some(cases: Cases, rows: np.ndarray) -> Cases:
    """The cases of some rows, given by number or by a mask."""
    numbers = np.arange(len(cases))[rows]
    prefixes = [cases.prefixes[row] for row in numbers]
    return Cases(cases.session[numbers], prefixes, cases.targets[numbers])


def tune_memory(reduced: Sessions, check: _Validation, n_items: int) -> tuple[MemoryConfig, Memory]:
    """The best settings of `MEMORY_GRID` on clicked targets, and the memory with them."""
    check = check.on_clicked()
    best: tuple[float, MemoryConfig, Memory] | None = None
    for memory in _memories(reduced, n_items, check.mask_seen):
        for factor in RECENCY_FACTORS:
            recency = max(1.0, factor * memory.config.decay)
            config = replace(memory.config, recency=recency)
            one = Memory(memory.matrix, config)
            value = check.value(one.scores(check.cases.prefixes).toarray())
            if best is None or value > best[0]:
                best = value, config, one
    assert best is not None
    return best[1], best[2]


def _memories(train: Sessions, n_items: int, mask_seen: bool) -> Iterator[Memory]:
    """Memories of all settings of the grid; those with the same decay share their counts."""
    clicks = clicks_of(train, n_items)
    names = [name for name in MEMORY_GRID if name != "decay"]
    for decay in MEMORY_GRID["decay"]:
        counts = count_pairs(train.items, n_items, decay)
        for values in product(*(MEMORY_GRID[name] for name in names)):
            config = replace(MemoryConfig(decay=decay), **dict(zip(names, values, strict=True)))
            yield Memory.of_counts(counts, clicks, config, mask_seen=mask_seen)


def tune_weights(model: FusedModel, check: _Validation) -> tuple[FusionWeights, float]:
    """Improve one weight at a time, over `WEIGHT_GRID`, until none improves the value.

    Returns:
        The weights, and their value on the validation cases.
    """
    prefixes = check.cases.prefixes
    weights = model.weights
    if not len(prefixes):
        return weights, 0.0
    parts = model.parts(prefixes)
    cosines = {weights.recency: parts.cosine}
    for one in WEIGHT_GRID["recency"]:
        if one not in cosines:
            cosines[one] = model.cosine(prefixes, one)

    def value(weights: FusionWeights) -> float:
        chosen = Parts(parts.network, parts.memory, cosines[weights.recency])
        return check.value(chosen.fused(weights, ~model.clicked))

    best = value(weights)
    for _ in range(ROUNDS):
        before = weights
        for name, grid in WEIGHT_GRID.items():
            for one in grid:
                changed = replace(weights, **{name: one})
                if changed != weights and (found := value(changed)) > best:
                    best, weights = found, changed
        if weights == before:
            break
    return weights, best

"""The models that are compared, by name, and the part that each plays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

import numpy as np

from eval.baselines import Markov, Popularity
from eval.features import attribute_features, random_features, text_features
from eval.protocol import RankingModel
from tpad import (
    ConfigError,
    Dataset,
    EpochReport,
    SessionModelConfig,
    SessionTuning,
    fit_session_model,
    tune_session_model,
)

Progress = Callable[[EpochReport], None] | None
Role = Literal["baseline", "tpad", "reference", "oracle"]
SUBJECT = "tpad"
SETS = ("random", "tfidf", "vision", "vision_tfidf", "knowledge", "transfer")
"""Embedding sets as the report lists them; others follow, TPAD and its variants come last."""


class EmbeddingModel:
    """The session recommender over one set of item features; budget and tuning are everybody's.

    Args:
        name: name of the set.
        features: (n_items, n_features).
        config: settings of the recommender, with what was tuned.
        progress: called after each epoch.
    """

    can_score_new_items = True

    def __init__(
        self,
        name: str,
        features: np.ndarray,
        config: SessionModelConfig | None = None,
        progress: Progress = None,
    ) -> None:
        self.name = name
        self.features = np.asarray(features, dtype=np.float32)
        self.config = config or SessionModelConfig()
        self.progress = progress

    def fit(self, dataset: Dataset) -> "EmbeddingModel":
        self.fitted = fit_session_model(
            self.features,
            dataset.train,
            dataset.validation,
            ~dataset.cold,
            self.config,
            progress=self.progress,
        )
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        return self.fitted.scores(sessions)


class ScoringModel:
    """A model that is ready to score, such as the oracle of the demo shop.

    Args:
        model: anything with `scores(sessions) -> (n, n_items)`.
    """

    can_score_new_items = True

    def __init__(self, model: RankingModel) -> None:
        self.model = model

    def fit(self, dataset: Dataset) -> "ScoringModel":
        return self

    def scores(self, sessions: list[np.ndarray]) -> np.ndarray:
        return self.model.scores(sessions)


@dataclass(frozen=True, eq=False)
class Entry:
    """One row of the comparison.

    Attributes:
        name: name in tables and database.
        role: "baseline" is what TPAD is tested against; "tpad" is TPAD or a part of it;
            "reference" and "oracle" know what no real model can.
        make: builds the unfitted model for a seed, its tuning and a progress function.
        features: features for a seed, where the model rests on an embedding set.
        seeded: whether the seed changes anything; one that it does not is run once.
    """

    name: str
    role: Role
    make: Callable[[int, SessionTuning | None, Progress], RankingModel]
    features: Callable[[int], np.ndarray] | None = None
    seeded: bool = False

    def digest(self, seed: int) -> str | None:
        """sha256 (hex) of the features, so that equal runs can be recognised."""
        if self.features is None:
            return None
        values = np.ascontiguousarray(self.features(seed))
        return sha256(str((values.shape, values.dtype.str)).encode() + values.tobytes()).hexdigest()


def embedding_entry(
    name: str, role: Role, features: Callable[[int], np.ndarray], config: SessionModelConfig
) -> Entry:
    """An embedding set through the session recommender."""

    def make(seed: int, tuning: SessionTuning | None, progress: Progress) -> RankingModel:
        settings = replace(config, seed=seed)
        if tuning is not None:
            settings = tuning.apply(settings)
        return EmbeddingModel(name, features(seed), settings, progress)

    return Entry(name, role, make, features, seeded=True)


def all_entries(
    dataset: Dataset,
    embeddings: Mapping[str, np.ndarray],
    config: SessionModelConfig,
    oracle: RankingModel | None = None,
) -> list[Entry]:
    """Everything that can be compared on a dataset, in the order of the report.

    Args:
        dataset: items and sessions.
        embeddings: sets of a bundle, name -> (n_items, n); "tpad" and "tpad…" are TPAD and its
            variants, all others are baselines. Without any, the sets that need no language model
            and no picture are made here.
        config: settings of the recommender, the same for all.
        oracle: the exact law, where it is known.

    Raises:
        ConfigError: an embedding set does not have one row an item.
    """
    for name, values in embeddings.items():
        if values.ndim != 2 or len(values) != len(dataset.items):
            raise ConfigError(
                f"Embedding set {name} has shape {values.shape} but the dataset has "
                f"{len(dataset.items)} items; the bundle's parts do not belong together."
            )
    entries = [
        Entry("popularity", "baseline", lambda *_: Popularity()),
        Entry("markov", "baseline", lambda *_: Markov()),
    ]
    sets: dict[str, tuple[Role, np.ndarray]] = {}
    if not embeddings:
        entries.append(
            embedding_entry(
                "random", "baseline", lambda seed: random_features(dataset, seed), config
            )
        )
        sets["tfidf"] = ("baseline", text_features(dataset))
    for name in sorted(embeddings, key=_place):
        sets[name] = ("tpad" if name.startswith(SUBJECT) else "baseline", embeddings[name])
    attributes = attribute_features(dataset)
    if attributes is not None:
        sets["attributes"] = ("reference", attributes)
    for name, (role, values) in sets.items():
        entries.append(embedding_entry(name, role, _always(values), config))
    if oracle is not None:
        entries.append(Entry("oracle", "oracle", lambda *_: ScoringModel(oracle)))
    return entries


def _always(values: np.ndarray) -> Callable[[int], np.ndarray]:
    """The same features whatever the seed."""
    return lambda seed: values


def _place(name: str) -> tuple[bool, bool, int]:
    known = SETS.index(name) if name in SETS else len(SETS)
    return name == SUBJECT, name.startswith(SUBJECT), known


def select(entries: Sequence[Entry], names: Sequence[str] | None) -> list[Entry]:
    """The entries with the given names, in the order of the report; all if None."""
    if names is None:
        return list(entries)
    known = [entry.name for entry in entries]
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no model {name!r} here; choose from {', '.join(known)}.")
    return [entry for entry in entries if entry.name in names]


def tune(
    entry: Entry,
    dataset: Dataset,
    config: SessionModelConfig,
    seed: int,
    progress: Progress = None,
) -> SessionTuning | None:
    """PCA size and cold offset of an embedding set; None for a model that has neither."""
    if entry.features is None:
        return None
    return tune_session_model(
        entry.features(seed),
        dataset.train,
        dataset.validation,
        ~dataset.cold,
        replace(config, seed=seed),
        progress=progress,
    )

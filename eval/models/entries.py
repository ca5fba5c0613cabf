"""The models that are compared, and how each is made and tuned; see `eval.models.naming` for the names.

A bundle's recommenders are judged as they are stored; all others are fitted here, with the same budget
and the same tuning as `python -m tpad train` gives.
"""

import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from typing import Any

import numpy as np

from eval.baselines import BASELINES
from eval.baselines.registry import Baseline, content_baseline
from eval.baselines.tuning import tune
from eval.models.features import attribute_features, random_features, text_features
from eval.models.naming import NEIGHBOURS, SUBJECT, VARIANT, Role, order_of
from eval.models.shipped import Shipped
from eval.protocol import CASES, Protocol, RankingModel
from tpad import ConfigError, Dataset
from tpad.model.session.fitted import EpochReport
from tpad.model.session.network import PCA_SIZES, SessionModelConfig
from tpad.model.session.tuned import SessionTuning
from tpad.training.fitting import fit_session_model
from tpad.training.tuning import tune_session_model

Progress = Callable[[EpochReport], None] | None
Tuned = dict[str, Any]
TRIES = 3
"""Settings that are tried of each model, if nothing else is wished: as many as PCA sizes."""


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


class Scorer(typing.Protocol):
    """What is ready to score."""

    def scores(self, prefixes: list[np.ndarray], /) -> np.ndarray: ...


class ScoringModel:
    """A model that is ready to score: the oracle of the demo shop, a recommender of a bundle.

    Args:
        model: anything with `scores(sessions) -> (n, n_items)`.
    """

    can_score_new_items = True

    def __init__(self, model: Scorer) -> None:
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
        make: builds the unfitted model for a seed, what was tuned, and a progress function.
        tune: settles settings on validation sessions, for a seed; gives plain values to record, or
            None where there is nothing to settle.
        features: features for a seed, where the model rests on an embedding set.
        settings: everything else that its result depends on, as JSON values.
        seeded: whether the seed changes anything; one that it does not is run once.
    """

    name: str
    role: Role
    make: Callable[[int, Tuned | None, Progress], RankingModel]
    tune: Callable[[Dataset, int, Progress], Tuned | None] = lambda *_: None
    features: Callable[[int], np.ndarray] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeded: bool = False

    def digest(self, seed: int) -> str | None:
        """sha256 (hex) of the features, so that equal runs can be recognised."""
        if self.features is None:
            return None
        values = np.ascontiguousarray(self.features(seed))
        return sha256(str((values.shape, values.dtype.str)).encode() + values.tobytes()).hexdigest()


def embedding_entry(
    name: str,
    role: Role,
    features: Callable[[int], np.ndarray],
    config: SessionModelConfig,
    *,
    sizes: Sequence[int | None] = PCA_SIZES,
    shipped: Shipped | None = None,
) -> Entry:
    """An embedding set through the session recommender.

    Args:
        name, role: of the row.
        features: (n_items, n_features) for a seed.
        config: settings of the recommender.
        sizes: PCA sizes to try; None keeps the features as they are. The cold offset is tuned, too.
        shipped: the bundle's own recommender. Its seed is judged as it is; other seeds are fitted
            with its settings, and nothing is tuned again.
    """
    if shipped is not None:
        config = shipped.model.config

    def make(seed: int, tuned: Tuned | None, progress: Progress) -> RankingModel:
        if shipped is not None and seed == config.seed:
            return ScoringModel(shipped.model)
        settings = replace(config, seed=seed)
        if tuned is not None:
            settings = SessionTuning(**tuned).apply(settings)
        return EmbeddingModel(name, features(seed), settings, progress)

    def settle(dataset: Dataset, seed: int, progress: Progress) -> Tuned:
        if shipped is not None:
            return asdict(shipped.tuning)
        return asdict(
            tune_session_model(
                features(seed),
                dataset.train,
                dataset.validation,
                ~dataset.cold,
                replace(config, seed=seed),
                sizes=sizes,
                progress=progress,
            )
        )

    settings: dict[str, Any] = asdict(config) | {"pca_sizes": list(sizes)}
    if shipped is not None:
        settings |= {"shipped": shipped.checksum, "shipped_seed": config.seed}
    return Entry(name, role, make, settle, features, settings, seeded=True)


def baseline_entry(
    name: str,
    role: Role,
    baseline: Baseline,
    *,
    tries: int = TRIES,
    epochs: int | None = None,
    protocol: Protocol | None = None,
    features: Callable[[int], np.ndarray] | None = None,
) -> Entry:
    """A baseline of `eval.baselines`, searched with so many tries.

    Args:
        name, role: of the row.
        baseline: the model.
        tries: settings tried on validation sessions.
        epochs: budget of a model that is trained in epochs; its own if None.
        protocol: what is asked; validation asks the same.
        features: what the model rests on, for `Entry.features`.
    """
    asked = protocol or Protocol()
    budget = {}
    if epochs is not None and "epochs" in {one.name for one in fields(baseline.config)}:
        budget = {"epochs": epochs}

    def settle(dataset: Dataset, seed: int, progress: Progress) -> Tuned | None:
        found = tune(
            baseline,
            dataset,
            seed,
            tries,
            settings=budget,
            mask_seen=asked.mask_history,
            cases=CASES[asked.cases],
            progress=progress,
        )
        return asdict(found) if found.settings else None

    def make(seed: int, tuned: Tuned | None, progress: Progress) -> RankingModel:
        return baseline.make(seed, budget if tuned is None else tuned["settings"], progress)

    settings = {"tries": tries, **budget}
    return Entry(name, role, make, settle, features, settings, seeded=baseline.seeded)


def all_entries(
    dataset: Dataset,
    embeddings: Mapping[str, np.ndarray],
    config: SessionModelConfig,
    oracle: RankingModel | None = None,
    *,
    extra: Mapping[str, np.ndarray] | None = None,
    ablations: Mapping[str, np.ndarray] | None = None,
    shipped: Mapping[str, Shipped] | None = None,
    sizes: Sequence[int | None] = PCA_SIZES,
    tries: int = TRIES,
    protocol: Protocol | None = None,
) -> list[Entry]:
    """Everything that can be compared on a dataset, in the order of the report.

    Baselines that cannot be fitted to so many items are left out, see `too_large_for`.

    Args:
        dataset: items and sessions.
        embeddings: sets of a bundle, name -> (n_items, n); "tpad" and "tpad…" are TPAD and its
            variants, all others are baselines. Without any, the sets that need no language model
            and no picture are made here.
        config: settings of the recommender, the same for all; neural baselines get its epochs.
        oracle: the exact law, where it is known.
        extra: further embedding sets, such as those of a file; baselines.
        ablations: embedding sets of `python -m tpad ablate`; variants of TPAD, called "tpad-…" and
            compared through the session recommender only. All have the PCA size of TPAD, so that
            nothing differs but what was left out.
        shipped: the recommenders of a bundle by set, which are judged as they are.
        sizes: PCA sizes that are tried of all other sets.
        tries: settings tried of each baseline that is no embedding set through the recommender.
        protocol: what is asked.

    Raises:
        ConfigError: an embedding set does not have one row an item, or a name is taken.
    """
    budget: dict[str, Any] = {"tries": tries, "protocol": protocol}
    left_out = too_large_for(dataset)
    entries = [
        baseline_entry(name, "baseline", one, epochs=config.epochs, **budget)
        for name, one in BASELINES.items()
        if name not in left_out
    ]
    sets: dict[str, tuple[Role, np.ndarray]] = {}
    if not embeddings:
        entries.append(
            embedding_entry(
                "random",
                "baseline",
                lambda seed: random_features(dataset, seed),
                config,
                sizes=sizes,
            )
        )
        sets["tfidf"] = ("baseline", text_features(dataset))
    variants = {VARIANT + name: values for name, values in (ablations or {}).items()}
    taken = {*sets, *embeddings, *variants, *BASELINES, "attributes"}
    for name, values in (extra or {}).items():
        if name in taken:
            raise ConfigError(f"There is a model {name} already; give the embeddings another name.")
        sets[name] = ("baseline", values)
    for name, values in embeddings.items():
        sets[name] = ("tpad" if name.startswith(SUBJECT) else "baseline", values)
    sets |= {name: ("tpad", values) for name, values in variants.items()}
    for name, (_, values) in sets.items():
        if values.ndim != 2 or len(values) != len(dataset.items):
            raise ConfigError(
                f"Embedding set {name} has shape {values.shape} but the dataset has "
                f"{len(dataset.items)} items; the two do not belong together."
            )
    attributes = attribute_features(dataset)
    if attributes is not None:
        sets["attributes"] = ("reference", attributes)
    own = shipped or {}
    pca = own[SUBJECT].tuning.pca if SUBJECT in own else None
    for name, (role, values) in sets.items():
        features = _always(values)
        tried = (pca,) if name in variants else sizes
        entries.append(
            embedding_entry(name, role, features, config, sizes=tried, shipped=own.get(name))
        )
        if name != "random" and name not in variants:
            near = content_baseline(values, f"Nearest neighbours, {name}")
            entries.append(
                baseline_entry(name + NEIGHBOURS, role, near, features=features, **budget)
            )
    if oracle is not None:
        entries.append(Entry("oracle", "oracle", lambda *_: ScoringModel(oracle)))
    return sorted(entries, key=lambda entry: order_of(entry.name))


def too_large_for(dataset: Dataset) -> dict[str, int]:
    """Baselines that cannot be fitted to a dataset: name -> the most training items that they take."""
    known = int((~dataset.cold).sum())
    return {
        name: one.most_items
        for name, one in BASELINES.items()
        if one.most_items is not None and known > one.most_items
    }


def _always(values: np.ndarray) -> Callable[[int], np.ndarray]:
    """The same features whatever the seed."""
    return lambda seed: values


def select(entries: Sequence[Entry], names: Sequence[str] | None) -> list[Entry]:
    """The entries with the given names, in the order of the report; all if None."""
    if names is None:
        return list(entries)
    known = [entry.name for entry in entries]
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no model {name!r} here; choose from {', '.join(known)}.")
    return [entry for entry in entries if entry.name in names]

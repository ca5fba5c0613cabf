"""The models that are compared: how each is built and tuned. Their names are in `eval.models.naming`.

A bundle's recommenders are evaluated as they are stored. All others are fitted here, with the budget and
the tuning of `python -m tpad train`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, partial
from hashlib import sha256
from typing import Any

import numpy as np

from eval.baselines import BASELINES
from eval.baselines.registry import Baseline, content_baseline, ensemble_baseline
from eval.baselines.tuning import tune
from eval.models.features import attribute_features, random_features, text_features
from eval.models.naming import ENSEMBLES, NEIGHBOURS, SUBJECT, VARIANT, Role, main_set, order_of
from eval.models.session_recommender import EmbeddingModel, Progress, ScoringModel
from eval.models.shipped import Shipped
from eval.protocol import CASES, Protocol, RankingModel
from tpad import ConfigError, Dataset
from tpad.model.parts import Parts
from tpad.training.fusion import FusionConfig, FusionTuning, tune_fused

Tuned = dict[str, Any]
TRIES = 3
"""Default number of settings tried for each baseline."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One model of the comparison.

    Attributes:
        name: in tables and in the database.
        role: "baseline" is what TPAD is compared with; "tpad" is TPAD or a variant of it;
            "reference" and "oracle" use information that no real model has.
        make: builds the unfitted model from a seed, tuned settings, and a progress function.
        tune: tunes settings on validation sessions, for a seed; returns plain values to store, or
            None if there is nothing to tune.
        features: the features for a seed, if the model uses an embedding set.
        settings: everything else that its result depends on, as JSON values.
        seeded: whether the result depends on the seed; if not, the model is run once.
    """

    name: str
    role: Role
    make: Callable[[int, Tuned | None, Progress], RankingModel]
    tune: Callable[[Dataset, int, Progress], Tuned | None] = lambda *_: None
    features: Callable[[int], np.ndarray] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeded: bool = False

    def digest(self, seed: int) -> str | None:
        """sha256 (hex) of the features, or None; it identifies equal runs."""
        if self.features is None:
            return None
        values = np.ascontiguousarray(self.features(seed))
        return sha256(str((values.shape, values.dtype.str)).encode() + values.tobytes()).hexdigest()


def embedding_entry(
    name: str,
    role: Role,
    features: Callable[[int], np.ndarray],
    config: FusionConfig,
    *,
    parts: Parts | None = None,
    shipped: Shipped | None = None,
) -> Entry:
    """The fused recommender over an embedding set.

    Args:
        name, role: of the entry.
        features: (n_items, n_features) for a seed.
        config: settings of the recommender.
        parts: of the features, see `tpad.model.parts`.
        shipped: the bundle's own recommender. It is evaluated as it is; for other seeds, recommenders
            with its settings are fitted, and nothing is tuned again.
    """

    def make(seed: int, tuned: Tuned | None, progress: Progress) -> RankingModel:
        if shipped is not None and seed == shipped.seed:
            return ScoringModel(shipped.model)
        assert tuned is not None  # `tune_settings` always returns them
        tuning = FusionTuning.from_json(tuned)
        return EmbeddingModel(name, features(seed), tuning, seed, progress)

    def tune_settings(dataset: Dataset, seed: int, progress: Progress) -> Tuned:
        if shipped is not None:
            return asdict(shipped.tuning)
        return asdict(
            tune_fused(
                features(seed),
                dataset.train,
                dataset.validation,
                ~dataset.cold,
                replace(config, seed=seed),
                parts=parts,
                progress=progress,
            )
        )

    settings: dict[str, Any] = asdict(config) | {"parts": None if parts is None else dict(parts)}
    if shipped is not None:
        settings = {"shipped": shipped.checksum, "shipped_seed": shipped.seed}
    return Entry(name, role, make, tune_settings, features, settings, seeded=True)


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
    """A baseline of `eval.baselines`, with its settings tuned.

    Args:
        name, role: of the entry.
        baseline: the model.
        tries: number of settings tried on validation sessions.
        epochs: most epochs of a neural model; its own default if None.
        protocol: which cases are evaluated, in validation too.
        features: see `Entry.features`.
    """
    evaluated = protocol or Protocol()
    budget = {}
    if epochs is not None and "epochs" in {one.name for one in fields(baseline.config)}:
        budget = {"epochs": epochs}

    def tune_settings(dataset: Dataset, seed: int, progress: Progress) -> Tuned | None:
        found = tune(
            baseline,
            dataset,
            seed,
            tries,
            settings=budget,
            mask_seen=evaluated.mask_history,
            cases=CASES[evaluated.cases],
            progress=progress,
        )
        return asdict(found) if found.settings else None

    def make(seed: int, tuned: Tuned | None, progress: Progress) -> RankingModel:
        return baseline.make(seed, budget if tuned is None else tuned["settings"], progress)

    settings = {"tries": tries, **budget}
    return Entry(name, role, make, tune_settings, features, settings, seeded=baseline.seeded)


def all_entries(
    dataset: Dataset,
    embeddings: Mapping[str, np.ndarray],
    config: FusionConfig,
    oracle: RankingModel | None = None,
    *,
    extra: Mapping[str, np.ndarray] | None = None,
    ablations: Mapping[str, np.ndarray] | None = None,
    parts: Mapping[str, Parts] | None = None,
    shipped: Mapping[str, Shipped] | None = None,
    tries: int = TRIES,
    protocol: Protocol | None = None,
) -> list[Entry]:
    """All models that can be compared on a dataset, in the order of the report.

    Baselines that cannot be fitted to so many items are left out, see `too_large_for`.

    Args:
        dataset: items and sessions.
        embeddings: sets of a bundle, name -> (n_items, n). The main set (see `naming.main_set`) and
            names that start with "tpad" are TPAD and its variants, all others are baselines. Without
            sets, "random" and "tfidf" are computed.
        config: settings of the recommender, the same for all; neural baselines get the epochs of its
            network over the features.
        oracle: the exact law of the shop, if it is known.
        extra: further embedding sets, such as those from files; baselines.
        ablations: embedding sets of `python -m tpad ablate`; variants of TPAD, named "tpad-…", with
            the network settings of TPAD and without nearest neighbours.
        parts: name of a model -> parts of its embedding set, see `tpad.model.parts`; other sets are one
            part.
        shipped: the recommenders of a bundle by set, which are evaluated as they are.
        tries: number of settings tried for each baseline.
        protocol: which cases are evaluated.

    Raises:
        ConfigError: an embedding set does not have one row per item, or a name is taken.
    """
    budget: dict[str, Any] = {"tries": tries, "protocol": protocol}
    config = replace(config, mask_seen=(protocol or Protocol()).mask_history)
    entries = _baselines(dataset, embeddings, config.content.epochs, budget)
    if not embeddings:
        noise = partial(random_features, dataset)
        entries.append(embedding_entry("random", "baseline", noise, config))
    shipped = shipped or {}
    of_ablations = config
    if SUBJECT in shipped:  # nothing differs but what was left out
        of_ablations = replace(config, content=shipped[SUBJECT].tuning.network, tried=("content",))
    for one in _embedding_sets(dataset, embeddings, extra or {}, ablations or {}):
        features = _constant(one.values)
        budgeted = of_ablations if one.is_ablation else config
        entries.append(
            embedding_entry(
                one.name,
                one.role,
                features,
                budgeted,
                parts=(parts or {}).get(one.name),
                shipped=shipped.get(one.name),
            )
        )
        if one.name != "random" and not one.is_ablation:
            near = content_baseline(one.values, f"Nearest neighbours, {one.name}")
            name, role = one.name + NEIGHBOURS, one.role
            if role == "tpad" and not name.startswith(SUBJECT):  # given vectors are no part of TPAD
                role = "baseline"
            entries.append(baseline_entry(name, role, near, features=features, **budget))
    if oracle is not None:
        entries.append(Entry("oracle", "oracle", lambda *_: ScoringModel(oracle)))
    return sorted(entries, key=lambda entry: order_of(entry.name))


def _baselines(
    dataset: Dataset, embeddings: Mapping[str, np.ndarray], epochs: int, budget: dict[str, Any]
) -> list[Entry]:
    """The baselines by item id and the ensembles that can be fitted to so many items."""
    left_out = too_large_for(dataset)
    entries = [
        baseline_entry(name, "baseline", one, epochs=epochs, **budget)
        for name, one in BASELINES.items()
        if name not in left_out
    ]
    text = _text(dataset, embeddings)
    for name, part in ENSEMBLES.items():
        if name not in left_out:
            joined = ensemble_baseline(part, text)
            features = _any_seed(text)
            entries.append(baseline_entry(name, "baseline", joined, features=features, **budget))
    return entries


@dataclass(frozen=True, eq=False)
class _EmbeddingSet:
    """An embedding set of the comparison, (n_items, n) values."""

    name: str
    role: Role
    values: np.ndarray
    is_ablation: bool = False


def _embedding_sets(
    dataset: Dataset,
    embeddings: Mapping[str, np.ndarray],
    extra: Mapping[str, np.ndarray],
    ablations: Mapping[str, np.ndarray],
) -> list[_EmbeddingSet]:
    """All embedding sets that are compared, see `all_entries`."""
    sets: dict[str, _EmbeddingSet] = {}

    def add(name: str, role: Role, values: np.ndarray, is_ablation: bool = False) -> None:
        if values.ndim != 2 or len(values) != len(dataset.items):
            raise ConfigError(
                f"Embedding set {name} has shape {values.shape} but the dataset has "
                f"{len(dataset.items)} items; the two do not belong together."
            )
        sets[name] = _EmbeddingSet(name, role, values, is_ablation)

    if not embeddings:
        add("tfidf", "baseline", text_features(dataset))
    variants = {VARIANT + name: values for name, values in ablations.items()}
    taken = {*sets, *embeddings, *variants, *BASELINES, *ENSEMBLES, "attributes"}
    for name, values in extra.items():
        if name in taken:
            raise ConfigError(f"There is already a model {name}; choose another name for the set.")
        add(name, "baseline", values)
    main = main_set(embeddings)
    for name, values in embeddings.items():
        add(name, "tpad" if name.startswith(SUBJECT) or name == main else "baseline", values)
    for name, values in variants.items():
        add(name, "tpad", values, is_ablation=True)
    attributes = attribute_features(dataset)
    if attributes is not None:
        add("attributes", "reference", attributes)
    return list(sets.values())


def too_large_for(dataset: Dataset) -> dict[str, int]:
    """Baselines that cannot be fitted to a dataset: name -> most training items they can be fitted to."""
    known = int((~dataset.cold).sum())
    ensembles = {name: BASELINES[part] for name, part in ENSEMBLES.items()}
    return {
        name: one.most_items
        for name, one in (BASELINES | ensembles).items()
        if one.most_items is not None and known > one.most_items
    }


def _constant(values: np.ndarray) -> Callable[[int], np.ndarray]:
    """The same features for every seed."""
    return lambda seed: values


def _any_seed(features: Callable[[], np.ndarray]) -> Callable[[int], np.ndarray]:
    """The same features for every seed, computed when they are needed."""
    return lambda seed: features()


def _text(dataset: Dataset, embeddings: Mapping[str, np.ndarray]) -> Callable[[], np.ndarray]:
    """TF-IDF of the text: the bundle's set, or else computed once it is needed."""
    given = embeddings.get("tfidf")
    return cache(lambda: text_features(dataset) if given is None else given)


def select(entries: Sequence[Entry], names: Sequence[str] | None) -> list[Entry]:
    """The entries with the given names, in the order of the report; all if None."""
    if names is None:
        return list(entries)
    known = [entry.name for entry in entries]
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no model {name!r} here; choose from {', '.join(known)}.")
    return [entry for entry in entries if entry.name in names]

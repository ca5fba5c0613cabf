"""All baselines by name, with the settings that tuning may try."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eval.baselines.content import ContentConfig, ContentNeighbours
from eval.baselines.ease import EASE, EASEConfig
from eval.baselines.ensemble import (
    EASEEnsembleConfig,
    Ensemble,
    VSKNNEnsembleConfig,
    choose_weight_and_offset,
)
from eval.baselines.gru4rec import GRU4Rec
from eval.baselines.item_knn import ItemKNN, ItemKNNConfig
from eval.baselines.linear import MOST_ITEMS
from eval.baselines.markov import Markov
from eval.baselines.narm import NARM
from eval.baselines.neural import NeuralModel
from eval.baselines.popularity import Popularity, SessionPopularity
from eval.baselines.sasrec import SASRec
from eval.baselines.settings import build
from eval.baselines.slist import SLIST, SLISTConfig
from eval.baselines.srgnn import SRGNN
from eval.baselines.validation import ValidationCases
from eval.baselines.vsknn import VSKNN, VSKNNConfig
from eval.protocol import RankingModel
from tpad.model.session.fitted import EpochReport
from tpad.settings import settings

Progress = Callable[[EpochReport], None] | None
Settings = Mapping[str, Any]
Factory = Callable[[int, Settings | None, Progress], RankingModel]
Chooser = Callable[[Any, ValidationCases], tuple[dict[str, Any], float]]

Table = Mapping[str, tuple[Any, ...]]
"""Setting -> values to try; all combinations are possible."""

_NEURAL: Table = {
    "width": (64, 96, 128),
    "dropout": (0.1, 0.2, 0.4),
    "learning_rate": (1e-3, 2e-3, 5e-3, 1e-2),
    "weight_decay": (0.01, 0.3),
}
_VSKNN: Table = {
    "k": (50, 100, 200, 500, 1000, 1500),
    "sample_size": (500, 1000, 2500, 5000, 10000),
    "similarity": ("dot", "cosine"),
    "weighting": ("same", "linear", "div", "log", "quadratic"),
    "weighting_score": ("same", "linear", "div", "log", "quadratic"),
    "idf_weighting": (0.0, 1.0, 2.0, 5.0, 10.0),
}
_EASE: Table = {
    "regularisation": (10.0, 50.0, 100.0, 200.0, 500.0, 1000.0),
    "decay": (None, 1.0, 3.0, 5.0, 10.0),
}
_CONTENT_DECAY = (1.0, 3.0, 10.0)
SEARCH: dict[str, tuple[Table, ...]] = {
    "popularity": (),
    "session_popularity": (),
    "markov": (),  # it tunes its smoothing itself, on the validation sessions
    "item_knn": ({"k": (20, 50, 100, 200, 500), "regularisation": (0.0, 5.0, 20.0, 50.0, 100.0)},),
    "vsknn": (_VSKNN,),
    "ease": (_EASE,),
    "slist": (
        {
            "alpha": (0.2, 0.4, 0.6, 0.8, 1.0),
            "regularisation": (10.0, 50.0, 200.0),
            "position_decay": (0.5, 1.0, 2.0, 4.0),
            "input_decay": (0.5, 1.0, 2.0, 4.0, 8.0),
            "time_decay": (None, 8.0, 64.0, 256.0),
        },
    ),
    "gru4rec": ({**_NEURAL, "loss": ("cross-entropy", "bpr-max")},),
    "narm": (_NEURAL,),
    "srgnn": ({**_NEURAL, "steps": (1, 2)},),
    "sasrec": ({**_NEURAL, "layers": (1, 2)},),
    "content": (
        {"query": ("recency",), "decay": _CONTENT_DECAY, "centre": (False, True)},
        {"query": ("last", "mean"), "centre": (False, True)},
    ),
    "vsknn_content": ({**_VSKNN, "content_decay": _CONTENT_DECAY},),
    "ease_content": ({**_EASE, "content_decay": _CONTENT_DECAY},),
}
"""What `tune` may try: name of the model -> tables; each combination is one try."""


@settings
class NoConfig:
    """For models without settings."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """One baseline.

    Attributes:
        title: its name for people.
        make: builds the unfitted model from a seed, settings (with the names of `config`; others keep
            their defaults) and a progress function. Raises ConfigError for invalid settings.
        config: the frozen dataclass of its settings.
        search: the settings that `tune` may try.
        seeded: whether the result depends on the seed.
        new_items: whether it scores items without clicks; if so, it is tuned on these too.
        most_items: maximum number of training items; None: no limit.
        choose: chooses further settings of a fitted model, for which it need not be fitted again; returns
            them and the validation value by which tries are compared. None: that value is the MRR@20.
    """

    title: str
    make: Factory
    config: type = NoConfig
    search: tuple[Table, ...] = ()
    seeded: bool = False
    new_items: bool = False
    most_items: int | None = None
    choose: Chooser | None = None


def _plain(
    name: str, title: str, kind: type, config: type = NoConfig, most_items: int | None = None
) -> Baseline:
    def make(seed: int, settings: Settings | None, progress: Progress) -> RankingModel:
        checked: Any = build(config, settings)
        return kind() if config is NoConfig else kind(checked)

    return Baseline(title, make, config, SEARCH[name], most_items=most_items)


def _neural(name: str, title: str, kind: type[NeuralModel]) -> Baseline:
    def make(seed: int, settings: Settings | None, progress: Progress) -> RankingModel:
        return kind(replace(build(kind.Config, settings), seed=seed), progress)

    return Baseline(title, make, kind.Config, SEARCH[name], seeded=True)


BASELINES: dict[str, Baseline] = {
    "popularity": _plain("popularity", "Popularity", Popularity),
    "session_popularity": _plain("session_popularity", "Session popularity", SessionPopularity),
    "markov": _plain("markov", "Markov chain", Markov),
    "item_knn": _plain("item_knn", "Item-kNN", ItemKNN, ItemKNNConfig),
    "vsknn": _plain("vsknn", "V-SKNN", VSKNN, VSKNNConfig),
    "ease": _plain("ease", "EASE", EASE, EASEConfig, MOST_ITEMS),
    "slist": _plain("slist", "SLIST", SLIST, SLISTConfig, MOST_ITEMS),
    "gru4rec": _neural("gru4rec", "GRU4Rec", GRU4Rec),
    "narm": _neural("narm", "NARM", NARM),
    "srgnn": _neural("srgnn", "SR-GNN", SRGNN),
    "sasrec": _neural("sasrec", "SASRec", SASRec),
}
"""Baselines by item id, in the order of a table; for baselines by content see `content_baseline`."""


def content_baseline(
    features: np.ndarray, title: str = "Nearest neighbours", present: np.ndarray | None = None
) -> Baseline:
    """A baseline of nearest neighbours in an embedding set.

    Args:
        features: (n_items, n_features).
        title: its name for people.
        present: (n_items,) bool, which items have features; all by default.
    """

    def make(seed: int, settings: Settings | None, progress: Progress) -> RankingModel:
        return ContentNeighbours(features, build(ContentConfig, settings), present)

    return Baseline(title, make, ContentConfig, SEARCH["content"], new_items=True)


def ensemble_baseline(by_id: str, features: Callable[[], np.ndarray]) -> Baseline:
    """A baseline by item id joined with nearest neighbours in an embedding set.

    Its weight and offset are chosen in each try of the search, see `choose_weight_and_offset`.

    Args:
        by_id: "vsknn" or "ease".
        features: gives the set, (n_items, n_features).
    """
    part = BASELINES[by_id]
    kind, config = _JOINED[by_id]

    def make(seed: int, settings: Settings | None, progress: Progress) -> RankingModel:
        checked: Any = build(config, settings)
        content = ContentNeighbours(features(), ContentConfig(decay=checked.content_decay))
        return Ensemble(kind(checked), content, checked.weight, checked.offset)

    return Baseline(
        f"{part.title} + TF-IDF neighbours",
        make,
        config,
        SEARCH[f"{by_id}_content"],
        new_items=True,
        most_items=part.most_items,
        choose=choose_weight_and_offset,
    )


_JOINED: dict[str, tuple[type, type]] = {
    "vsknn": (VSKNN, VSKNNEnsembleConfig),
    "ease": (EASE, EASEEnsembleConfig),
}

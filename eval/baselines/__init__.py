"""Baselines that TPAD is held against, all with the contract of `eval.protocol.RankingModel`.

    model = BASELINES["vsknn"].make(0, {"k": 200}, None).fit(dataset)
    model.scores(sessions)  # (n, n_items) float32, −inf for what it cannot score

| model | knows | scores new items |
| --- | --- | --- |
| `Popularity`, `SessionPopularity`, `Markov`, `ItemKNN`, `VSKNN` | counts of clicks | no |
| `EASE`, `SLIST` | linear weights between items, in closed form | no |
| `GRU4Rec`, `NARM`, `SRGNN`, `SASRec` | a learnt embedding of each item | no |
| `ContentNeighbours` | features of the items | yes |

Wherever a model by item ID knows nothing of a session, as after a cold item, it answers with
popularity.
"""

from typing import TYPE_CHECKING

from tpad.lazy import lazy_names

if TYPE_CHECKING:
    from eval.baselines.content import ContentConfig, ContentNeighbours
    from eval.baselines.ease import EASE, EASEConfig
    from eval.baselines.gru4rec import GRU4Rec, GRU4RecConfig
    from eval.baselines.item_knn import ItemKNN, ItemKNNConfig
    from eval.baselines.markov import Markov
    from eval.baselines.narm import NARM
    from eval.baselines.neural import NeuralConfig, NeuralModel
    from eval.baselines.popularity import Popularity, SessionPopularity
    from eval.baselines.registry import BASELINES, SEARCH, Baseline, content_baseline
    from eval.baselines.sasrec import SASRec, SASRecConfig
    from eval.baselines.slist import SLIST, SLISTConfig
    from eval.baselines.srgnn import SRGNN, SRGNNConfig
    from eval.baselines.tuning import Tuning, baseline_of, tune
    from eval.baselines.validation import ValidationCases
    from eval.baselines.vsknn import VSKNN, VSKNNConfig

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "content": ("ContentConfig", "ContentNeighbours"),
        "ease": ("EASE", "EASEConfig"),
        "gru4rec": ("GRU4Rec", "GRU4RecConfig"),
        "item_knn": ("ItemKNN", "ItemKNNConfig"),
        "markov": ("Markov",),
        "narm": ("NARM",),
        "neural": ("NeuralConfig", "NeuralModel"),
        "popularity": ("Popularity", "SessionPopularity"),
        "registry": ("BASELINES", "SEARCH", "Baseline", "content_baseline"),
        "sasrec": ("SASRec", "SASRecConfig"),
        "slist": ("SLIST", "SLISTConfig"),
        "srgnn": ("SRGNN", "SRGNNConfig"),
        "tuning": ("Tuning", "baseline_of", "tune"),
        "validation": ("ValidationCases",),
        "vsknn": ("VSKNN", "VSKNNConfig"),
    },
)

__all__ = [
    "BASELINES",
    "EASE",
    "NARM",
    "SEARCH",
    "SLIST",
    "SRGNN",
    "VSKNN",
    "Baseline",
    "ContentConfig",
    "ContentNeighbours",
    "EASEConfig",
    "GRU4Rec",
    "GRU4RecConfig",
    "ItemKNN",
    "ItemKNNConfig",
    "Markov",
    "NeuralConfig",
    "NeuralModel",
    "Popularity",
    "SASRec",
    "SASRecConfig",
    "SLISTConfig",
    "SRGNNConfig",
    "SessionPopularity",
    "Tuning",
    "VSKNNConfig",
    "ValidationCases",
    "baseline_of",
    "content_baseline",
    "tune",
]

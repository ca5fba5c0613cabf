"""Baselines that TPAD is compared with; all follow `eval.protocol.RankingModel`.

    model = BASELINES["vsknn"].make(0, {"k": 200}, None).fit(dataset)
    model.scores(sessions)  # (n, n_items) float32, −inf for items it cannot score

| model | uses | scores new items |
| --- | --- | --- |
| `Popularity`, `SessionPopularity`, `Markov`, `ItemKNN`, `VSKNN` | counts of clicks | no |
| `EASE`, `SLIST` | linear item-item weights, in closed form | no |
| `GRU4Rec`, `NARM`, `SRGNN`, `SASRec` | a learned embedding of each item | no |
| `ContentNeighbours` | item features | yes |
| `Ensemble` | `VSKNN` or `EASE`, and `ContentNeighbours` | yes |

If a model by item id knows no item of a session, as after a cold item, it ranks by popularity.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

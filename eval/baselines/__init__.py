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

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

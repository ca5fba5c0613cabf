"""The recommender and index of each embedding set, over the items of a catalogue."""

import threading

from tpad.bundle import Bundle
from tpad.catalogue import Catalogue, Ranker
from tpad.index import IndexSettings


class Rankers:
    """Builds rankers at first use, and extends them when items are added.

    Args:
        bundle: the bundle.
        search, settings: as in `FusedIndex`.
    """

    def __init__(self, bundle: Bundle, search: str, settings: IndexSettings | None) -> None:
        self.bundle, self.search, self.settings = bundle, search, settings
        self._own: dict[str, Ranker] = {}  # by set, over the bundle's items alone
        self._lock = threading.RLock()

    def of(self, catalogue: Catalogue, model: str) -> Ranker:
        """The ranker of an embedding set over the whole catalogue."""
        ranker = catalogue.rankers.get(model)
        if ranker is None or ranker.n_blocks < len(catalogue.blocks):
            with self._lock:
                if model not in self._own:
                    from tpad.fused_index import FusedIndex

                    fitted = self.bundle.recommenders[model]
                    self._own[model] = Ranker(0, FusedIndex(fitted, self.search, self.settings))
                ranker = catalogue.rankers.get(model, self._own[model])
                ranker = ranker.with_blocks(catalogue.blocks, model)
                catalogue.rankers[model] = ranker
        return ranker

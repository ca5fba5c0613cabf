"""The public interface of a trained model: recommends items for sessions of ids, pictures and new items."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tpad.bundle import Bundle
from tpad.catalogue import Catalogue, Ranker
from tpad.content import Content, Element, checked, elements_of
from tpad.data.columns import Columns
from tpad.errors import ConfigError
from tpad.index import METHODS, IndexSettings
from tpad.rankers import Rankers
from tpad.shop_items import ShopItems

if TYPE_CHECKING:  # torch takes seconds to import
    from tpad.model.session.evidence import ScoreParts
    from tpad.model.session.fused import SessionQuery

MODEL = "model"


class Recommender(ShopItems):
    """Recommends the next item of a session; use `tpad.load` to create one.

    It is thread-safe: each call works on the catalogue as it was when the call began, even if another
    thread adds items.

    Args:
        bundle: the trained bundle.
        search: search method, see `tpad.index.Index`: "exact", "faiss", "ivf", "hnsw", or "auto", which
            is exact for catalogues below 200,000 items.
        search_settings: settings of the approximate methods.

    Attributes:
        bundle: the bundle.
        models: names of the embedding sets, the bundle's main model first.

    Example:
        >>> import tpad
        >>> shop = tpad.load("assets/demo")
        >>> cover = tpad.NewItem(title="back cover for Orbit5", price=12.0)
        >>> shop.recommend(["item-0011", cover], k=2)["item_id"].tolist()
        ['item-0709', 'item-0208']
        >>> shop.compare(["item-0011"], ["tpad", "random"], k=2)["model"].tolist()
        ['tpad', 'tpad', 'random', 'random']
        >>> shop.encode([cover]).shape
        (1, 197)
        >>> shop.add_items({"new-cover": cover})
        1
        >>> int(shop.cold.sum()), len(shop.items)
        (243, 1201)
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        search: str = "auto",
        search_settings: IndexSettings | None = None,
    ) -> None:
        if search not in METHODS:
            raise ConfigError(f"There is no search {search!r}; choose one of {', '.join(METHODS)}.")
        super().__init__(bundle)
        self.search, self.search_settings = search, search_settings
        self._rankers = Rankers(bundle, search, search_settings)

    @classmethod
    def load(
        cls,
        path_or_hub_id: str | Path,
        revision: str | None = None,
        *,
        search: str = "auto",
        search_settings: IndexSettings | None = None,
        **options: Any,
    ) -> "Recommender":
        """Open a bundle; other arguments and errors as in `Bundle.load`."""
        bundle = Bundle.load(path_or_hub_id, revision, **options)
        return cls(bundle, search=search, search_settings=search_settings)

    def __repr__(self) -> str:
        return f"Recommender({str(self.bundle.path)!r}, {len(self.items):,} items)"

    def recommend(
        self,
        session: Sequence[Element],
        k: int = 20,
        exclude_seen: bool = True,
        model: str | None = None,
        exploration: float | None = None,
    ) -> pd.DataFrame:
        """Recommend the items that are most likely to be clicked next.

        Args:
            session: at least one item id, picture or `NewItem`, in the order of the clicks; they may be
                mixed.
            k: number of items; fewer are returned if the catalogue has fewer.
            exclude_seen: whether to exclude the items whose ids are in the session.
            model: one of `models`; by default the first.
            exploration: wanted share of new items (without training clicks) in the lists, on average
                over sessions: 0 never shows them; 1 shows as many as possible. By default, the share
                that was best for clicked and new items together in training.

        Returns:
            A table with item_id (str), score (float32, comparable only within this call), rank (int,
            from 1) and is_cold (bool, True for items that occur in no training session), best first.
            Ties are in the order of `items`.

        Raises:
            ConfigError: the session is empty, k is below 1, there is no such model, or the exploration
                is not a share that this model knows.
            DataError: an id is unknown, or an element has another type.
            ImageError: a picture cannot be used.
        """
        catalogue, elements = self._catalogue, elements_of(session)
        name = self._model_name(model)
        return self._recommend(catalogue, elements, k, exclude_seen, name, exploration)

    def compare(
        self,
        session: Sequence[Element],
        models: Sequence[str] | None = None,
        k: int = 20,
        exclude_seen: bool = True,
        exploration: float | None = None,
    ) -> pd.DataFrame:
        """Recommendations of several models for the same session.

        Args:
            session, k, exclude_seen, exploration: as in `recommend`.
            models: names of the models; None for all.

        Returns:
            A table with model (str) and the columns of `recommend`, one model after the other.
        """
        catalogue, elements = self._catalogue, elements_of(session)
        names = self.models if models is None else [self._model_name(name) for name in models]
        if not names:
            raise ConfigError("There are no models to compare; name at least one.")
        self._encode_new(elements, names)  # one forward pass for all models
        options = k, exclude_seen
        frames = [
            self._recommend(catalogue, elements, *options, name, exploration) for name in names
        ]
        table = pd.concat(frames, ignore_index=True)
        table.insert(0, MODEL, np.repeat(list(names), [len(frame) for frame in frames]))
        return table

    def scores(
        self,
        session: Sequence[Element],
        model: str | None = None,
        exploration: float | None = None,
    ) -> np.ndarray:
        """Scores of all items as the next item, in the order of `items`: (n_items,) float32.

        Items of the session are scored too; items that are never shown have the score −inf. Arguments
        and errors are as in `recommend`.
        """
        catalogue, name = self._catalogue, self._model_name(model)
        query, _, ranker = self._query(catalogue, elements_of(session), name, exploration)
        return ranker.model.match(query)

    def scores_of(
        self,
        session: Sequence[Element],
        items: Sequence[Element],
        model: str | None = None,
        exploration: float | None = None,
    ) -> np.ndarray:
        """Scores of some items as the next item: (n,) float32, comparable with those of `scores`.

        Args:
            session, model, exploration: as in `recommend`.
            items: ids, pictures or `NewItem`s, or a mixture. New items get the score that they would
                have after `add_items`. The list may be empty.

        Raises:
            ConfigError, DataError, ImageError: as in `recommend`.
        """
        catalogue, name = self._catalogue, self._model_name(model)
        query, _, ranker = self._query(catalogue, elements_of(session), name, exploration)
        rows, new = self._rows(catalogue, checked(items), name)
        known = rows < len(catalogue)
        scores = np.empty(len(rows), np.float32)
        scores[known] = ranker.model.scores_at(query, rows[known])
        scores[~known] = ranker.model.scores_of_new(query, new)
        return scores

    def score_parts(
        self,
        session: Sequence[Element],
        item_id: str,
        model: str | None = None,
        exploration: float | None = None,
    ) -> "ScoreParts":
        """What network, memory and content add to the score of an item, and the memory's evidence.

        Args:
            session, model, exploration: as in `recommend`.
            item_id: id of an item of the catalogue.

        Raises:
            ConfigError, DataError, ImageError: as in `recommend`.
        """
        from tpad.model.session.evidence import score_parts

        catalogue, name = self._catalogue, self._model_name(model)
        item = catalogue.row_for(item_id, name)
        rows, new = self._rows(catalogue, elements_of(session), name)
        ranker = self._rankers.of(catalogue, name)
        parts = score_parts(ranker.model, rows, item, new, exploration)
        clicks, owners = self._training_clicks
        return parts.with_sessions(clicks, owners) if len(clicks) else parts

    def encode(self, items: Sequence[Element], model: str | None = None) -> np.ndarray:
        """Embeddings of items: (n, d) float32.

        Args:
            items: ids, pictures or `NewItem`s, or a mixture. The list may be empty.
            model: as in `recommend`.

        Raises:
            ConfigError, DataError, ImageError: as in `recommend`.
        """
        catalogue, name = self._catalogue, self._model_name(model)
        rows, new = self._rows(catalogue, checked(items), name)
        known = rows < len(catalogue)
        features = np.empty((len(rows), new.shape[1]), np.float32)
        features[known] = self._rankers.of(catalogue, name).model.network.features_of(rows[known])
        features[~known] = new
        return features

    def recall(
        self, sessions: Sequence[Sequence[Element]], k: int = 20, model: str | None = None
    ) -> float:
        """Mean share of the k best items that an approximate search finds.

        Args:
            sessions: at least one session, as in `recommend`.
            k, model: as in `recommend`.
        """
        catalogue, name = self._catalogue, self._model_name(model)
        queries = [self._query(catalogue, elements_of(each), name)[0] for each in sessions]
        return self._rankers.of(catalogue, name).index.recall(queries, k)

    def _recommend(
        self,
        catalogue: Catalogue,
        elements: Sequence[str | Content],
        k: int,
        exclude_seen: bool,
        model: str,
        exploration: float | None,
    ) -> pd.DataFrame:
        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}.")
        query, rows, ranker = self._query(catalogue, elements, model, exploration)
        seen = rows[rows < len(catalogue)] if exclude_seen else ()
        found, scores = ranker.index.search(query, k, seen)  # (m,) each
        return pd.DataFrame(
            {
                Columns.ITEM_ID: pd.array(catalogue.ids[found], dtype="str"),
                Columns.SCORE: scores,
                Columns.RANK: np.arange(1, len(found) + 1),
                Columns.IS_COLD: catalogue.cold[found],
            }
        )

    def _query(
        self,
        catalogue: Catalogue,
        elements: Sequence[str | Content],
        model: str,
        exploration: float | None = None,
    ) -> tuple["SessionQuery", np.ndarray, Ranker]:
        """A session as the model reads it, rows of its elements (n,), and the ranker of the model."""
        rows, new = self._rows(catalogue, elements, model)
        ranker = self._rankers.of(catalogue, model)
        return ranker.model.query(rows, new, exploration), rows, ranker

    @cached_property
    def _training_clicks(self) -> tuple[np.ndarray, np.ndarray]:
        """Items and sessions of all training clicks; none if the sessions were not exported."""
        train = self.bundle.dataset.train
        return train.clicks, train.owners


def load(path_or_hub_id: str | Path, revision: str | None = None, **options: Any) -> Recommender:
    """Open a trained bundle.

    Args:
        path_or_hub_id: folder of a bundle, or id of a repository on the Hugging Face hub.
        revision: branch, tag or commit of the repository.
        options: `device` ("auto", "cpu", "cuda"), `verify` ("standard", "fast", "full") and
            `search` ("auto", "exact", "faiss", "ivf", "hnsw").

    Raises:
        BundleError: there is no such bundle, or it is incomplete or damaged.

    Example:
        >>> import tpad
        >>> shop = tpad.load("assets/demo")
        >>> shop
        Recommender('assets/demo', 1,200 items)
        >>> shop.recommend(["item-0011"], k=3)["item_id"].tolist()
        ['item-0709', 'item-0208', 'item-0467']
    """
    return Recommender.load(path_or_hub_id, revision, **options)

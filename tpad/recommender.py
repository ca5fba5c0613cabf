"""The public face of a trained TPAD: recommends from ids, pictures and new items, mixed.

Longer than other files, as each public method says what it takes, gives and raises.
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tpad.bundle import Bundle
from tpad.catalogue import Block, Catalogue, Ready
from tpad.content import BATCH, Content, Element, EncodingCache, elements_of
from tpad.data.columns import Columns
from tpad.data.images import fit_square
from tpad.errors import ConfigError
from tpad.index import METHODS, Index, IndexSettings
from tpad.new_items import Added, ItemTable, read_new_items

MODEL = "model"


class Recommender:
    """Recommends the next item of a session; made by `tpad.load`.

    Items that were added, uploaded pictures and other threads never change what a call in progress
    sees: a call works on the catalogue as it was when it began.

    Args:
        bundle: the trained bundle.
        search: how items are found, see `tpad.index.Index`: "exact", "faiss", "ivf", "hnsw", or
            "auto", which is exact for catalogues below 200,000 items.
        search_settings: of the approximate searches.

    Attributes:
        bundle: as given.
        models: names of the embedding sets that can be asked, the bundle's own model first.

    Example:
        >>> import tpad
        >>> shop = tpad.load("assets/demo")
        >>> cover = tpad.NewItem(title="back cover for Orbit5", price=12.0)
        >>> shop.recommend(["item-0011", cover], k=2)["item_id"].tolist()
        ['item-0175', 'item-0470']
        >>> shop.compare(["item-0011"], ["tpad", "random"], k=2)["model"].tolist()
        ['tpad', 'tpad', 'random', 'random']
        >>> shop.encode([cover]).shape
        (1, 192)
        >>> shop.add_items({"new-cover": cover})
        1
        >>> int(shop.cold.sum()), len(shop.items)
        (181, 1201)
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
        self.bundle, self.search, self.search_settings = bundle, search, search_settings
        self.models: tuple[str, ...] = bundle.sets
        self._catalogue = Catalogue.of(bundle)
        self._encodings = EncodingCache(bundle)
        self._own: dict[str, Ready] = {}  # by set, for the bundle's own items
        self._lock, self._adding = threading.RLock(), threading.Lock()

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

    @property
    def items(self) -> pd.DataFrame:
        """The item table, those that were added last; treat it as read-only."""
        return self._catalogue.items

    @property
    def cold(self) -> np.ndarray:
        """(n_items,) bool, True for an item that occurs in no training session."""
        return self._catalogue.cold

    def recommend(
        self,
        session: Sequence[Element],
        k: int = 20,
        exclude_seen: bool = True,
        model: str = "tpad",
    ) -> pd.DataFrame:
        """The items most likely to come next.

        Args:
            session: item ids, pictures and `NewItem`s in the order they were looked at, mixed as
                you like, at least one.
            k: how many; fewer are returned if the shop has no more.
            exclude_seen: whether items that the session names by id are left out.
            model: one of `models`.

        Returns:
            item_id (str), score (float32; comparable within the call only), rank (int, from 1) and
            is_cold (bool, True for an item in no training session), best first; equal scores in the
            order of the table.

        Raises:
            ConfigError: the session is empty, k is below 1, or there is no such model.
            DataError: an id is not known, or an element is of another kind.
            ImageError: a picture cannot be used.
        """
        catalogue, elements = self._catalogue, elements_of(session)
        return self._recommend(catalogue, elements, k, exclude_seen, self._model_name(model))

    def compare(
        self,
        session: Sequence[Element],
        models: Sequence[str] | None = None,
        k: int = 20,
        exclude_seen: bool = True,
    ) -> pd.DataFrame:
        """What several models recommend for the same session.

        Args:
            session, k, exclude_seen: as in `recommend`.
            models: several of `models`; None takes all.

        Returns:
            model (str), then the columns of `recommend`; one model after the other.
        """
        catalogue, elements = self._catalogue, elements_of(session)
        names = self.models if models is None else [self._model_name(name) for name in models]
        if not names:
            raise ConfigError("No model is given to compare; name at least one.")
        self._encodings.encode(_contents(elements), names)  # one forward serves them all
        frames = [self._recommend(catalogue, elements, k, exclude_seen, name) for name in names]
        table = pd.concat(frames, ignore_index=True)
        table.insert(0, MODEL, np.repeat(list(names), [len(frame) for frame in frames]))
        return table

    def scores(self, session: Sequence[Element], model: str = "tpad") -> np.ndarray:
        """Score of every item as the next one, in the order of `items`: (n_items,) float32.

        Items of the session are scored like the others. Arguments and errors as in `recommend`.
        """
        catalogue, name = self._catalogue, self._model_name(model)
        query, _, ready = self._query(catalogue, elements_of(session), name)
        return ready.fitted.match(query)

    def scores_of(
        self, session: Sequence[Element], items: Sequence[Element], model: str = "tpad"
    ) -> np.ndarray:
        """Scores of some items as the next one: (n,) float32, comparable with those of `scores`.

        Args:
            session, model: as in `recommend`.
            items: ids, pictures or `NewItem`s, mixed; what is in no catalogue is scored as it would
                be after `add_items`.

        Errors as in `recommend`; an empty list of items gives (0,).
        """
        catalogue, name = self._catalogue, self._model_name(model)
        query, _, ready = self._query(catalogue, elements_of(session), name)
        elements = [item if isinstance(item, str) else Content.of(item) for item in items]
        rows, guests = self._rows(catalogue, elements, name)
        known, fitted = rows < len(catalogue), ready.fitted
        vectors = np.empty((len(rows), len(query)), np.float32)
        vectors[known] = fitted.vectors_of(rows[known])
        vectors[~known] = fitted.encode_new(guests)
        return vectors @ query

    def encode(self, items: Sequence[Element], model: str = "tpad") -> np.ndarray:
        """Embeddings (n, d) float32 of items: ids, pictures or `NewItem`s, mixed.

        Errors as in `recommend`; an empty list gives (0, d).
        """
        catalogue, name = self._catalogue, self._model_name(model)
        elements = [item if isinstance(item, str) else Content.of(item) for item in items]
        rows, guests = self._rows(catalogue, elements, name)
        known = rows < len(catalogue)
        features = np.empty((len(rows), guests.shape[1]), np.float32)
        features[known] = self._ready(catalogue, name).fitted.features_of(rows[known])
        features[~known] = guests
        return features

    def add_items(
        self,
        table: ItemTable,
        *,
        image_root: str | Path | None = None,
        vectors: Mapping[str, str | Path] | None = None,
        strict: bool = True,
    ) -> int:
        """Add items to those that are ranked; each costs one forward and no training.

        Args:
            table: path of an item table, a frame of the same columns, or `NewItem`s keyed by
                item_id (a mapping or pairs).
            image_root: folder that a table's pictures are relative to; by default the table's own.
                A frame's pictures are looked for only if it is given.
            vectors: name -> file of vectors of these items, for a bundle that was trained with
                `--features`; the kinds of file are those of `tpad.data.vectors.VectorFile`.
            strict: refuse the table at its first fault. Otherwise faulty rows are mended, or left
                out, as in training, and a picture that cannot be read counts as missing.

        Returns:
            How many were added.

        Raises:
            DataError: the table cannot be used, or an item_id is taken; then nothing is added.
        """
        with self._adding:
            catalogue = self._catalogue
            frame, added = read_new_items(table, image_root, strict, vectors)
            catalogue.refuse(frame[Columns.ITEM_ID])  # before anything is encoded
            encoded = [self._encoded(batch, strict) for batch in _batches(added)]
            joined = {name: np.concatenate([e[name] for e in encoded]) for name in self.models}
            self._catalogue = catalogue.grown(frame, Block(len(frame), joined, added))
            return len(frame)

    def add_encoded(
        self,
        encoded: str | Path | tuple[Sequence[str], np.ndarray],
        items: str | Path | pd.DataFrame | None = None,
        *,
        image_root: str | Path | None = None,
        model: str = "tpad",
    ) -> int:
        """Add items whose embeddings are known, without any forward; they are cold.

        Args:
            encoded: a folder of shards that `python -m tpad encode` wrote with this bundle, or
                item_ids (n,) and embeddings (n, d).
            items: item table that has their titles, pictures and the rest; rows of other items are
                passed over, and faulty ones are mended. Without it only the ids are known.
            image_root: as in `add_items`.
            model: the set of embeddings that are given as an array; a folder says its own. Other
                models rank all other items, and refuse a session that names one of these.

        Returns:
            How many were added.

        Raises:
            ConfigError: there is no such model, or the shards were made by another bundle.
            DataError: the shards are not whole, the embeddings do not fit or are not finite, or an
                item_id is taken or comes twice; then nothing is added.
        """
        # Only here: encoding imports what takes seconds, and a shop may never need it.
        from tpad.encoding.serving import check_encoded, load_encoded, rows_of

        if isinstance(encoded, (str, Path)):
            ids, vectors, model = load_encoded(encoded, self.bundle)
        else:
            ids, vectors = list(encoded[0]), np.asarray(encoded[1], dtype=np.float32)
        self._model_name(model)
        vectors = check_encoded(ids, vectors, self.bundle.embeddings[model].shape[1], model)
        frame, root = rows_of(ids, items, image_root)
        with self._adding:
            block = Block(len(ids), {model: vectors}, image_root=root)
            self._catalogue = self._catalogue.grown(frame, block)
        return len(ids)

    def recall(
        self, sessions: Sequence[Sequence[Element]], k: int = 20, model: str = "tpad"
    ) -> float:
        """Mean share of the k best items that an approximate search finds, see `Index.recall`.

        Args:
            sessions: at least one; each as in `recommend`.
            k, model: as in `recommend`.
        """
        catalogue, name = self._catalogue, self._model_name(model)
        queries = [self._query(catalogue, elements_of(each), name)[0] for each in sessions]
        if not queries:
            raise ConfigError("Recall is measured on sessions; give at least one.")
        return self._ready(catalogue, name).index.recall(np.stack(queries), k)

    def image(self, item_id: str, size: int | None = None) -> Image.Image | None:
        """An item's picture, RGB; None if it has none.

        Args:
            item_id: of the catalogue, items that were added included.
            size: fit the whole picture into a white square of so many pixels a side.
        """
        catalogue = self._catalogue
        row = catalogue.row(item_id)
        if row < self.bundle.dataset.n_items:
            return self.bundle.dataset.image(row, size)
        image = catalogue.image(row)
        return image if image is None or size is None else fit_square(image, size)

    def _recommend(
        self,
        catalogue: Catalogue,
        elements: Sequence[str | Content],
        k: int,
        exclude_seen: bool,
        model: str,
    ) -> pd.DataFrame:
        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}.")
        query, rows, ready = self._query(catalogue, elements, model)
        seen = rows[rows < len(catalogue)] if exclude_seen else ()
        found, scores = ready.index.search(query, k, seen)  # (m,) each
        return pd.DataFrame(
            {
                Columns.ITEM_ID: pd.array(catalogue.ids[found], dtype="str"),
                Columns.SCORE: scores,
                Columns.RANK: np.arange(1, len(found) + 1),
                Columns.IS_COLD: catalogue.cold[found],
            }
        )

    def _query(
        self, catalogue: Catalogue, elements: Sequence[str | Content], model: str
    ) -> tuple[np.ndarray, np.ndarray, Ready]:
        """The session's vector (h + 1,), its rows (n,), and what is needed to search with it."""
        rows, guests = self._rows(catalogue, elements, model)
        ready = self._ready(catalogue, model)
        return ready.fitted.session_vectors([rows], guests)[0], rows, ready

    def _rows(
        self, catalogue: Catalogue, elements: Sequence[str | Content], model: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n,) int64 of the elements, and features (n_guests, d) of those in no catalogue,
        whose rows follow the catalogue's."""
        guests = iter(range(len(catalogue), len(catalogue) + len(elements)))
        rows = [
            catalogue.row_for(element, model) if isinstance(element, str) else next(guests)
            for element in elements
        ]
        features = self._encodings.encode(_contents(elements), [model])[model]
        return np.array(rows, dtype=np.int64), features

    def _encoded(self, batch: Sequence[Added], strict: bool) -> dict[str, np.ndarray]:
        """Their vectors in every set."""
        return self._encodings.encode([item.content(strict) for item in batch], self.models)

    def _ready(self, catalogue: Catalogue, model: str) -> Ready:
        """Session model and index of a set, over the catalogue."""
        ready = catalogue.ready.get(model)
        if ready is None or ready.n_blocks < len(catalogue.blocks):
            with self._lock:
                if model not in self._own:
                    fitted = self.bundle.recommenders[model]
                    index = Index(fitted.item_vectors, self.search, self.search_settings)
                    self._own[model] = Ready(0, fitted, index)
                ready = catalogue.ready.get(model, self._own[model])
                ready = ready.with_blocks(catalogue.blocks, model)
                catalogue.ready[model] = ready
        return ready

    def _model_name(self, model: str) -> str:
        if model not in self.models:
            raise ConfigError(
                f"There is no model {model!r} in this bundle; choose from {', '.join(self.models)}."
            )
        return model


def _contents(elements: Sequence[str | Content]) -> list[Content]:
    return [element for element in elements if isinstance(element, Content)]


def _batches(items: Sequence[Added]) -> list[Sequence[Added]]:
    """So many pictures at once lie in memory."""
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


def load(path_or_hub_id: str | Path, revision: str | None = None, **options: Any) -> Recommender:
    """Open a trained bundle to recommend with.

    Args:
        path_or_hub_id: a bundle's folder, or a repository of the Hugging Face hub.
        revision: of the repository.
        options: `device` ("auto", "cpu", "cuda"), `verify` ("standard", "fast", "full") and
            `search` ("auto", "exact", "faiss", "ivf", "hnsw").

    Raises:
        BundleError: there is no such bundle, or it is not whole.

    Example:
        >>> import tpad
        >>> shop = tpad.load("assets/demo")
        >>> shop
        Recommender('assets/demo', 1,200 items)
        >>> shop.recommend(["item-0011"], k=3)["item_id"].tolist()
        ['item-0578', 'item-0424', 'item-1020']
    """
    return Recommender.load(path_or_hub_id, revision, **options)

"""The public face of a trained TPAD: recommends from ids, pictures and new items, mixed."""

import difflib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from PIL import Image

from tpad.bundle import Bundle
from tpad.content import BATCH, Content, EncodingCache
from tpad.data.columns import Columns
from tpad.data.images import fit_square
from tpad.errors import ConfigError, DataError
from tpad.index import Index
from tpad.items import NewItem
from tpad.new_items import Added, ItemTable, read_new_items

if TYPE_CHECKING:
    from tpad.training.fitted_session_model import FittedSessionModel

Element: TypeAlias = str | Image.Image | NewItem
MODEL = "model"
CLOSE_IDS = 3  # suggested for an id that is not known


@dataclass(frozen=True, eq=False)
class _Catalogue:
    """The items that are ranked, at one moment; never changed, only replaced by a larger one."""

    items: pd.DataFrame
    cold: np.ndarray  # (n_items,) bool
    rows: dict[str, int]  # of each item_id
    added: tuple[Added, ...] = ()  # those after the bundle's own


class Recommender:
    """Recommends the next item of a session; made by `tpad.load`.

    Items that were added, uploaded pictures and other threads never change what a call in progress
    sees: a call works on the catalogue as it was when it began.

    Args:
        bundle: the trained bundle.
        search: "exact" or "faiss"; the results are equal.

    Attributes:
        bundle: as given.
        models: names of the embedding sets that can be asked, the bundle's own model first.
    """

    def __init__(self, bundle: Bundle, *, search: str = "exact") -> None:
        self.bundle, self.search = bundle, search
        self.models: tuple[str, ...] = bundle.sets
        items = bundle.dataset.items
        self._catalogue = _Catalogue(items, bundle.cold, dict(bundle.dataset.rows))
        self._encodings = EncodingCache(bundle)
        # Session model and index of each set, with the catalogue that they were made for.
        self._ready: dict[str, tuple[_Catalogue, FittedSessionModel, Index]] = {}
        self._lock, self._adding = threading.RLock(), threading.Lock()

    @classmethod
    def load(
        cls, path_or_hub_id: str | Path, revision: str | None = None, **options: Any
    ) -> "Recommender":
        """Open a bundle; arguments and errors as in `Bundle.load`."""
        return cls(Bundle.load(path_or_hub_id, revision, **options))

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
        catalogue, elements = self._catalogue, _elements_of(session)
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
        catalogue, elements = self._catalogue, _elements_of(session)
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
        query, _, fitted, _ = self._query(catalogue, _elements_of(session), name)
        return fitted.item_vectors @ query

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
        query, _, fitted, _ = self._query(catalogue, _elements_of(session), name)
        elements = [item if isinstance(item, str) else Content.of(item) for item in items]
        rows, guests = self._rows(catalogue, elements, name)
        vectors = fitted.item_vectors  # (n_items, h + 1)
        if len(guests):
            vectors = np.concatenate([vectors, fitted.encode_new(guests)])
        return vectors[rows] @ query

    def encode(self, items: Sequence[Element], model: str = "tpad") -> np.ndarray:
        """Embeddings (n, d) float32 of items: ids, pictures or `NewItem`s, mixed.

        Errors as in `recommend`; an empty list gives (0, d).
        """
        catalogue, name = self._catalogue, self._model_name(model)
        elements = [item if isinstance(item, str) else Content.of(item) for item in items]
        rows, guests = self._rows(catalogue, elements, name)
        features = self._fitted(catalogue, name)[0].features  # (n_items, d)
        return np.concatenate([features, guests])[rows]

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
                `--features`; the kinds of file are those of `tpad.VectorFile`.
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
            ids = frame[Columns.ITEM_ID].tolist()
            for item_id in ids:
                if item_id in catalogue.rows:
                    raise DataError(
                        f"The item '{item_id}' is in the catalogue already; give the new item "
                        "another item_id."
                    )
            added = [one for batch in _batches(added) for one in self._encoded(batch, strict)]
            n_old = len(catalogue.items)
            self._catalogue = _Catalogue(
                pd.concat([catalogue.items, frame], ignore_index=True),
                np.append(catalogue.cold, np.ones(len(ids), dtype=bool)),
                catalogue.rows | {item_id: n_old + i for i, item_id in enumerate(ids)},
                catalogue.added + tuple(added),
            )
            return len(ids)

    def image(self, item_id: str, size: int | None = None) -> Image.Image | None:
        """An item's picture, RGB; None if it has none.

        Args:
            item_id: of the catalogue, items that were added included.
            size: fit the whole picture into a white square of so many pixels a side.
        """
        catalogue = self._catalogue
        row = self._row(catalogue, item_id)
        n_own = self.bundle.dataset.n_items
        if row < n_own:
            return self.bundle.dataset.image(row, size)
        image = catalogue.added[row - n_own].image()
        return image if image is None or size is None else fit_square(image, size)

    def _recommend(
        self,
        catalogue: _Catalogue,
        elements: Sequence[str | Content],
        k: int,
        exclude_seen: bool,
        model: str,
    ) -> pd.DataFrame:
        if k < 1:
            raise ConfigError(f"k must be at least 1, not {k}.")
        query, rows, _, index = self._query(catalogue, elements, model)
        seen = rows[rows < len(catalogue.items)] if exclude_seen else ()
        found, scores = index.search(query, k, seen)  # (m,) each
        return pd.DataFrame(
            {
                Columns.ITEM_ID: catalogue.items[Columns.ITEM_ID].take(found).array,
                Columns.SCORE: scores,
                Columns.RANK: np.arange(1, len(found) + 1),
                Columns.IS_COLD: catalogue.cold[found],
            }
        )

    def _query(
        self, catalogue: _Catalogue, elements: Sequence[str | Content], model: str
    ) -> tuple[np.ndarray, np.ndarray, "FittedSessionModel", Index]:
        """The session's vector (h + 1,), its rows (n,), and what is needed to search with it."""
        rows, guests = self._rows(catalogue, elements, model)
        fitted, index = self._fitted(catalogue, model)
        return fitted.session_vectors([rows], guests)[0], rows, fitted, index

    def _rows(
        self, catalogue: _Catalogue, elements: Sequence[str | Content], model: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n,) int64 of the elements, and features (n_guests, d) of those in no catalogue,
        whose rows follow the catalogue's."""
        guests = iter(range(len(catalogue.items), len(catalogue.items) + len(elements)))
        rows = [
            self._row(catalogue, element) if isinstance(element, str) else next(guests)
            for element in elements
        ]
        features = self._encodings.encode(_contents(elements), [model])[model]
        return np.array(rows, dtype=np.int64), features

    def _encoded(self, batch: Sequence[Added], strict: bool) -> list[Added]:
        """The same items with their vectors in every set."""
        vectors = self._encodings.encode([item.content(strict) for item in batch], self.models)
        return [
            replace(item, vectors={name: vectors[name][i] for name in self.models})
            for i, item in enumerate(batch)
        ]

    def _fitted(self, catalogue: _Catalogue, model: str) -> tuple["FittedSessionModel", Index]:
        """Session model and index of a set, over the catalogue."""
        ready = self._ready.get(model)
        if ready is None or ready[0] is not catalogue:
            with self._lock:
                ready = self._ready.get(model)
                if ready is None or ready[0] is not catalogue:
                    fitted = self.bundle.recommenders[model]
                    if catalogue.added:
                        new = np.stack([item.vectors[model] for item in catalogue.added])
                        fitted = fitted.with_new_items(new)
                    ready = catalogue, fitted, Index(fitted.item_vectors, self.search)
                    if catalogue is self._catalogue or model not in self._ready:
                        self._ready[model] = ready
        return ready[1], ready[2]

    def _row(self, catalogue: _Catalogue, item_id: str) -> int:
        row = catalogue.rows.get(item_id)
        if row is None:
            close = difflib.get_close_matches(item_id, catalogue.rows, CLOSE_IDS, cutoff=0.6)
            hint = f"did you mean {' or '.join(close)}?" if close else "see `items` for the ids."
            raise DataError(f"There is no item '{item_id}' in the catalogue; {hint}")
        return row

    def _model_name(self, model: str) -> str:
        if model not in self.models:
            raise ConfigError(
                f"There is no model {model!r} in this bundle; choose from {', '.join(self.models)}."
            )
        return model


def _elements_of(session: Sequence[Element]) -> list[str | Content]:
    """The session's ids, and its other elements checked."""
    if isinstance(session, (str, Image.Image, NewItem)):
        raise ConfigError("A session is a list of elements; put the single one into a list.")
    elements = [each if isinstance(each, str) else Content.of(each) for each in session]
    if not elements:
        raise ConfigError("The session is empty; give at least one item id, picture or NewItem.")
    return elements


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
        options: `device` ("auto", "cpu", "cuda") and `verify` ("standard", "fast", "full").

    Raises:
        BundleError: there is no such bundle, or it is not whole.

    Example:
        >>> recommender = tpad.load("assets/demo")
        >>> recommender.recommend(["item-0001", Image.open("new.webp")], k=10)
    """
    return Recommender.load(path_or_hub_id, revision, **options)

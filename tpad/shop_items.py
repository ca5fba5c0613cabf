"""The items of a recommender: reads elements of sessions, and adds items."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tpad.bundle import Bundle
from tpad.catalogue import Block, Catalogue
from tpad.content import BATCH, Content, EncodingCache
from tpad.data.columns import Columns
from tpad.data.images import fit_square
from tpad.errors import ConfigError
from tpad.new_items import Added, ItemTable, read_new_items


class ShopItems:
    """The items that a recommender ranks, and their embeddings.

    Args:
        bundle: the trained bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.models: tuple[str, ...] = bundle.sets
        self._catalogue = Catalogue.of(bundle)
        self._encodings = EncodingCache(bundle)
        self._adding = threading.Lock()

    @property
    def items(self) -> pd.DataFrame:
        """All items; added ones come last. Do not modify the table."""
        return self._catalogue.items

    @property
    def cold(self) -> np.ndarray:
        """(n_items,) bool, True for items that occur in no training session."""
        return self._catalogue.cold

    def add_items(
        self,
        table: ItemTable,
        *,
        image_root: str | Path | None = None,
        vectors: Mapping[str, str | Path] | None = None,
        strict: bool = True,
    ) -> int:
        """Add items to the catalogue. Each one needs one forward pass per model, and no training.

        Args:
            table: path of an item table, a data frame with the same columns, or `NewItem`s by item_id
                (a mapping, or pairs).
            image_root: folder that the pictures' paths are relative to; by default that of the table.
                Pictures of a data frame are read only if it is given.
            vectors: name -> file of vectors of these items, for a bundle that was trained with
                `--features`; see `tpad.data.vectors.VectorFile` for the formats.
            strict: raise an error at the first invalid row. Otherwise invalid rows are repaired or
                skipped, as in training, and unreadable pictures count as missing.

        Returns:
            The number of added items.

        Raises:
            DataError: the table is invalid, or an item_id is already in the catalogue. No item is added.
            ImageError: a picture cannot be used. No item is added.
        """
        with self._adding:
            catalogue = self._catalogue
            frame, added = read_new_items(table, image_root, strict, vectors)
            catalogue.check_new(frame[Columns.ITEM_ID])  # before the items are encoded
            encoded = [self._encoded(batch, strict) for batch in _batches(added)]
            joined = {name: np.concatenate([e[name] for e in encoded]) for name in self.models}
            self._catalogue = catalogue.with_items(frame, Block(len(frame), joined, added))
            return len(frame)

    def add_encoded(
        self,
        encoded: str | Path | tuple[Sequence[str], np.ndarray],
        items: str | Path | pd.DataFrame | None = None,
        *,
        image_root: str | Path | None = None,
        model: str | None = None,
    ) -> int:
        """Add items with existing embeddings, without forward passes.

        Args:
            encoded: a folder of shards that `python -m tpad encode` wrote with this bundle, or a pair of
                item_ids (n,) and embeddings (n, d).
            items: item table with titles, pictures and other fields of these items. Other rows are
                ignored, and invalid rows are repaired. Without it, only the ids are known.
            image_root: as in `add_items`.
            model: one of `models`, by default the first; ignored for a folder, which stores the name.
                Other models do not rank these items, and cannot read sessions that contain them.

        Returns:
            The number of added items.

        Raises:
            ConfigError: there is no such model, or another bundle encoded the shards.
            DataError: shards are missing or damaged, the embeddings have the wrong shape or are not
                finite, or an item_id is repeated or already in the catalogue. No item is added.
        """
        # Imported here, because it is slow and rarely needed.
        from tpad.encoding.serving import check_encoded, load_encoded, rows_of

        if isinstance(encoded, (str, Path)):
            ids, vectors, model = load_encoded(encoded, self.bundle)
        else:
            ids, vectors = list(encoded[0]), np.asarray(encoded[1], dtype=np.float32)
        name = self._model_name(model)
        vectors = check_encoded(ids, vectors, self.bundle.embeddings[name].shape[1], name)
        frame, root = rows_of(ids, items, image_root)
        with self._adding:
            block = Block(len(ids), {name: vectors}, image_root=root)
            self._catalogue = self._catalogue.with_items(frame, block)
        return len(ids)

    def image(self, item_id: str, size: int | None = None) -> Image.Image | None:
        """The picture of an item, RGB; None if it has none.

        Args:
            item_id: id of an item of the catalogue.
            size: fit the picture into a white square with sides of this many pixels.
        """
        catalogue = self._catalogue
        row = catalogue.row(item_id)
        if row < self.bundle.dataset.n_items:
            return self.bundle.dataset.image(row, size)
        image = catalogue.image(row)
        return image if image is None or size is None else fit_square(image, size)

    def _rows(
        self, catalogue: Catalogue, elements: Sequence[str | Content], model: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n,) int64 of the elements, and embeddings (n_new, d) of the new ones among them, whose
        rows start at the length of the catalogue."""
        new_rows = iter(range(len(catalogue), len(catalogue) + len(elements)))
        rows = [
            catalogue.row_for(element, model) if isinstance(element, str) else next(new_rows)
            for element in elements
        ]
        features = self._encode_new(elements, [model])[model]
        return np.array(rows, dtype=np.int64), features

    def _encode_new(
        self, elements: Sequence[str | Content], models: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Embeddings of the new items among the elements: (n_new, d) for each model."""
        contents = [element for element in elements if isinstance(element, Content)]
        return self._encodings.encode(contents, models)

    def _encoded(self, batch: Sequence[Added], strict: bool) -> dict[str, np.ndarray]:
        """Embeddings of added items in all sets."""
        return self._encodings.encode([item.content(strict) for item in batch], self.models)

    def _model_name(self, model: str | None) -> str:
        """The name of a model, after checking it; by default the bundle's main model."""
        if model is None:
            return self.models[0]
        if model not in self.models:
            raise ConfigError(
                f"There is no model {model!r} in this bundle; choose from {', '.join(self.models)}."
            )
        return model


def _batches(items: Sequence[Added]) -> list[Sequence[Added]]:
    """Batches, to bound the number of pictures in memory."""
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]

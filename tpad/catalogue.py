"""The catalogue: an immutable list of the items that a recommender ranks."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from tpad.bundle import Bundle
from tpad.data.columns import Columns
from tpad.data.images import load_image, resolve_image
from tpad.errors import DataError, ImageError, shown
from tpad.index import top_k
from tpad.new_items import Added

if TYPE_CHECKING:
    from tpad.fused_index import FusedIndex
    from tpad.model.session.fused import FusedModel

CLOSE_IDS = 3  # suggestions for an unknown id
LIKELY_IDS = 2000  # ids of a large catalogue that are compared with an unknown id


@dataclass(frozen=True, eq=False)
class Block:
    """Items that were added together.

    Attributes:
        n: number of items.
        vectors: name of an embedding set -> (n, d); sets may be missing.
        added: the items; empty if only their vectors were given.
        image_root: folder of the pictures that the item table names, if `added` is empty.
    """

    n: int
    vectors: Mapping[str, np.ndarray]
    added: Sequence[Added] = ()
    image_root: Path | None = None


@dataclass(frozen=True, eq=False)
class Ranker:
    """A recommender and an index over the items of the bundle and of the first `n_blocks` blocks."""

    n_blocks: int
    index: "FusedIndex"

    @property
    def model(self) -> "FusedModel":
        return self.index.model

    def with_blocks(self, blocks: Sequence[Block], model: str) -> "Ranker":
        """A ranker over all `blocks`; items without a vector of the set are never returned."""
        width = self.model.network.scaler.n_features
        more = [
            block.vectors.get(model, np.full((block.n, width), np.nan, np.float32))
            for block in blocks[self.n_blocks :]
        ]
        if not more:
            return self
        grown = self.model.with_new_items(more[0] if len(more) == 1 else np.concatenate(more))
        return Ranker(len(blocks), self.index.with_rows(grown))


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items that are ranked. It never changes; adding items makes a new catalogue.

    Attributes:
        items: the item table.
        ids: (n_items,) object, the ids. Selecting from a large text column is slow.
        cold: (n_items,) bool.
        own_rows: id -> row of the bundle's items.
        added_rows: id -> row of the added items.
        blocks: the added items, in order.
        rankers: rankers by embedding set; they may not include the last blocks yet.
    """

    items: pd.DataFrame
    ids: np.ndarray
    cold: np.ndarray
    own_rows: Mapping[str, int]
    added_rows: Mapping[str, int] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
    rankers: dict[str, Ranker] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle) -> "Catalogue":
        rows = bundle.dataset.rows  # in the order of the table
        ids = np.fromiter(rows, object, len(rows))
        return cls(bundle.dataset.items, ids, bundle.cold, rows)

    def __len__(self) -> int:
        return len(self.items)

    def check_new(self, ids: Iterable[str]) -> None:
        """Raise a `DataError` if an id is already in the catalogue."""
        for item_id in ids:
            if item_id in self.own_rows or item_id in self.added_rows:
                raise DataError(
                    f"The item '{shown(item_id)}' is already in the catalogue; give the new item "
                    "another item_id."
                )

    def with_items(self, frame: pd.DataFrame, block: Block) -> "Catalogue":
        """A new catalogue with further items, which are cold.

        Args:
            frame: rows of the item table, with unique ids.
            block: vectors and contents of the items.

        Raises:
            DataError: an id is already in the catalogue.
        """
        ids, n_old = frame[Columns.ITEM_ID].tolist(), len(self)
        self.check_new(ids)
        return replace(
            self,
            items=pd.concat([self.items, frame], ignore_index=True),
            ids=np.append(self.ids, np.array(ids, dtype=object)),
            cold=np.append(self.cold, np.ones(len(ids), dtype=bool)),
            added_rows={**self.added_rows, **{each: n_old + i for i, each in enumerate(ids)}},
            blocks=(*self.blocks, block),
            rankers=dict(self.rankers),
        )

    def row(self, item_id: str) -> int:
        """The row of an id.

        Raises:
            DataError: the id is unknown; the message suggests similar ids.
        """
        row = self.own_rows.get(item_id)
        if row is None:
            row = self.added_rows.get(item_id)
        if row is None:
            close = close_ids(item_id, self.items[Columns.ITEM_ID])
            hint = f"did you mean {' or '.join(close)}?" if close else "see `items` for the ids."
            raise DataError(f"There is no item '{shown(item_id)}' in the catalogue; {hint}")
        return row

    def row_for(self, item_id: str, model: str) -> int:
        """The row of an item that must have a vector of an embedding set.

        Raises:
            DataError: the id is unknown, or the item was added without a vector of the set.
        """
        row = self.row(item_id)
        if row >= len(self.own_rows):
            known = self._block(row)[0].vectors
            if model not in known:
                raise DataError(
                    f"The item '{shown(item_id)}' was added with vectors of {', '.join(known)} alone; "
                    f"choose one of these models, or encode the item for {model!r} too."
                )
        return row

    def image(self, row: int) -> Image.Image | None:
        """The picture of an added item, RGB; None if there is none, or if it cannot be read."""
        block, place = self._block(row)
        if block.added:
            return block.added[place].image()
        name = self.items[Columns.IMAGE].iat[row]
        if not name or block.image_root is None:
            return None
        try:
            return load_image(resolve_image(block.image_root, name))
        except ImageError:
            return None

    def _block(self, row: int) -> tuple[Block, int]:
        """The block of an added item, and its position in it."""
        place = row - len(self.own_rows)
        for block in self.blocks:
            if place < block.n:
                return block, place
            place -= block.n
        raise IndexError(row)


def close_ids(item_id: str, ids: pd.Series) -> list[str]:
    """Up to three ids that are similar to an unknown id, most similar first.

    In a large catalogue, only the ids that share most letters with it are compared.
    """
    if len(ids) > LIKELY_IDS:
        known = pa.Array.from_pandas(ids)
        in_common = np.zeros(len(ids))
        for letter in set(item_id):
            here = pc.count_substring(known, letter).to_numpy(zero_copy_only=False)
            in_common += np.minimum(here, item_id.count(letter))
        lengths = pc.utf8_length(known).to_numpy(zero_copy_only=False)
        likely, _ = top_k(in_common / (lengths + len(item_id)), LIKELY_IDS)
        ids = ids.take(likely)
    return difflib.get_close_matches(item_id, ids.tolist(), CLOSE_IDS, cutoff=0.6)

"""The items that a recommender ranks, at one moment, and how they grow."""

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
from tpad.index import Index, top_k
from tpad.new_items import Added

if TYPE_CHECKING:
    from tpad.model.session.fitted import FittedSessionModel

CLOSE_IDS = 3  # suggested for an id that is not known
LIKELY_IDS = 2000  # of a large catalogue, compared letter by letter with an id that is not known


@dataclass(frozen=True, eq=False)
class Block:
    """Items that were added together.

    Attributes:
        n: how many.
        vectors: name of a set -> (n, d); a set may be lacking.
        added: what is known of each; empty where vectors alone were given.
        image_root: of pictures that only the item table names.
    """

    n: int
    vectors: Mapping[str, np.ndarray]
    added: Sequence[Added] = ()
    image_root: Path | None = None


@dataclass(frozen=True, eq=False)
class Ready:
    """What ranks items: a session model and an index over the bundle's items and some blocks."""

    n_blocks: int
    fitted: "FittedSessionModel"
    index: Index

    def with_blocks(self, blocks: Sequence[Block], model: str) -> "Ready":
        """The same with the further ones of all `blocks`; an item without a vector is not found."""
        width = self.fitted.scaler.n_features
        more = [
            block.vectors.get(model, np.full((block.n, width), np.nan, np.float32))
            for block in blocks[self.n_blocks :]
        ]
        if not more:
            return self
        fitted = self.fitted.with_new_items(more[0] if len(more) == 1 else np.concatenate(more))
        rows = np.arange(self.fitted.n_items, fitted.n_items)
        return Ready(len(blocks), fitted, self.index.with_rows(fitted.vectors_of(rows)))


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items that are ranked, at one moment; never changed, only replaced by a larger one.

    Attributes:
        items: the item table.
        ids: (n_items,) object, the ids: to take some of a large text column is slow.
        cold: (n_items,) bool.
        own_rows: row of each of the bundle's own items.
        added_rows: row of each item that was added.
        blocks: those, in order.
        ready: by embedding set, what ranks them, made for some of the blocks at least.
    """

    items: pd.DataFrame
    ids: np.ndarray
    cold: np.ndarray
    own_rows: Mapping[str, int]
    added_rows: Mapping[str, int] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
    ready: dict[str, Ready] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle) -> "Catalogue":
        rows = bundle.dataset.rows  # in the order of the table
        ids = np.fromiter(rows, object, len(rows))
        return cls(bundle.dataset.items, ids, bundle.cold, rows)

    def __len__(self) -> int:
        return len(self.items)

    def refuse(self, ids: Iterable[str]) -> None:
        """Raise a `DataError` if one of the ids is taken."""
        for item_id in ids:
            if item_id in self.own_rows or item_id in self.added_rows:
                raise DataError(
                    f"The item '{shown(item_id)}' is in the catalogue already; give the new item "
                    "another item_id."
                )

    def grown(self, frame: pd.DataFrame, block: Block) -> "Catalogue":
        """With further items, which are cold.

        Args:
            frame: their rows of the item table, the ids unique.
            block: the rest of them.

        Raises:
            DataError: an id is taken.
        """
        ids, n_old = frame[Columns.ITEM_ID].tolist(), len(self)
        self.refuse(ids)
        return replace(
            self,
            items=pd.concat([self.items, frame], ignore_index=True),
            ids=np.append(self.ids, np.array(ids, dtype=object)),
            cold=np.append(self.cold, np.ones(len(ids), dtype=bool)),
            added_rows={**self.added_rows, **{each: n_old + i for i, each in enumerate(ids)}},
            blocks=(*self.blocks, block),
            ready=dict(self.ready),
        )

    def row(self, item_id: str) -> int:
        """The row of an id.

        Raises:
            DataError: it is not known; the sentence names some that are close.
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
        """The row of an id that an embedding set knows.

        Raises:
            DataError: it is not known at all, or was added without a vector of the set.
        """
        row = self.row(item_id)
        if row >= len(self.own_rows):
            known = self._block(row)[0].vectors
            if model not in known:
                raise DataError(
                    f"The item '{shown(item_id)}' was added with vectors of {', '.join(known)} alone; "
                    f"ask for one of these models, or encode it for {model!r} too."
                )
        return row

    def image(self, row: int) -> Image.Image | None:
        """The picture of an item that was added, RGB; None if there is none that can be read."""
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
        """The block of an added item, and its place there."""
        place = row - len(self.own_rows)
        for block in self.blocks:
            if place < block.n:
                return block, place
            place -= block.n
        raise IndexError(row)


def close_ids(item_id: str, ids: pd.Series) -> list[str]:
    """Up to three ids that look like one that is not known, the closest first.

    Of a large catalogue only those are compared that have the most letters in common with it.
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

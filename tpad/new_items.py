"""Reads the items that are added to a recommender."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from PIL import Image

from tpad.content import Content
from tpad.data.columns import Columns
from tpad.data.images import load_image, resolve_image
from tpad.data.items import ITEM_COLUMNS, read_items
from tpad.data.report import ReportBuilder
from tpad.data.vectors import ItemVectors, load_vectors
from tpad.errors import DataError, ImageError, shown
from tpad.io.texts import checked_text
from tpad.items import NewItem

Pairs: TypeAlias = Mapping[str, NewItem] | Sequence[tuple[str, NewItem]]
ItemTable: TypeAlias = str | Path | pd.DataFrame | Pairs

_POSITION = "position of the pair"
_IN_MEMORY = "given"  # placeholder for a picture in memory, while the table is checked


@dataclass(frozen=True, eq=False)
class Added:
    """One added item.

    Attributes:
        item_id: the id.
        item: the content, without the picture if that is in a file.
        path: the file of the picture; None if there is none.
    """

    item_id: str
    item: NewItem
    path: Path | None = None

    def image(self) -> Image.Image | None:
        """The picture, RGB; None if there is none, or if it cannot be read."""
        if self.path is None:
            return self.item.image
        try:
            return load_image(self.path)
        except ImageError:
            return None

    def content(self, strict: bool) -> Content:
        """The checked content; an unreadable picture is ignored, or an error if `strict`."""
        try:
            image = self.item.image if self.path is None else load_image(self.path)
            return Content.of(replace(self.item, image=image))
        except ImageError as error:
            if strict:
                raise ImageError(f"Item '{shown(self.item_id)}': {error}") from error
            return Content.of(replace(self.item, image=None))
        except DataError as error:
            raise DataError(f"Item '{shown(self.item_id)}': {error}") from error


def read_new_items(
    table: ItemTable,
    image_root: str | Path | None,
    strict: bool,
    vectors: Mapping[str, str | Path] | None = None,
) -> tuple[pd.DataFrame, list[Added]]:
    """Read new items: their rows as `read_items` returns them, and their contents.

    Files of pictures are not opened. Arguments and errors are as in `Recommender.add_items`.
    """
    if isinstance(table, (str, Path, pd.DataFrame)):
        frame, added = _from_table(table, image_root, strict)
    else:
        pairs = list(table.items()) if isinstance(table, Mapping) else list(table)
        frame, added = _from_pairs(pairs, strict)
    ids = frame[Columns.ITEM_ID].tolist()
    for name, path in (vectors or {}).items():
        added = with_vectors(added, name, load_vectors(Path(path), ids))
    return frame, added


def with_vectors(added: Sequence[Added], name: str, found: ItemVectors) -> list[Added]:
    """The items in the same order, with vectors of another name for the items that have one."""
    result = list(added)
    for row in np.flatnonzero(found.present).tolist():
        item = added[row].item
        own = {**(item.vectors or {}), name: found.values[row]}
        result[row] = replace(added[row], item=replace(item, vectors=own))
    return result


def _from_table(
    table: str | Path | pd.DataFrame, image_root: str | Path | None, strict: bool
) -> tuple[pd.DataFrame, list[Added]]:
    frame = read_items(table, ReportBuilder(strict), image_root)
    if image_root is None and not isinstance(table, pd.DataFrame):
        image_root = Path(table).parent
    return frame, items_of(frame, image_root)


def items_of(frame: pd.DataFrame, image_root: str | Path | None) -> list[Added]:
    """The items of an item table, as `read_items` returns it; pictures are not opened."""
    added = []
    for row in frame[list(ITEM_COLUMNS)].itertuples(index=False):
        price = None if np.isnan(row.price) else float(row.price)
        item = NewItem(None, row.title, row.description, row.category, price)
        path = None
        if row.image and image_root is not None:
            path = resolve_image(image_root, row.image)
        added.append(Added(row.item_id, item, path))
    return added


def _from_pairs(pairs: list, strict: bool) -> tuple[pd.DataFrame, list[Added]]:
    if not pairs:
        raise DataError("There are no new items; give at least one.")
    for pair in pairs:
        if not (
            isinstance(pair, tuple)
            and len(pair) == 2
            and isinstance(pair[0], str)
            and isinstance(pair[1], NewItem)
        ):
            raise DataError(
                "New items must be pairs (item_id, NewItem), a mapping from item_id to NewItem, the path "
                "of a table, or a data frame."
            )
    for item_id, item in pairs:
        checked_text(item_id, "An item_id")
        for text in (item.title, item.description, item.category):
            if isinstance(text, str):
                checked_text(text, f"The text of item '{item_id}'")
    items = [item for _, item in pairs]
    frame = pd.DataFrame(
        {
            Columns.ITEM_ID: [item_id for item_id, _ in pairs],
            Columns.TITLE: [item.title for item in items],
            Columns.DESCRIPTION: [item.description for item in items],
            Columns.CATEGORY: [item.category for item in items],
            Columns.PRICE: [item.price for item in items],
            Columns.IMAGE: ["" if item.image is None else _IN_MEMORY for item in items],
            _POSITION: range(len(pairs)),
        }
    )
    frame = read_items(frame, ReportBuilder(strict))
    kept = frame.pop(_POSITION)
    frame[Columns.IMAGE] = pd.Series("", frame.index, "str")
    ids = frame[Columns.ITEM_ID]
    return frame, [Added(ids[i], items[position]) for i, position in enumerate(kept)]

"""Encoding one shard of an item table."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tpad.bundle import Encoder
from tpad.content import BATCH, encode_items
from tpad.data.columns import Columns
from tpad.data.images import image_sizes
from tpad.data.items import NO_CONTENT, standard_items
from tpad.data.report import ReportBuilder
from tpad.data.tables import to_text
from tpad.data.vectors import VectorFile
from tpad.encoding.plan import Plan
from tpad.encoding.shards import shard_name, write_shard
from tpad.errors import DataError, ImageError
from tpad.io.files import sha256
from tpad.items import NewItem
from tpad.new_items import Added, items_of, with_vectors

MakeEncoder = Callable[[], Encoder]


@dataclass(frozen=True)
class Shard:
    """The rows of one shard.

    Attributes:
        number: position among the shards, from 0.
        rows: rows of the table, as read.
        n_repeated: rows that were removed because an earlier row has the same item_id.
        vectors: name -> vectors of these items, for a bundle that was trained with such vectors.
    """

    number: int
    rows: pd.DataFrame
    n_repeated: int = 0
    vectors: Mapping[str, VectorFile] = field(default_factory=dict)


def encode_shard(
    shard: Shard, encoder: Encoder, *, plan: Plan, folder: Path, image_root: Path
) -> dict[str, Any]:
    """Encode the rows of one shard and write its file atomically; returns its entry in the manifest."""
    report = ReportBuilder()
    frame = standard_items(shard.rows.copy(), plan.table, report, image_root)
    ids: list[str] = []
    blocks = [np.zeros((0, plan.width), np.float32)]
    without_content: list[str] = []
    unreadable: list[str] = []
    rejected: list[str] = []
    added = items_of(frame, image_root)
    for name, file in shard.vectors.items():
        found = file.some_of(frame[Columns.ITEM_ID].tolist())
        added = with_vectors(added, name, found)
        missing = frame[Columns.ITEM_ID][~found.present]
        report.note(
            f"item without a vector {name!r}",
            "encoded without it where the bundle allows it",
            (f"item '{item_id}'" for item_id in missing),
            len(missing),
        )
    for start in range(0, len(added), BATCH):  # bounds the pictures in memory
        items = {}
        for one in added[start : start + BATCH]:
            item = _item(one, without_content, unreadable)
            if item is not None:
                items[one.item_id] = item
        if items:
            some, block = _encode(encoder, items, plan, rejected)
            ids += some
            blocks.append(block)
    report.error("item that cannot be encoded", "the item is skipped", rejected, len(rejected))
    report.error(
        "unreadable image", "the item is used without its image", unreadable, len(unreadable)
    )
    report.error(
        "item without picture and text",
        "the item is skipped",
        without_content,
        len(without_content),
    )
    path = folder / f"{shard_name(shard.number)}.{plan.format}"
    write_shard(path, ids, np.concatenate(blocks))
    numbers = shard.rows.index
    faults = report.build().as_dict()
    faults.pop(NO_CONTENT, None)  # reported above, where the description is used as well
    return {
        "file": path.name,
        "n_rows": len(shard.rows) + shard.n_repeated,
        "rows": [int(numbers[0]), int(numbers[-1])] if len(numbers) else [],
        "n_items": len(ids),
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "pictures": picture_digest(shard.rows, image_root),
        "faults": faults,
    }


def picture_digest(rows: pd.DataFrame, image_root: Path) -> str:
    """Digest of the sizes of the pictures that the rows name; "" for a table without pictures."""
    if Columns.IMAGE not in rows:
        return ""
    names = to_text(rows[Columns.IMAGE]).tolist()
    return hashlib.sha256(image_sizes(image_root, names)).hexdigest()


def _encode(
    encoder: Encoder, items: Mapping[str, NewItem], plan: Plan, rejected: list[str]
) -> tuple[list[str], np.ndarray]:
    """Ids and vectors (n, d) of the items; an item that the encoder rejects is reported and skipped."""
    try:
        found = encode_items(encoder, list(items.values()), {plan.model: plan.width})
        return list(items), found[plan.model]
    except DataError as error:
        if len(items) == 1:  # for instance one without a vector that this bundle needs
            rejected.append(f"item '{next(iter(items))}': {str(error).rstrip('.')}")
            return [], np.zeros((0, plan.width), np.float32)
    each = [_encode(encoder, {key: item}, plan, rejected) for key, item in items.items()]
    return [key for ids, _ in each for key in ids], np.concatenate([block for _, block in each])


def _item(one: Added, without_content: list[str], unreadable: list[str]) -> NewItem | None:
    """The item as the encoder reads it; None, and an entry in a list, if that is not possible."""
    try:
        return one.content(strict=True).item
    except ImageError as error:
        unreadable.append(str(error).rstrip("."))
    except DataError:
        without_content.append(f"item '{one.item_id}'")
        return None
    try:
        return one.content(strict=False).item
    except DataError:
        without_content.append(f"item '{one.item_id}'")
        return None

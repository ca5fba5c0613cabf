"""Encoding one shard, in this process or in one of several workers."""

import hashlib
import multiprocessing
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tpad.bundle import Encoder
from tpad.content import BATCH, encode_items
from tpad.data.columns import Columns
from tpad.data.images import image_sizes
from tpad.data.items import BARE, standard_items
from tpad.data.report import ReportBuilder
from tpad.data.tables import to_text
from tpad.data.vectors import VectorFile
from tpad.encoding.plan import Plan
from tpad.encoding.shards import shard_name, write_shard
from tpad.errors import DataError, ImageError, TpadError
from tpad.io.files import sha256
from tpad.items import NewItem
from tpad.new_items import Added, items_of, with_vectors

MakeEncoder = Callable[[], Encoder]


@dataclass(frozen=True)
class Shard:
    """One shard to be made.

    Attributes:
        number: its place among the shards.
        rows: its rows of the table as they were read.
        n_repeated: rows that were left out of it.
        vectors: name -> vectors of these rows' items, for a bundle that reads such.
    """

    number: int
    rows: pd.DataFrame
    n_repeated: int = 0
    vectors: Mapping[str, VectorFile] = field(default_factory=dict)


def make_shard(
    shard: Shard, plan: Plan, folder: Path, image_root: Path, encoder: Encoder
) -> dict[str, Any]:
    """Encode the rows of one shard and write it in one step; returns what the manifest says of it."""
    report = ReportBuilder()
    frame = standard_items(shard.rows.copy(), plan.table, report, image_root)
    ids: list[str] = []
    blocks = [np.zeros((0, plan.width), np.float32)]
    bare: list[str] = []
    unreadable: list[str] = []
    refused: list[str] = []
    added = items_of(frame, image_root)
    for name, file in shard.vectors.items():
        found = file.some_of(frame[Columns.ITEM_ID].tolist())
        added = with_vectors(added, name, found)
        lacking = frame[Columns.ITEM_ID][~found.present]
        report.note(
            f"item without a vector {name!r}",
            "encoded without it where the bundle allows it",
            (f"item '{item_id}'" for item_id in lacking),
            len(lacking),
        )
    for start in range(0, len(added), BATCH):  # so many pictures lie in memory
        items = {}
        for one in added[start : start + BATCH]:
            item = _item(one, bare, unreadable)
            if item is not None:
                items[one.item_id] = item
        if items:
            some, block = _encode(encoder, items, plan, refused)
            ids += some
            blocks.append(block)
    report.error("item that cannot be encoded", "the item is left out", refused, len(refused))
    report.error(
        "unreadable image", "the item counts as one without image", unreadable, len(unreadable)
    )
    report.error("item without picture and text", "the item is left out", bare, len(bare))
    path = folder / f"{shard_name(shard.number)}.{plan.format}"
    write_shard(path, ids, np.concatenate(blocks))
    numbers = shard.rows.index
    faults = report.build().as_dict()
    faults.pop(BARE, None)  # told above, where the description counts as well
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
    """Of the sizes of the pictures that some rows of an item table name; "" if it names none."""
    if Columns.IMAGE not in rows:
        return ""
    names = to_text(rows[Columns.IMAGE]).tolist()
    return hashlib.sha256(image_sizes(image_root, names)).hexdigest()


def _encode(
    encoder: Encoder, items: Mapping[str, NewItem], plan: Plan, refused: list[str]
) -> tuple[list[str], np.ndarray]:
    """Ids and vectors (n, d) of the items; one that the encoder refuses is noted and left out."""
    try:
        found = encode_items(encoder, list(items.values()), {plan.model: plan.width})
        return list(items), found[plan.model]
    except DataError as error:
        if len(items) == 1:  # such as one without the vector that this bundle reads of every item
            refused.append(f"item '{next(iter(items))}': {str(error).rstrip('.')}")
            return [], np.zeros((0, plan.width), np.float32)
    each = [_encode(encoder, {key: item}, plan, refused) for key, item in items.items()]
    return [key for ids, _ in each for key in ids], np.concatenate([block for _, block in each])


def _item(one: Added, bare: list[str], unreadable: list[str]) -> NewItem | None:
    """What the encoder reads; faults are noted."""
    try:
        return one.content(strict=True).item
    except ImageError as error:
        unreadable.append(str(error).rstrip("."))
    except DataError:
        bare.append(f"item '{one.item_id}'")
        return None
    try:
        return one.content(strict=False).item
    except DataError:
        bare.append(f"item '{one.item_id}'")
        return None


class Worker:
    """A process that encodes one shard after another.

    It has a pipe of its own: a queue that all share would stay locked if one of them were killed.
    """

    def __init__(
        self, make_encoder: MakeEncoder, plan: Plan, folder: Path, image_root: Path
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, make_encoder, plan, folder, image_root)
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.shard: Shard | None = None

    def begin(self, shard: Shard) -> None:
        """Give it a shard; whether it takes it shows in `result`."""
        self.shard = shard
        with suppress(OSError):  # it has ended, and `result` says so
            self.connection.send(shard)

    def result(self) -> dict[str, Any] | None:
        """What it made of the shard; None if it has ended without a word.

        Raises:
            TpadError: what went wrong, as the worker met it.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            return None
        if isinstance(answer, TpadError):
            raise answer
        self.shard = None
        return answer

    def end(self) -> None:
        """End it, whatever it does."""
        self.connection.close()  # one that waits for a shard ends by itself
        if self.shard is not None:
            self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(
    connection: Connection,
    make_encoder: MakeEncoder,
    plan: Plan,
    folder: Path,
    image_root: Path,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends this one
    try:
        encoder = make_encoder()
        while True:
            shard = connection.recv()
            connection.send(make_shard(shard, plan, folder, image_root, encoder))
    except TpadError as error:
        connection.send(error)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is done, or gone

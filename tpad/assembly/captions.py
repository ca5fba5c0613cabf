"""Reads the items that have a picture and a text, and keeps some of them out of training."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from tpad.data.columns import Columns
from tpad.data.images import find_invalid_images, image_sizes, load_image, resolve_image
from tpad.data.items import read_items
from tpad.data.report import LoadReport, ReportBuilder
from tpad.errors import DataError, shown
from tpad.mllm.instructions import item_text
from tpad.training.workspace import digest

MIN_ITEMS = 20
"""Fewest items with picture and text; with less, there is nothing to train on or to measure."""


@dataclass(frozen=True)
class Captioned:
    """The `n` items of a shop that have a picture and a text.

    Attributes:
        root: the folder that the pictures' names are relative to.
        images: n names of pictures, all of them readable.
        captions: n texts, none of them empty.
        report: what was skipped.
    """

    root: Path
    images: Sequence[str]
    captions: Sequence[str]
    report: LoadReport

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, row: int) -> Image.Image:
        """The picture of an item, in RGB."""
        return load_image(resolve_image(self.root, self.images[row]))

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the captions, and of the names and sizes of the pictures."""
        sizes = image_sizes(self.root, list(self.images))
        return digest(list(self.images), list(self.captions), sizes.hex())

    def split(self, heldout: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows for training and held-out rows, in random order.

        Args:
            heldout: share of the held-out items; at least two are held out.
            seed: of the random order.
        """
        order = np.random.default_rng(seed).permutation(len(self))
        count = min(max(2, round(heldout * len(self))), len(self) - 1)
        return order[count:], order[:count]


def read_captioned(items: str | Path, max_text: int) -> Captioned:
    """Read an item table, and keep the items with a readable picture and a title or description.

    Args:
        items: CSV or Parquet table, see `tpad.data.items.read_items`.
        max_text: most characters of a caption.

    Raises:
        DataError: the table cannot be read, or has too few items with picture and text.
    """
    root, builder = Path(items).parent, ReportBuilder()
    table = read_items(items, builder)
    ids, images = table[Columns.ITEM_ID].tolist(), table[Columns.IMAGE].tolist()
    if not any(images):
        raise DataError(
            f"{Path(items).name} has no pictures ({_evidence(builder) or 'no item names one'}); give "
            f"their files in the column '{Columns.IMAGE}'."
        )
    invalid = find_invalid_images(root, images)
    builder.error(
        "unreadable image",
        "the item is skipped",
        (f"item '{shown(ids[row])}': {sentence}" for row, sentence in invalid.items()),
        len(invalid),
    )
    texts = [
        item_text(title, description)[:max_text]
        for title, description in zip(table[Columns.TITLE], table[Columns.DESCRIPTION], strict=True)
    ]
    rows = [r for r in range(len(ids)) if images[r] and r not in invalid and texts[r]]
    incomplete = [row for row in range(len(ids)) if not images[row] or not texts[row]]
    builder.note(
        "item without picture or text",
        "the item is skipped",
        (f"item '{shown(ids[row])}'" for row in incomplete),
        len(incomplete),
    )
    if len(rows) < MIN_ITEMS:
        raise DataError(
            f"{Path(items).name} has {len(rows)} items with a readable picture and a title or "
            f"description ({_evidence(builder) or 'and no others'}); give at least {MIN_ITEMS}."
        )
    return Captioned(root, [images[r] for r in rows], [texts[r] for r in rows], builder.build())


def _evidence(report: ReportBuilder) -> str:
    """What was found, for use in brackets; an example may be a whole sentence."""
    return report.evidence().removesuffix(".")

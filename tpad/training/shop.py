"""A shop as the models read it: cached picture features and truncated texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tpad.data.columns import Columns
from tpad.data.dataset import Dataset
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.instructions import item_text
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import ItemInput, Turn


@dataclass(frozen=True)
class Shop:
    """A dataset with the features that the frozen vision tower computes from its pictures.

    Attributes:
        dataset: items and sessions.
        mllm: the base model.
        images: picture features by item row; empty for items without a picture, or if pictures are
            not read.
        texts: (n_items,) title and description, truncated; "" if text is not read.
        titles: (n_items,) title as it is read in a session.
    """

    dataset: Dataset
    mllm: MLLM
    images: ImageCache
    texts: list[str]
    titles: list[str]

    @property
    def warm_rows(self) -> np.ndarray:
        """(n_warm,) rows of the items that occur in training sessions."""
        return np.flatnonzero(~self.dataset.cold)

    def item(self, row: int) -> ItemInput:
        """One item with all its text."""
        return ItemInput(self._picture(row), self.texts[row])

    def items(self, rows: Sequence[int] | None = None) -> list[ItemInput]:
        """Items of some rows; all items by default."""
        return [self.item(row) for row in (range(len(self.texts)) if rows is None else rows)]

    def conversation(self, session: np.ndarray, answers: Sequence[str] | None = None) -> list[Turn]:
        """A session as a chat: each turn shows an item, and its reply describes the next item.

        Args:
            session: (n,) item rows.
            answers: descriptions by item row; the last turn has no reply. None: no turn has a reply.
        """
        return [
            Turn(
                ItemInput(self._picture(row), self.titles[row]),
                "",
                answers[session[place + 1]]
                if answers is not None and place + 1 < len(session)
                else None,
            )
            for place, row in enumerate(session.tolist())
        ]

    def _picture(self, row: int) -> int | None:
        return row if self.images.has_image[row] else None


def read_texts(
    items: pd.DataFrame, inputs: str, max_text: int, max_title: int
) -> tuple[list[str], list[str]]:
    """Text of each item when it is read alone (title and description), and in a session (title).

    Args:
        items: the item table.
        inputs: which modalities are read: "both", "image" or "text".
        max_text: maximum characters of title and description.
        max_title: maximum characters of a title in a session.
    """
    if inputs == "image":
        empty = [""] * len(items)
        return empty, empty
    titles = items[Columns.TITLE].tolist()
    texts = [
        item_text(title, description)[:max_text]
        for title, description in zip(titles, items[Columns.DESCRIPTION], strict=True)
    ]
    # In a session, an item without a title is represented by the start of its description.
    short = [(title or text)[:max_title] for title, text in zip(titles, texts, strict=True)]
    return texts, short

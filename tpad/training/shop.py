"""A shop as the models read it: pictures cached as tokens, texts cut to length."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tpad.data.columns import Columns
from tpad.data.dataset import Dataset
from tpad.mllm.features import ImageCache
from tpad.mllm.instructions import item_text
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import ItemInput, Turn


@dataclass(frozen=True)
class Shop:
    """A dataset together with what the frozen vision tower makes of its pictures.

    Attributes:
        dataset: items and sessions.
        mllm: the base model.
        images: picture features by item row; empty rows where there is no picture, or none is read.
        texts: (n_items,) title and description as read, "" where text is not read.
        titles: (n_items,) title as read in a session.
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
        """Items by row; all by default."""
        return [self.item(row) for row in (range(len(self.texts)) if rows is None else rows)]

    def conversation(self, session: np.ndarray, answers: Sequence[str] | None = None) -> list[Turn]:
        """A session as a chat: each item is shown, and the reply describes the item that came next.

        Args:
            session: (n,) item rows.
            answers: description by item row; the last turn stays open. None: no turn has a reply.
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
    """Text of each item as read alone (title, description) and as read in a session (title).

    Args:
        items: the item table.
        inputs: which modality is read: "both", "image" or "text".
        max_text, max_title: characters read of the whole text, and of a title alone.
    """
    if inputs == "image":
        nothing = [""] * len(items)
        return nothing, nothing
    titles = items[Columns.TITLE].tolist()
    texts = [
        item_text(title, description)[:max_text]
        for title, description in zip(titles, items[Columns.DESCRIPTION], strict=True)
    ]
    # An item without a title is shown in a session by the beginning of its description.
    short = [(title or text)[:max_title] for title, text in zip(titles, texts, strict=True)]
    return texts, short

"""The Transfer-MLLM reads sessions as chats, a few of them in each forward pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from tpad.distributed import processes
from tpad.mllm.batches import Batch, Output
from tpad.mllm.collator import collate
from tpad.training.shop import Shop

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class SessionPass:
    """Sessions that are read in one forward pass.

    Attributes:
        windows: arrays of item rows; the last item of each is only a target.
        batch: the chats of these windows, with labels if there are answers.
        counts: False if another process reads these sessions, too (see `processes.batch_share`).
    """

    windows: list[np.ndarray]
    batch: Batch
    counts: bool

    @property
    def n_terms(self) -> tuple[int, int]:
        """Number of terms of the generation loss (tokens) and of the next-item loss (prefixes)."""
        prefixes = sum(len(window) - 1 for window in self.windows)
        return self.batch.n_labels * self.counts, prefixes * self.counts


def by_length(
    windows: Sequence[T],
    size: int,
    rng: np.random.Generator | None = None,
    length: Callable[[T], int] = len,  # type: ignore[assignment]  # windows are arrays by default
) -> list[list[T]]:
    """Batches of windows of similar length; in random order if `rng` is given.

    Args:
        windows: the windows, or what stands for them.
        size: of a batch.
        rng: random generator.
        length: of a window.
    """
    order = sorted(range(len(windows)), key=lambda i: length(windows[i]))
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return [[windows[i] for i in batch] for batch in batches]


class SessionReader:
    """Reads windows of sessions.

    Args:
        shop: items and model.
        answers: what the model learns to reply after each item, by row of the next item; None: it learns no
            replies, and reads none.
    """

    def __init__(self, shop: Shop, answers: Sequence[str] | None) -> None:
        self.shop, self.answers = shop, answers

    def collate(self, windows: list[np.ndarray], labels: bool = False) -> Batch:
        """The chats of some windows, with the tokens of the replies as labels if there are any."""
        chats = [self.shop.conversation(window, self.answers)[:-1] for window in windows]
        with_labels = labels and self.answers is not None
        return collate(self.shop.mllm, chats, images=self.shop.images, with_labels=with_labels)

    def read(self, batch: Batch) -> tuple[Output, Tensor]:
        """Output of the model, and the feature t of all prefixes of the windows, in order: (n, d)."""
        mllm = self.shop.mllm
        output = mllm.forward(batch, need_logits=batch.labels is not None)
        rows, turns = torch.nonzero(batch.markers >= 0, as_tuple=True)
        places = batch.markers[rows, turns].to(mllm.device)
        return output, output.last_hidden[rows.to(mllm.device), places]  # (n, d)

    def passes(self, batch: list[np.ndarray], most: int) -> list[SessionPass]:
        """This process's share of a batch of windows, with labels, in passes of at most `most` windows.

        All processes make the same number of passes.
        """
        count = -(-len(batch) // (processes.size() * most))
        shares = [processes.batch_share(batch[number::count]) for number in range(count)]
        return [SessionPass(part, self.collate(part, labels=True), own) for part, own in shares]

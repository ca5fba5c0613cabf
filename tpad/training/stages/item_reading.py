"""Reads items with the student, with gradients."""

import numpy as np
import torch
from torch import Tensor

from tpad.distributed import processes
from tpad.mllm.collator import collate
from tpad.mllm.features import masked_mean
from tpad.mllm.prompts import Turn
from tpad.training.shop import Shop

CHUNK = 32
"""Items read together. They are of similar length, so that little is spent on padding."""


class ItemReader:
    """Means over the tokens of items, with gradients.

    If the items fit in one pass, they are read once. Otherwise gradients are cached (Gao et al.
    2021, arXiv 2101.06983): the items are read without a graph, and once more for the gradients. So the
    memory does not depend on the number of items. Several processes share the passes.

    Args:
        shop: items and model.
        layer: layer of the language model.
        per_pass: items whose graph is kept at once.
    """

    def __init__(self, shop: Shop, layer: int, per_pass: int) -> None:
        self.shop, self.mllm = shop, shop.mllm
        self.layer, self.per_pass = layer, per_pass
        self.lengths = np.array([len(text) for text in shop.texts])

    @property
    def width(self) -> int:
        """Size D of the features: means over image tokens, if the model sees, and over text tokens."""
        return self.mllm.hidden_size * (1 + self.mllm.sees)

    @torch.no_grad()
    def features(self, rows: np.ndarray) -> Tensor:
        """Features of items by row, without gradients: (n,) -> (n, D) float32."""
        result = torch.zeros(len(rows), self.width, device=self.mllm.device)
        for passes in processes.rounds(self._passes(rows)):
            (places,), counts = processes.batch_share(passes)
            result[torch.from_numpy(places)] += counts * self._read(rows[places])
        processes.sum_in_place(result)
        return result

    def with_gradients(self, rows: np.ndarray) -> Tensor:
        """Features of items by row, for a loss: (n,) -> (n, D) float32.

        If they are a leaf of the graph, their gradient must be given to `backward`.
        """
        if len(rows) <= self.per_pass and processes.size() == 1:
            return self._read(rows)
        return self.features(rows).requires_grad_()

    def backward(self, rows: np.ndarray, gradient: Tensor) -> None:
        """Pass the gradient (n, D) of the features of items on to the adapter; each process its share."""
        for passes in processes.rounds(self._passes(rows)):
            (places,), counts = processes.batch_share(passes)
            own = gradient[torch.from_numpy(places)]  # (chunk, D)
            self._read(rows[places]).backward(counts * own)

    def _passes(self, rows: np.ndarray) -> list[np.ndarray]:
        """Positions in `rows` for each pass, items of similar length together."""
        return self._by_length(rows, self.per_pass)

    def _by_length(self, rows: np.ndarray, size: int) -> list[np.ndarray]:
        order = np.argsort(self.lengths[rows], kind="stable")
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _read(self, rows: np.ndarray) -> Tensor:
        """Features of the items of one pass: (n,) -> (n, D)."""
        chunks = self._by_length(rows, CHUNK)
        features = torch.cat([self._read_chunk(rows[places]) for places in chunks])
        return features[torch.from_numpy(np.argsort(np.concatenate(chunks)))]

    def _read_chunk(self, rows: np.ndarray) -> Tensor:
        mllm = self.mllm
        chats = [[Turn(self.shop.item(row), "")] for row in rows.tolist()]
        batch = collate(mllm, chats, images=self.shop.images, plain=True).to(mllm.device)
        with mllm.autocast():
            output = mllm.forward(batch, layers=[self.layer], need_logits=False)
        states = output.hidden[self.layer].float()  # (n, L, d)
        masks = [batch.image_mask, batch.text_mask] if mllm.sees else [batch.text_mask]
        return torch.cat([masked_mean(states, mask) for mask in masks], dim=1)  # (n, D)

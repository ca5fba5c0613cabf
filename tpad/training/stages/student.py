"""The student: an adapter of the Knowledge-MLLM that is trained through cached item features.

Small networks train on the features of the items, but the language model cannot run in each of their
steps. So the features are a table that accumulates gradients; every so many steps, the student reads its
items once and takes one step with the accumulated gradient (gradient caching, Gao et al. 2021, arXiv
2101.06983).

With several processes, only the main process trains the small networks; the others run the student on
their share of the items.
"""

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor, nn

from tpad.distributed import processes
from tpad.mllm.collator import collate
from tpad.mllm.features import masked_mean
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.instructions import DESCRIBE
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import ItemInput, Turn

ADAPTER = "student"


class Student:
    """Computes the features of items as `encode_items` does, and passes gradients to the adapter.

    Args:
        mllm: model with an adapter named `student`.
        items: (n,) texts and pictures, as rows of `images`.
        images: cached picture features.
        layers: layers of the language model whose features are used.
        batch_size: items per batch.
        given: (n, g) given vectors, appended to the features.
    """

    def __init__(
        self,
        mllm: MLLM,
        items: Sequence[ItemInput],
        images: ImageCache,
        layers: Sequence[int],
        batch_size: int = 64,
        given: Tensor | None = None,
    ) -> None:
        self.mllm, self.layers, self.images, self.n = mllm, sorted(layers), images, len(items)
        self.given = given
        self.seen_layers = self.layers if mllm.sees else []  # those with features of image tokens
        self.vision = images.tower.float()  # (n_images, d_vision)
        self.items = items
        order = sorted(range(self.n), key=lambda i: (items[i].image is None, len(items[i].text)))
        # Batches are built when they are read, because with pictures all of them need much memory.
        self.chunks = [order[start : start + batch_size] for start in range(0, self.n, batch_size)]

    def _tower(self, item: ItemInput) -> Tensor:
        """Feature of an item's picture from the vision tower, zeros without a picture: (d_vision,)."""
        if item.image is None:
            return torch.zeros(self.mllm.vision_size)
        assert not isinstance(item.image, Image.Image), "pictures are given as rows of `images`"
        return self.vision[item.image]

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the adapter."""
        return list(self.mllm.adapters.parameters(ADAPTER))

    def run_on_main(self, work: Callable[[], None]) -> None:
        """Run `work` on the main process; the others take part in its calls of this student.

        With several processes, `features` and `backward` may only be called within `work`.
        """
        if processes.is_main():
            work()
            self._announce("")
            return
        while call := self._announce():
            if call == "features":
                self._features()
            else:
                for parameter in self.parameters():
                    parameter.grad = None  # clears gradients of earlier stages and passes
                self._backward(torch.zeros(self.n, self.width, device=self.mllm.device))

    def features(self) -> Tensor:
        """Features of all items without gradients: (n, D), in the order of `named_features`, with given
        vectors last."""
        self._announce("features")
        result = self._features()
        return result if self.given is None else torch.cat([result, self.given.to(result)], dim=1)

    def backward(self, gradient: Tensor) -> None:
        """Backpropagate a gradient (n, D) of the features to the adapter."""
        self._announce("backward")
        self._backward(gradient[:, : self.width].contiguous())  # given vectors are not trained

    def _announce(self, call: str = "") -> str:
        """Send the main process's next call, "" at the end, and its adapter to all processes."""
        call = processes.from_main(call)
        if call:
            processes.broadcast(*self.parameters())
        return call

    @property
    def width(self) -> int:
        """Number of features, without given vectors."""
        lasts = sum(1 for layer in self.layers if layer)
        means = len(self.layers) + len(self.seen_layers)
        return self.vision.shape[1] + (means + lasts) * self.mllm.hidden_size

    def _features(self) -> Tensor:
        result = torch.zeros(self.n, self.width, device=self.mllm.device)
        self.mllm.model.eval()
        with self.mllm.adapters.use(ADAPTER), torch.no_grad():
            for rows in processes.share(self.chunks):
                result[torch.tensor(rows)] = self._read(rows)
        processes.sum_in_place(result)
        return result

    def _backward(self, gradient: Tensor) -> None:
        processes.broadcast(gradient)
        self.mllm.model.train()
        with self.mllm.adapters.use(ADAPTER):
            for chunks in processes.rounds(self.chunks):
                # A process without a chunk repeats one with weight 0: all make the same passes.
                [rows], counts = processes.batch_share(chunks)
                with self.mllm.autocast():
                    features = self._read(rows)
                features.backward(gradient[rows].to(features.device) * counts)
        self.mllm.model.eval()
        processes.sum_gradients(self.parameters())

    def _read(self, rows: Sequence[int]) -> Tensor:
        """Features (B, D) of some items."""
        chats = [[Turn(self.items[i], DESCRIBE)] for i in rows]
        batch = collate(self.mllm, chats, images=self.images).to(self.mllm.device)
        tower = torch.stack([self._tower(self.items[i]) for i in rows])  # (B, d_vision)
        hidden = self.mllm.forward(batch, layers=self.layers, need_logits=False).hidden
        each = torch.arange(len(tower), device=self.mllm.device)
        states = {layer: hidden[layer].float() for layer in self.layers}  # each (B, L, d)
        parts = [tower.to(self.mllm.device)]
        parts += [masked_mean(states[layer], batch.image_mask) for layer in self.seen_layers]
        parts += [masked_mean(states[layer], batch.text_mask) for layer in self.layers]
        parts += [states[layer][each, batch.markers[:, 0]] for layer in self.layers if layer]
        return torch.cat(parts, dim=1)  # (B, D)

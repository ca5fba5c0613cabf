"""The student: an adapter of the Knowledge-MLLM whose item features carry gradients.

A loss on the items' features is minimised by many small models at once, but the language model
cannot be run at each of their steps. So the features are a table that collects gradients, and now
and then the student reads its items once and takes one step against what was collected (gradient
caching, Gao et al. 2021, arXiv 2101.06983).

Of several processes the main one alone trains the small models; the others help the student read.
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


class GivenOnly:
    """In place of a student: items of which given vectors are all that is read.

    Args:
        vectors: (n, g) of each item.
    """

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    def parameters(self) -> list[nn.Parameter]:
        """Nothing is learnt here."""
        return []

    def helping(self, work: Callable[[], None]) -> None:
        """Runs `work` on the main process; there are no passes to share."""
        if processes.is_main():
            work()

    def features(self) -> Tensor:
        """(n, g)."""
        return self.vectors

    def backward(self, gradient: Tensor) -> None:
        """Nothing takes a gradient."""


class Student:
    """Reads items through the active adapter, as `encode_items` does, with gradients.

    Args:
        mllm: with an adapter named `student`.
        items: (n,) what is read of each item; pictures as rows of `images`.
        images: cached pictures.
        layers: whose features are wanted.
        batch_size: items read at once.
        given: (n, g) vectors that the shop has of them; they come after what is read.
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
        self.vision = images.tower.float()  # (n_images, d_vision)
        self.items = items
        order = sorted(range(self.n), key=lambda i: (items[i].image is None, len(items[i].text)))
        # Made into batches as they are read: with pictures, all at once would be large.
        self.chunks = [order[start : start + batch_size] for start in range(0, self.n, batch_size)]

    def _tower(self, item: ItemInput) -> Tensor:
        """What the vision tower gave for an item's picture, zeros without one: (d_vision,)."""
        if item.image is None:
            return torch.zeros(self.mllm.vision_size)
        assert not isinstance(item.image, Image.Image), "pictures are given as rows of `images`"
        return self.vision[item.image]

    def parameters(self) -> list[nn.Parameter]:
        """What the adapter learns."""
        return list(self.mllm.adapters.parameters(ADAPTER))

    def helping(self, work: Callable[[], None]) -> None:
        """Runs `work` on the main process; the others meanwhile share its passes of this student.

        With several processes, `features` and `backward` are called within such work only.
        """
        if processes.is_main():
            work()
            self._ask("")
            return
        while asked := self._ask():
            if asked == "features":
                self._features()
            else:
                for parameter in self.parameters():
                    parameter.grad = None  # what an earlier stage or pass has left here
                self._backward(torch.zeros(self.n, self.width, device=self.mllm.device))

    def features(self) -> Tensor:
        """(n, D) features of all items in the order of `knowledge.named_features`, no gradients;
        given vectors come last."""
        self._ask("features")
        result = self._features()
        return result if self.given is None else torch.cat([result, self.given.to(result)], dim=1)

    def backward(self, gradient: Tensor) -> None:
        """Adds to the adapter's gradients what a gradient (n, D) on the features means for it."""
        self._ask("backward")
        self._backward(gradient[:, : self.width].contiguous())  # given vectors learn nothing

    def _ask(self, what: str = "") -> str:
        """What the main process asks of all, "" at the end; its adapter comes along."""
        what = processes.agreed(what)
        if what:
            processes.send(*self.parameters())
        return what

    @property
    def width(self) -> int:
        """D, columns of the features."""
        lasts = sum(1 for layer in self.layers if layer)
        return self.vision.shape[1] + (2 * len(self.layers) + lasts) * self.mllm.hidden_size

    def _features(self) -> Tensor:
        result = torch.zeros(self.n, self.width, device=self.mllm.device)
        self.mllm.model.eval()
        with self.mllm.adapters.use(ADAPTER), torch.no_grad():
            for rows in processes.share(self.chunks):
                result[torch.tensor(rows)] = self._read(rows)
        processes.add_up(result)
        return result

    def _backward(self, gradient: Tensor) -> None:
        processes.send(gradient)
        self.mllm.model.train()
        with self.mllm.adapters.use(ADAPTER):
            for chunks in processes.rounds(self.chunks):
                # One that has none takes another's, which counts nothing: all make the same passes.
                [rows], counts = processes.batch_share(chunks)
                with self.mllm.autocast():
                    features = self._read(rows)
                features.backward(gradient[rows].to(features.device) * counts)
        self.mllm.model.eval()
        processes.add_up_gradients(self.parameters())

    def _read(self, rows: Sequence[int]) -> Tensor:
        """Features (B, D) of some items."""
        chats = [[Turn(self.items[i], DESCRIBE)] for i in rows]
        batch = collate(self.mllm, chats, images=self.images).to(self.mllm.device)
        tower = torch.stack([self._tower(self.items[i]) for i in rows])  # (B, d_vision)
        hidden = self.mllm.forward(batch, layers=self.layers, need_logits=False).hidden
        each = torch.arange(len(tower), device=self.mllm.device)
        states = {layer: hidden[layer].float() for layer in self.layers}  # each (B, L, d)
        parts = [tower.to(self.mllm.device)]
        parts += [masked_mean(states[layer], batch.image_mask) for layer in self.layers]
        parts += [masked_mean(states[layer], batch.text_mask) for layer in self.layers]
        parts += [states[layer][each, batch.markers[:, 0]] for layer in self.layers if layer]
        return torch.cat(parts, dim=1)  # (B, D)

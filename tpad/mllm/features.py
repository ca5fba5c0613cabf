"""Frozen features: of pictures (vision tower and connector, run once) and of items (any layer)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from transformers.modeling_outputs import BaseModelOutputWithPooling

from tpad.errors import ModelError
from tpad.io.files import replacing
from tpad.mllm.processors import Pixels, is_qwen, preprocess
from tpad.mllm.prompts import ItemInput, Turn
from tpad.mllm.resolution import RESIZABLE_TOWERS

if TYPE_CHECKING:
    from tpad.mllm.model import MLLM


@dataclass
class ImageCache:
    """What the frozen vision tower and connector make of `n` pictures.

    Given along with a conversation, a picture is referred to by its row; its tokens are injected
    where the tower's output would go, so the language model reads exactly the same.

    Attributes:
        flat: (sum of counts, d) image tokens of all pictures, one after the other, in the number
            format that they were computed in.
        counts: (n,) tokens of each picture; 0 = no picture.
        tower: (n, d_vision) mean over the vision tower's output patches.
        expansions: per picture, what stands for it in the prompt.
        grids: Qwen: (n, 3) frames, rows and columns of patches.
        has_image: (n,) bool.
        deepstack: Qwen3: further (sum of counts, d) tokens, added at the first layers.
    """

    flat: torch.Tensor
    counts: torch.Tensor
    tower: torch.Tensor
    expansions: list[str]
    grids: torch.Tensor | None = None
    deepstack: tuple[torch.Tensor, ...] = ()

    def __post_init__(self) -> None:
        self._starts = (self.counts.cumsum(0) - self.counts).tolist()
        self._counts = self.counts.tolist()
        self.has_image = np.asarray(self._counts) > 0

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def tokens(self) -> torch.Tensor:
        """(n, tokens_per_image, d); zeros for a missing picture.

        Raises:
            ModelError: the pictures have different numbers of tokens (Qwen, tiles).
        """
        sizes = {count for count in self._counts if count}
        if len(sizes) > 1:
            raise ModelError("These pictures have different numbers of tokens; use `flat`.")
        size = sizes.pop() if sizes else 0
        out = self.flat.new_zeros(len(self), size, self.flat.shape[-1])
        out[self.counts > 0] = self.flat.view(-1, size, self.flat.shape[-1]) if size else out
        return out

    def rows(self, rows: Sequence[int]) -> "ImageCache":
        """These pictures, in this order; a row may come more than once."""
        parts = [
            np.arange(self._starts[r], self._starts[r] + self._counts[r], dtype=np.int64)
            for r in rows
        ]
        index = torch.from_numpy(np.concatenate(parts)).to(self.flat.device)
        chosen = torch.as_tensor(list(rows), dtype=torch.long)
        return ImageCache(
            self.flat[index],
            self.counts[chosen],
            self.tower[chosen.to(self.tower.device)],
            [self.expansions[r] for r in rows],
            None if self.grids is None else self.grids[chosen],
            tuple(extra[index] for extra in self.deepstack),
        )

    @classmethod
    def joined(cls, parts: Sequence["ImageCache"]) -> "ImageCache":
        """The pictures of several caches of one model, one after the other."""
        full = [part for part in parts if part.has_image.any()] or parts[:1]
        grids = None
        if full[0].grids is not None:
            grids = torch.cat(
                [p.counts.new_zeros(len(p), 3) if p.grids is None else p.grids for p in parts]
            )
        return cls(
            torch.cat([part.flat for part in parts]),
            torch.cat([part.counts for part in parts]),
            torch.cat([part.tower for part in parts]),
            [expansion for part in parts for expansion in part.expansions],
            grids,
            tuple(map(torch.cat, zip(*(part.deepstack for part in full), strict=True))),
        )

    def to(self, device: torch.device) -> "ImageCache":
        return ImageCache(
            self.flat.to(device),
            self.counts,
            self.tower.to(device),
            self.expansions,
            self.grids,
            tuple(extra.to(device) for extra in self.deepstack),
        )

    def as_outputs(self) -> BaseModelOutputWithPooling:
        """As the model's own `get_image_features` returns it."""
        sizes = self._counts
        tokens: Any = list(self.flat.split(sizes))  # one tensor a picture, as the models do it
        out = BaseModelOutputWithPooling(pooler_output=tokens)
        if self.deepstack:
            out["deepstack_features"] = [list(extra.split(sizes)) for extra in self.deepstack]
        return out

    def save(self, path: str | Path) -> None:
        """Write as one safetensors file."""
        tensors = {"flat": self.flat, "counts": self.counts, "tower": self.tower}
        if self.grids is not None:
            tensors["grids"] = self.grids
        tensors |= {f"deepstack.{n}": extra for n, extra in enumerate(self.deepstack)}
        kinds = sorted(set(self.expansions))
        tensors["kinds"] = torch.tensor([kinds.index(e) for e in self.expansions])
        metadata = {f"expansion.{n}": kind for n, kind in enumerate(kinds)}
        with replacing(path) as part:
            save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, part, metadata)

    @classmethod
    def load(cls, path: str | Path) -> "ImageCache":
        """Read what `save` wrote."""
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        expansions = [metadata[f"expansion.{n}"] for n in tensors["kinds"].tolist()]
        names = sorted(name for name in tensors if name.startswith("deepstack."))
        return cls(
            tensors["flat"],
            tensors["counts"],
            tensors["tower"],
            expansions,
            tensors.get("grids"),
            tuple(tensors[name] for name in names),
        )


@dataclass
class ItemFeatures:
    """What the model knows of `n` items (METHOD.md: `k_v`, `k_t`, `k_m` at each chosen layer).

    Attributes:
        vision: (n, d_vision) float32, mean over the vision tower's output patches.
        image: layer -> (n, d) float32, mean over the item's image tokens.
        text: layer -> (n, d) float32, mean over the tokens of the item's own text.
        last: layer -> (n, d) float32, last token of the prompt.
        has_image: (n,) bool; without a picture, `vision` and `image` are zero.
        has_text: (n,) bool; without a text, `text` is zero.
    """

    vision: np.ndarray
    image: dict[int, np.ndarray]
    text: dict[int, np.ndarray]
    last: dict[int, np.ndarray]
    has_image: np.ndarray
    has_text: np.ndarray


def run_vision(mllm: "MLLM", pixels: Pixels) -> ImageCache:
    """Vision tower and connector on preprocessed pictures, on the model's device.

    Gradients flow if they are enabled.
    """
    options = {}
    config = mllm.model.config.vision_config
    if mllm.family == "llava" and config.model_type in RESIZABLE_TOWERS:
        other = pixels.tensors["pixel_values"].shape[-1] != config.image_size
        options["interpolate_pos_encoding"] = other
    outputs = mllm.model.model.get_image_features(**pixels.tensors, **options, return_dict=True)
    tokens = list(outputs.pooler_output)  # n times (tokens, d)
    patches = outputs.last_hidden_state
    if is_qwen(mllm.family):  # (all patches, d_vision)
        sizes = pixels.tensors["image_grid_thw"].prod(-1).tolist()
        tower = torch.stack([part.mean(0) for part in patches.split(sizes)])
    else:  # (tiles, patches, d_vision); a picture has one tile, or several of equal token number
        per_tile = sum(map(len, tokens)) // len(patches)
        sizes = [len(part) // per_tile for part in tokens]
        tower = torch.stack([part.mean(0) for part in patches.mean(1).split(sizes)])
    deepstack = getattr(outputs, "deepstack_features", None) or ()
    return ImageCache(
        torch.cat(tokens),
        torch.tensor([len(part) for part in tokens]),
        tower,
        pixels.expansions,
        None if pixels.grids is None else pixels.grids.cpu(),
        tuple(torch.cat(list(extra)) for extra in deepstack),
    )


def image_features(
    mllm: "MLLM", images: Iterable[Image.Image | None], batch_size: int
) -> ImageCache:
    """See `MLLM.image_features`."""
    stream = iter(images)
    parts: list[ImageCache] = []
    counts: list[int] = []
    with mllm.inference():
        while chunk := list(islice(stream, batch_size)):
            there = [image for image in chunk if image is not None]
            if there:
                pixels = preprocess(mllm.processor, there).to(mllm.device)
                parts.append(run_vision(mllm, pixels).to(torch.device("cpu")))
            sizes = iter(parts[-1].counts.tolist() if there else ())
            counts += [0 if image is None else next(sizes) for image in chunk]
    return _spread(mllm, parts, torch.tensor(counts, dtype=torch.long))


def _spread(mllm: "MLLM", parts: list[ImageCache], counts: torch.Tensor) -> ImageCache:
    """The parts as one cache, with empty rows where `counts` is zero."""
    there = counts > 0
    n = len(counts)
    if not parts:
        empty = torch.zeros(0, mllm.hidden_size)
        return ImageCache(empty, counts, torch.zeros(n, mllm.vision_size), [""] * n)
    towers = torch.cat([part.tower for part in parts]).float()
    tower = towers.new_zeros(n, towers.shape[-1])
    tower[there] = towers
    texts = iter([text for part in parts for text in part.expansions])
    grids = None
    if parts[0].grids is not None:
        grids = torch.zeros(n, 3, dtype=torch.long)
        grids[there] = torch.cat([part.grids for part in parts if part.grids is not None])
    return ImageCache(
        torch.cat([part.flat for part in parts]),
        counts,
        tower,
        [next(texts) if is_there else "" for is_there in there.tolist()],
        grids,
        tuple(
            torch.cat(extras) for extras in zip(*(part.deepstack for part in parts), strict=True)
        ),
    )


def encode(
    mllm: "MLLM",
    items: Sequence[ItemInput],
    *,
    instruction: str,
    layers: Sequence[int],
    batch_size: int,
    images: ImageCache | None,
) -> ItemFeatures:
    """See `MLLM.encode`."""
    layers = sorted(set(layers))
    n, d = len(items), mllm.hidden_size
    features = ItemFeatures(
        np.zeros((n, mllm.vision_size), np.float32),
        {layer: np.zeros((n, d), np.float32) for layer in layers},
        {layer: np.zeros((n, d), np.float32) for layer in layers},
        {layer: np.zeros((n, d), np.float32) for layer in layers},
        np.zeros(n, bool),
        np.zeros(n, bool),
    )
    # Items of like length together: less padding.
    order = sorted(range(n), key=lambda i: (items[i].image is None, len(items[i].text)))
    with mllm.inference():
        for start in range(0, n, batch_size):
            rows = order[start : start + batch_size]
            conversations = [[Turn(items[i], instruction)] for i in rows]
            batch = mllm.collate(conversations, images=images).to(mllm.device)
            has_image = batch.image_mask.any(1).cpu().numpy()  # (B,)
            features.has_image[rows] = has_image
            features.has_text[rows] = batch.text_mask.any(1).cpu().numpy()
            if isinstance(batch.vision, Pixels):
                batch.vision = run_vision(mllm, batch.vision)
            if batch.vision is not None:
                shown = [row for row, there in zip(rows, has_image, strict=True) if there]
                features.vision[shown] = batch.vision.tower.float().cpu().numpy()
            hidden = mllm.forward(batch, layers=layers, need_logits=False).hidden
            for layer in layers:
                states = hidden[layer].float()  # (B, L, d)
                last = states[torch.arange(len(rows)), batch.markers[:, 0]]  # (B, d)
                features.image[layer][rows] = masked_mean(states, batch.image_mask).cpu().numpy()
                features.text[layer][rows] = masked_mean(states, batch.text_mask).cpu().numpy()
                features.last[layer][rows] = last.cpu().numpy()
    return features


def masked_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of `states` (B, L, d) where `mask` (B, L) is true; zero where it is nowhere: (B, d)."""
    weights = mask.to(states.dtype)  # (B, L)
    total = (weights.unsqueeze(1) @ states).squeeze(1)  # (B, d)
    return total / weights.sum(1, keepdim=True).clamp(min=1)

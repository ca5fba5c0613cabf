"""Frozen features of images (vision tower and connector) and of items (any layer)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from PIL import Image

from tpad.errors import ConfigError
from tpad.mllm.collator import collate
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.model import MLLM
from tpad.mllm.processors import Pixels, preprocess
from tpad.mllm.prompts import ItemInput, Turn
from tpad.mllm.vision import run_vision


@dataclass
class ItemFeatures:
    """Features of `n` items: `k_v`, `k_t` and `k_m` of the paper, at each chosen layer.

    Attributes:
        vision: (n, d_vision) float32, mean over the vision tower's output patches.
        image: layer -> (n, d) float32, mean over the item's image tokens; no layers if the model sees
            no pictures.
        text: layer -> (n, d) float32, mean over the tokens of the item's own text.
        last: layer -> (n, d) float32, last token of the prompt.
        has_image: (n,) bool; without an image, `vision` and `image` are zero.
        has_text: (n,) bool; without a text, `text` is zero.
    """

    vision: np.ndarray
    image: dict[int, np.ndarray]
    text: dict[int, np.ndarray]
    last: dict[int, np.ndarray]
    has_image: np.ndarray
    has_text: np.ndarray


def encode_images(
    mllm: MLLM, images: Iterable[Image.Image | None], *, batch_size: int = 64
) -> ImageCache:
    """Run the vision tower and the connector over images.

    The result stays valid as long as tower and connector are frozen. If the model sees no pictures, all
    images are missing.

    Args:
        mllm: the model.
        images: the images, None for a missing one; may be a generator.
        batch_size: number of images in a forward pass.

    Returns:
        One row per image, in the order of `images`, on the CPU.
    """
    stream = (image if mllm.sees else None for image in images)
    parts: list[ImageCache] = []
    counts: list[int] = []
    with mllm.inference():
        while chunk := list(islice(stream, batch_size)):
            given = [image for image in chunk if image is not None]
            if given:
                pixels = preprocess(mllm.processor, given).to(mllm.device)
                parts.append(run_vision(mllm.model, pixels).to(torch.device("cpu")))
            sizes = iter(parts[-1].counts.tolist() if given else ())
            counts += [0 if image is None else next(sizes) for image in chunk]
    return _with_missing(mllm, parts, torch.tensor(counts, dtype=torch.long))


def _with_missing(mllm: MLLM, parts: list[ImageCache], counts: torch.Tensor) -> ImageCache:
    """Concatenate the parts, with an empty row wherever `counts` is zero."""
    given = counts > 0
    n = len(counts)
    if not parts:
        empty = torch.zeros(0, mllm.hidden_size)
        return ImageCache(empty, counts, torch.zeros(n, mllm.vision_size), [""] * n)
    towers = torch.cat([part.tower for part in parts]).float()
    tower = towers.new_zeros(n, towers.shape[-1])
    tower[given] = towers
    expansions = iter([expansion for part in parts for expansion in part.expansions])
    grids = None
    if parts[0].grids is not None:
        grids = torch.zeros(n, 3, dtype=torch.long)
        grids[given] = torch.cat([part.grids for part in parts if part.grids is not None])
    return ImageCache(
        torch.cat([part.flat for part in parts]),
        counts,
        tower,
        [next(expansions) if is_given else "" for is_given in given.tolist()],
        grids,
        tuple(
            torch.cat(extras) for extras in zip(*(part.deepstack for part in parts), strict=True)
        ),
    )


def encode_items(
    mllm: MLLM,
    items: Sequence[ItemInput],
    *,
    layers: Sequence[int],
    instruction: str = "",
    plain: bool = False,
    batch_size: int = 32,
    images: ImageCache | None = None,
) -> ItemFeatures:
    """Compute the features of items, each read in a conversation of its own.

    Args:
        mllm: the model, with its active adapter.
        items: what the model reads.
        layers: 0 for the input embeddings up to `num_layers` for the last layer, after the norm.
        instruction: what is asked about each item.
        plain: whether items are read on their own, without the chat template and the instruction. That
            takes about half of the tokens.
        batch_size: number of items in a forward pass.
        images: cached image features; items then name their image by its row.

    Raises:
        ConfigError: the model has no such layer.
    """
    for layer in layers:
        if not 0 <= layer <= mllm.num_layers:
            raise ConfigError(f"There is no layer {layer}; choose 0 to {mllm.num_layers}.")
    layers = sorted(set(layers))
    n, d = len(items), mllm.hidden_size
    features = ItemFeatures(
        np.zeros((n, mllm.vision_size), np.float32),
        {layer: np.zeros((n, d), np.float32) for layer in (layers if mllm.sees else ())},
        {layer: np.zeros((n, d), np.float32) for layer in layers},
        {layer: np.zeros((n, d), np.float32) for layer in layers},
        np.zeros(n, bool),
        np.zeros(n, bool),
    )
    # Items of similar length share a batch, which needs less padding.
    order = sorted(range(n), key=lambda i: (items[i].image is None, len(items[i].text)))
    with mllm.inference():
        for start in range(0, n, batch_size):
            rows = order[start : start + batch_size]
            conversations = [[Turn(items[i], instruction)] for i in rows]
            _encode_batch(mllm, conversations, images, rows, features, plain)
    return features


def _encode_batch(
    mllm: MLLM,
    conversations: Sequence[Sequence[Turn]],
    images: ImageCache | None,
    rows: list[int],
    features: ItemFeatures,
    plain: bool,
) -> None:
    """Read one batch of items and write their features into `rows`."""
    batch = collate(mllm, conversations, images=images, plain=plain).to(mllm.device)
    has_image = batch.image_mask.any(1).cpu().numpy()  # (B,)
    features.has_image[rows] = has_image
    features.has_text[rows] = batch.text_mask.any(1).cpu().numpy()
    if isinstance(batch.vision, Pixels):
        batch.vision = run_vision(mllm.model, batch.vision)
    if batch.vision is not None:
        with_image = [row for row, given in zip(rows, has_image, strict=True) if given]
        features.vision[with_image] = batch.vision.tower.float().cpu().numpy()
    layers = list(features.last)
    hidden = mllm.forward(batch, layers=layers, need_logits=False).hidden
    for layer in layers:
        states = hidden[layer].float()  # (B, L, d)
        last = states[torch.arange(len(rows)), batch.markers[:, 0]]  # (B, d)
        if mllm.sees:
            features.image[layer][rows] = masked_mean(states, batch.image_mask).cpu().numpy()
        features.text[layer][rows] = masked_mean(states, batch.text_mask).cpu().numpy()
        features.last[layer][rows] = last.cpu().numpy()


def masked_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of `states` (B, L, d) where `mask` (B, L) is true, zero if it is true nowhere: (B, d)."""
    weights = mask.to(states.dtype)  # (B, L)
    total = (weights.unsqueeze(1) @ states).squeeze(1)  # (B, d)
    return total / weights.sum(1, keepdim=True).clamp(min=1)

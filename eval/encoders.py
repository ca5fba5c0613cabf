"""Embedding sets from any Hugging Face encoder, as baselines: CLIP, SigLIP, sentence-transformers, ViT.

What an encoder is follows from its checkpoint: one with image and text features gives both, side by
side; one with an image processor alone reads pictures; any other reads texts. Nothing is trained.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

from tpad import Columns, Dataset, ModelError

BATCH = 64
MOST_TOKENS = 512  # where the tokenizer names no limit
POOLING_FILE = "1_Pooling/config.json"  # of sentence-transformers

Bar = Callable[[Iterable[int], int, str], Iterable[int]]


def encode_items(
    path_or_hub_id: str,
    dataset: Dataset,
    *,
    revision: str | None = None,
    device: str = "cpu",
    batch_size: int = BATCH,
    bar: Bar = lambda steps, total, what: steps,
) -> np.ndarray:
    """One row an item, (n_items, d) float32.

    Each part (picture, text) is scaled to length one, as these models compare them. An item without
    a picture, or without a text, gets the mean of that part over the
    training items that have it.

    Args:
        path_or_hub_id: local folder or hub id of the encoder; only safetensors are read.
        dataset: items with their pictures.
        revision: branch, tag or commit on the hub.
        device: where to compute.
        batch_size: items read at once.
        bar: shows progress: given steps, their number and a text, it yields the steps.

    Raises:
        ModelError: the checkpoint cannot be loaded, or is no encoder.
    """
    encoder = _Encoder(path_or_hub_id, revision, device)
    parts = []
    if encoder.images is not None:
        rows = [row for row, path in enumerate(dataset.items[Columns.IMAGE]) if path]
        parts.append(
            _encode(encoder.see, rows, dataset.image, ~dataset.cold, batch_size, bar, "pictures")
        )
    if encoder.tokenizer is not None:
        texts = [
            f"{title}\n{description}".strip()
            for title, description in zip(
                dataset.items[Columns.TITLE], dataset.items[Columns.DESCRIPTION], strict=True
            )
        ]
        rows = [row for row, text in enumerate(texts) if text]
        parts.append(
            _encode(encoder.read, rows, texts.__getitem__, ~dataset.cold, batch_size, bar, "texts")
        )
    return np.concatenate(parts, axis=1)


def _encode(
    compute: Callable[[list], Tensor],
    rows: Sequence[int],
    content: Callable[[int], Any],
    warm: np.ndarray,
    batch_size: int,
    bar: Bar,
    what: str,
) -> np.ndarray:
    """One part of every item, (n_items, d); `warm` (n_items,) marks the training items."""
    found: dict[int, np.ndarray] = {}
    starts = range(0, len(rows), batch_size)
    for start in bar(starts, len(starts), f"encoding {what}"):
        held = [(row, content(row)) for row in rows[start : start + batch_size]]
        held = [(row, value) for row, value in held if value is not None]
        if not held:
            continue
        vectors = F.normalize(compute([value for _, value in held]).float(), dim=1)  # (B, d)
        found |= dict(zip([row for row, _ in held], vectors.cpu().numpy(), strict=True))
    if not found:
        return np.zeros((len(warm), 1), np.float32)
    at, read = np.array(list(found)), np.stack(list(found.values()))
    known = read[warm[at]]
    mean = known.mean(0) if len(known) else np.zeros(read.shape[1])
    table = np.tile(mean, (len(warm), 1)).astype(np.float32)  # (n_items, d)
    table[at] = read
    return table


class _Encoder:
    """A checkpoint and what it can read."""

    def __init__(self, path: str, revision: str | None, device: str) -> None:
        self.path, self.revision, self.device = path, revision, torch.device(device)
        hub: dict[str, Any] = {"revision": revision} if revision else {}
        try:
            config = AutoConfig.from_pretrained(path, **hub)
            model = AutoModel.from_pretrained(path, use_safetensors=True, **hub)
        except (OSError, ValueError, KeyError) as error:
            first = str(error).strip().split("\n")[0]
            raise ModelError(
                f"{path} cannot be loaded as an encoder ({first}); give a folder or a hub id."
            ) from error
        self.model: Any = model.to(self.device).eval()
        self.both = hasattr(model, "get_image_features") and hasattr(model, "get_text_features")
        self.images: Any = self._part(AutoImageProcessor, hub)
        wants_text = self.both or self.images is None
        self.tokenizer: Any = self._part(AutoTokenizer, hub) if wants_text else None
        if self.images is None and self.tokenizer is None:
            raise ModelError(f"{path} has neither an image processor nor a tokenizer.")
        if self.both and (self.images is None or self.tokenizer is None):
            raise ModelError(
                f"{path} lacks its image processor or its tokenizer; get it whole again."
            )
        # SigLIP was trained on texts padded to one length, and has no mask.
        self.padding = "max_length" if "siglip" in config.model_type else "longest"
        self.uses_first = self._pooling() == "cls"

    def _part(self, kind: Any, hub: dict[str, Any]) -> Any:
        try:
            part = kind.from_pretrained(self.path, **hub)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        # Where no file of a tokenizer is found, one that knows no word is made up.
        if kind is AutoTokenizer and set(part.get_vocab()) <= set(part.all_special_tokens):
            return None
        return part

    def _pooling(self) -> str:
        """How sentence-transformers pools this model's tokens: "cls" or "mean" (the default)."""
        file: Any = Path(self.path) / POOLING_FILE
        if not Path(self.path).is_dir():
            file = try_to_load_from_cache(self.path, POOLING_FILE, revision=self.revision)
        if not isinstance(file, (str, Path)) or not Path(file).is_file():
            return "mean"
        settings = json.loads(Path(file).read_text("utf-8"))
        return "cls" if settings.get("pooling_mode_cls_token") else "mean"

    @torch.no_grad()
    def see(self, pictures: list[Image.Image]) -> Tensor:
        """(B, d) of pictures."""
        inputs = self.images(images=pictures, return_tensors="pt").to(self.device)
        if self.both:
            return _pooled(self.model.get_image_features(**inputs))
        output = self.model(**inputs)
        pooled = getattr(output, "pooler_output", None)
        states = output.last_hidden_state
        # A convolution gives (B, d, h, w), a transformer (B, L, d).
        return (
            states.flatten(2).mean(2)
            if states.ndim == 4
            else states.mean(1)
            if pooled is None
            else pooled
        )

    @torch.no_grad()
    def read(self, texts: list[str]) -> Tensor:
        """(B, d) of texts; what is longer than the model reads is cut."""
        limit = min(self.tokenizer.model_max_length, MOST_TOKENS)
        inputs = self.tokenizer(
            texts, padding=self.padding, truncation=True, max_length=limit, return_tensors="pt"
        ).to(self.device)
        if self.both:
            return _pooled(self.model.get_text_features(**inputs))
        states = self.model(**inputs).last_hidden_state  # (B, L, d)
        if self.uses_first:
            return states[:, 0]
        mask = inputs["attention_mask"][..., None].to(states.dtype)  # (B, L, 1)
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1.0)


def _pooled(features: Any) -> Tensor:
    """Features as a tensor; later versions of transformers wrap them."""
    return features if isinstance(features, Tensor) else features.pooler_output

"""Embedding sets from any Hugging Face encoder, as baselines: CLIP, SigLIP, sentence-transformers, ViT.

The checkpoint decides what is encoded: a model with image and text features encodes both and
concatenates them, a model with only an image processor encodes pictures, any other encodes texts. For
folders of sentence-transformers see `eval.models.sentence_modules`. Nothing is trained.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from eval.models.pooling import pooled
from eval.models.sentence_modules import Checkpoint, read_recipe
from tpad import Columns, Dataset, ModelError
from tpad.errors import TpadError, one_line
from tpad.mllm.bounds import check_size
from tpad.mllm.hugging_face import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForTextEncoding,
    AutoTokenizer,
    PreTrainedConfig,
)
from tpad.mllm.resolution import check_edges
from tpad.mllm.safety import check_checkpoint

BATCH = 64
MOST_TOKENS = 512  # if the tokenizer has no limit

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
    """Embeds all items: (n_items, d) float32.

    The vectors of pictures and of texts are scaled to length one, as these models compare them. An item
    without a picture or text gets the mean vector over the training items, or zeros if none has one.

    Args:
        path_or_hub_id: local folder or hub id of the encoder; only safetensors are read.
        dataset: items with their pictures.
        revision: branch, tag or commit on the hub.
        device: where to compute.
        batch_size: items per batch.
        bar: shows progress: called with steps, their number and a text, it yields the steps.

    Raises:
        ModelError: the checkpoint cannot be loaded or is not an encoder.
    """
    encoder = _Encoder(path_or_hub_id, revision, device)
    parts = []
    if encoder.images is not None:
        rows = [row for row, path in enumerate(dataset.items[Columns.IMAGE]) if path]
        parts.append(
            _encode(
                encoder.encode_pictures,
                rows,
                dataset.image,
                ~dataset.cold,
                batch_size,
                bar,
                "pictures",
            )
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
            _encode(
                encoder.encode_texts,
                rows,
                texts.__getitem__,
                ~dataset.cold,
                batch_size,
                bar,
                "texts",
            )
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
    """Vectors of all pictures or all texts, (n_items, d).

    Args:
        compute: embeds a batch, as (B, d).
        rows: items that have a picture, or a text.
        content: loads the content of a row; None if it cannot be read.
        warm: (n_items,) bool, the training items.
        batch_size, bar: see `encode_items`.
        what: for the progress bar and for the error.

    Raises:
        ModelError: the model cannot embed such content.
    """
    found: dict[int, np.ndarray] = {}
    starts = range(0, len(rows), batch_size)
    for start in bar(starts, len(starts), f"encoding {what}"):
        batch = [(row, content(row)) for row in rows[start : start + batch_size]]
        batch = [(row, value) for row, value in batch if value is not None]
        if not batch:
            continue
        try:
            computed = compute([value for _, value in batch])
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise ModelError(
                f"The encoder cannot encode {what} ({one_line(error)}); give a model that embeds texts or "
                "pictures, such as CLIP, SigLIP, ViT or one of sentence-transformers."
            ) from error
        vectors = F.normalize(computed.float(), dim=1)  # (B, d)
        found |= dict(zip([row for row, _ in batch], vectors.cpu().numpy(), strict=True))
    if not found:
        return np.zeros((len(warm), 1), np.float32)
    at, encoded = np.array(list(found)), np.stack(list(found.values()))
    known = encoded[warm[at]]
    mean = known.mean(0) if len(known) else np.zeros(encoded.shape[1])
    table = np.tile(mean, (len(warm), 1)).astype(np.float32)  # (n_items, d)
    table[at] = encoded
    return table


class _Encoder:
    """A checkpoint with its processors."""

    def __init__(self, path: str, revision: str | None, device: str) -> None:
        self.path, self.device = path, torch.device(device)
        self.recipe = read_recipe(Checkpoint(path, revision))
        # A module is a folder in a local folder, and a subfolder in a hub repository.
        self.options: dict[str, Any] = {}
        self.source = path
        if revision:
            self.options["revision"] = revision
        if self.recipe.subfolder and Path(path).is_dir():
            self.source = str(Path(path) / self.recipe.subfolder)
        elif self.recipe.subfolder:
            self.options["subfolder"] = self.recipe.subfolder
        self.model, self.config = self._load()
        self.both = hasattr(self.model, "get_image_features") and hasattr(
            self.model, "get_text_features"
        )
        is_text = self.recipe.has_modules and not self.recipe.is_clip
        self.images: Any = None if is_text else self._part(AutoImageProcessor)
        if self.images is not None:
            check_edges(self.images, f"The image processor of {path}")
        wants_text = self.both or self.images is None
        self.tokenizer: Any = self._part(AutoTokenizer) if wants_text else None
        if self.images is None and self.tokenizer is None:
            raise ModelError(f"{path} has neither an image processor nor a tokenizer.")
        if self.both and (self.images is None or self.tokenizer is None):
            raise ModelError(f"{path} has no image processor or no tokenizer; download it again.")
        # SigLIP was trained on texts padded to the same length, and has no mask.
        self.padding = "max_length" if "siglip" in self.config.model_type else "longest"

    def _load(self) -> tuple[Any, Any]:
        """The model and its configuration."""
        try:
            check_checkpoint(self.source, **self.options)
            plain, _ = PreTrainedConfig.get_config_dict(self.source, **self.options)
            config = AutoConfig.from_pretrained(
                self.source, trust_remote_code=False, **self.options
            )
            config._attn_implementation = None  # the best available, whatever the file says
            # For T5 models, AutoModel would also load the decoder, which needs a target.
            is_t5 = self.recipe.has_modules and config.model_type in ("t5", "mt5", "umt5")
            kind: Any = AutoModelForTextEncoding if is_t5 else AutoModel
            check_size(plain, self.source, kind, **self.options)
            model = kind.from_pretrained(
                self.source,
                config=config,
                trust_remote_code=False,
                use_safetensors=True,
                **self.options,
            )
        except TpadError:
            raise
        except Exception as error:  # damaged files can raise anything
            raise ModelError(
                f"{self.path} cannot be loaded as an encoder ({one_line(error)}); give a folder or a hub id."
            ) from error
        return model.to(self.device).eval(), config

    def _part(self, kind: Any) -> Any:
        try:
            part = kind.from_pretrained(self.source, trust_remote_code=False, **self.options)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        # If there is no tokenizer file, an empty tokenizer is returned.
        if kind is AutoTokenizer and set(part.get_vocab()) <= set(part.all_special_tokens):
            return None
        return part

    @torch.no_grad()
    def encode_pictures(self, pictures: list[Image.Image]) -> Tensor:
        """Vectors of pictures, (B, d)."""
        inputs = self.images(images=pictures, return_tensors="pt").to(self.device)
        if self.both:
            return self._apply_layers(_features(self.model.get_image_features(**inputs)))
        output = self.model(**inputs)
        pooler = getattr(output, "pooler_output", None)
        states = output.last_hidden_state
        # A convolution gives (B, d, h, w), a transformer (B, L, d).
        return (
            states.flatten(2).mean(2)
            if states.ndim == 4
            else states.mean(1)
            if pooler is None
            else pooler
        )

    @torch.no_grad()
    def encode_texts(self, texts: list[str]) -> Tensor:
        """Vectors of texts, (B, d); texts that are too long are truncated."""
        inputs = self._tokens([self._prepared(text) for text in texts]).to(self.device)
        if self.both:
            return self._apply_layers(_features(self.model.get_text_features(**inputs)))
        states = self.model(**inputs).last_hidden_state  # (B, L, d)
        prompt = 0 if self.recipe.include_prompt else self._prompt_length()
        mask = inputs["attention_mask"]
        return self._apply_layers(pooled(states.float(), mask, self.recipe.modes, prompt))

    def _prepared(self, text: str) -> str:
        if not self.recipe.has_modules:
            return text
        text = (self.recipe.prompt + text).strip()
        return text.lower() if self.recipe.lower_case else text

    def _tokens(self, texts: list[str]) -> Any:
        return self.tokenizer(
            texts,
            padding=self.padding,
            truncation=True,
            max_length=self._longest(),
            return_tensors="pt",
        )

    def _longest(self) -> int:
        """Maximum number of tokens: from the folder, or from the model and its tokenizer."""
        limit = self.tokenizer.model_max_length
        if self.recipe.longest is not None:
            return self.recipe.longest
        if self.recipe.has_modules and limit < 10**9:  # 1e30 means no limit
            return min(limit, getattr(self.config, "max_position_embeddings", limit))
        return min(limit, MOST_TOKENS)

    def _prompt_length(self) -> int:
        """Number of tokens of the prompt, without the token that ends a text."""
        if not self.recipe.prompt:
            return 0
        ids = self._tokens([self._prepared("")])["input_ids"][0].tolist()
        return len(ids) - (ids[-1] in self.tokenizer.all_special_ids)

    def _apply_layers(self, vectors: Tensor) -> Tensor:
        """Applies the modules after the pooling."""
        for layer in self.recipe.layers:
            vectors = layer(vectors.float().cpu())
        return vectors


def _features(found: Any) -> Tensor:
    """Features as a tensor; newer versions of transformers wrap them."""
    return found if isinstance(found, Tensor) else found.pooler_output

"""Collate conversations into a padded batch, with masks for the parts of a conversation."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from tokenizers import Encoding

from tpad.errors import ModelError
from tpad.mllm.batches import IGNORED, Batch
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.model import MLLM
from tpad.mllm.processors import Pixels, is_qwen_vl, preprocess
from tpad.mllm.prompts import Conversation, Rendered


def collate(
    mllm: MLLM,
    conversations: Sequence[Conversation],
    *,
    images: ImageCache | None = None,
    with_labels: bool = False,
    plain: bool = False,
) -> Batch:
    """Turn conversations into one padded batch, on the CPU.

    If the last turn of a conversation has no answer, its prompt ends with the opening of the reply.

    Args:
        mllm: the model that will read the batch.
        conversations: at least one.
        images: cached image features; items then name their image by its row.
        with_labels: whether the tokens of all given answers become labels, end tokens included.
        plain: whether conversations of one turn are read as the item alone, without the chat template.

    Raises:
        ModelError: a prompt is longer than the model's context, or images and cache do not match.
    """
    if not len(conversations):
        raise ModelError("There is no conversation to read.")
    vision, expansions = _find_images(mllm, conversations, images)
    renderer = mllm.chat_tokenizer.renderer
    rendered = [
        renderer.render_item(conversation[0].item, replacements[0])
        if plain
        else renderer.render(conversation, conversation[-1].answer is None, replacements)
        for conversation, replacements in zip(conversations, expansions, strict=True)
    ]
    arrays = _tokenize(mllm, rendered)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    image_mask = tensors["input_ids"] == mllm.image_token_id  # (B, L)
    labels = None
    if with_labels:
        labels = tensors["input_ids"].masked_fill(~tensors["answer_mask"], IGNORED)
    position_ids = _positions(
        mllm, tensors["input_ids"], tensors["attention_mask"], image_mask, vision
    )
    return Batch(
        **tensors, position_ids=position_ids, image_mask=image_mask, labels=labels, vision=vision
    )


def _find_images(
    mllm: MLLM, conversations: Sequence[Conversation], images: ImageCache | None
) -> tuple[Pixels | ImageCache | None, list[list[str | None]]]:
    """The images in order of appearance, and the string for the image of each turn, if any."""
    turns = [turn for conversation in conversations for turn in conversation]
    shown = [turn.item.image if mllm.sees else None for turn in turns]
    given = [image for image in shown if image is not None]
    vision: Pixels | ImageCache | None = None
    if images is not None:
        if any(isinstance(image, Image.Image) for image in given):
            raise ModelError(
                "With an image cache, an item's image must be a row of the cache, not a picture."
            )
        present = [
            isinstance(row, int | np.integer) and bool(images.has_image[row]) for row in shown
        ]
        rows = [row for row, is_present in zip(shown, present, strict=True) if is_present]
        vision = images.rows(rows) if rows else None  # type: ignore[arg-type]
    else:
        if any(not isinstance(image, Image.Image) for image in given):
            raise ModelError(
                "An item's image is a row number, but no image cache was given; pass images=."
            )
        present = [image is not None for image in shown]
        pictures = [image for image in given if isinstance(image, Image.Image)]
        vision = preprocess(mllm.processor, pictures) if pictures else None
    expansions = iter(vision.expansions if vision is not None else ())
    flat = iter([next(expansions) if is_present else None for is_present in present])
    return vision, [[next(flat) for _ in conversation] for conversation in conversations]


def _tokenize(mllm: MLLM, rendered: Sequence[Rendered]) -> dict[str, np.ndarray]:
    """The arrays of a `Batch` that follow from the tokens and their character offsets."""
    encodings = mllm.chat_tokenizer.encode([r.string for r in rendered])
    n_bos = len(mllm.chat_tokenizer.bos_ids(rendered[0].string))
    length = n_bos + max(len(e.ids) for e in encodings)
    if mllm.max_length is not None and length > mllm.max_length:
        raise ModelError(
            f"A prompt has {length} tokens, which is longer than the {mllm.max_length} that the "
            "model can read; shorten the texts, the session or the pictures (visual_tokens)."
        )
    size = (len(rendered), length)
    n_turns = max(len(parts.markers) for parts in rendered)
    arrays = {
        "input_ids": np.full(size, mllm.chat_tokenizer.pad_id, dtype=np.int64),
        "attention_mask": np.zeros(size, dtype=np.int64),
        "text_mask": np.zeros(size, dtype=bool),
        "answer_mask": np.zeros(size, dtype=bool),
        "markers": np.full((size[0], n_turns), -1, np.int64),
    }
    for row, (encoding, parts) in enumerate(zip(encodings, rendered, strict=True)):
        bos_ids = mllm.chat_tokenizer.bos_ids(parts.string)
        _fill_row({k: v[row] for k, v in arrays.items()}, bos_ids, encoding, parts)
    return arrays


def _fill_row(
    row: dict[str, np.ndarray], bos_ids: list[int], encoding: Encoding, parts: Rendered
) -> None:
    """Write one conversation into its row of each array."""
    offsets = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    begins, stops = offsets[:, 0], offsets[:, 1]
    first, end = len(bos_ids), len(bos_ids) + len(encoding.ids)
    row["input_ids"][:end] = bos_ids + encoding.ids
    row["attention_mask"][:end] = 1
    for name, spans in (("text_mask", parts.texts), ("answer_mask", parts.answers)):
        for span in spans:
            if span is not None:
                row[name][first:end] |= (begins < span[1]) & (stops > span[0])
    # The first token that ends after the marker's offset begins the reply.
    markers = first + np.searchsorted(stops, parts.markers, side="right") - 1
    row["markers"][: len(markers)] = markers


def _positions(
    mllm: MLLM,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    image_mask: torch.Tensor,
    vision: Pixels | ImageCache | None,
) -> torch.Tensor:
    """Positions of the tokens, padding not counted: (B, L), Qwen (3, B, L) with image grids."""
    plain = (attention_mask.cumsum(-1) - 1).clamp(min=0)  # (B, L)
    if not is_qwen_vl(mllm.family):
        return plain
    if vision is None:
        return plain.expand(3, *plain.shape)
    position_ids, _ = mllm.model.model.get_rope_index(
        input_ids,
        mm_token_type_ids=image_mask.int(),
        image_grid_thw=vision.grids,
        attention_mask=attention_mask,
    )
    return position_ids

"""Conversations as padded tensors, with the place of every part that anybody asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from tpad.errors import ModelError
from tpad.mllm.features import ImageCache
from tpad.mllm.processors import Pixels, is_qwen, preprocess
from tpad.mllm.prompts import Conversation, Rendered

if TYPE_CHECKING:
    from tpad.mllm.model import MLLM

IGNORED = -100
"""Label of a token that is no target."""


@dataclass
class Batch:
    """`B` conversations of at most `L` tokens and `T` turns.

    Attributes:
        input_ids: (B, L) token ids.
        attention_mask: (B, L) 1 for tokens, 0 for padding.
        position_ids: (B, L), Qwen (3, B, L); counted over the tokens, so padding shifts nothing.
        markers: (B, T) index of the last token before the assistant's reply of each turn (of the
            user's message, where the user goes on without a reply); -1 = no such turn.
        turns: (B, L) turn that a token belongs to; -1 for padding.
        image_mask: (B, L) whether it is an image token.
        text_mask: (B, L) whether it belongs to the item's own text.
        answer_mask: (B, L) whether it belongs to a given reply, its end token included.
        labels: (B, L) token ids of replies, -100 elsewhere; None if not asked for.
        vision: the pictures in order of appearance, as pixels or as cached features; None if none.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor
    markers: torch.Tensor
    turns: torch.Tensor
    image_mask: torch.Tensor
    text_mask: torch.Tensor
    answer_mask: torch.Tensor
    labels: torch.Tensor | None = None
    vision: Pixels | ImageCache | None = None

    def __len__(self) -> int:
        return len(self.input_ids)

    def to(self, device: torch.device) -> "Batch":
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in moved.items() if v is not None})


@dataclass
class Output:
    """What a forward pass gives.

    Attributes:
        hidden: layer -> (B, L, d) states; 0 = input embeddings, `num_layers` = after the last norm.
        last_hidden: (B, L, d), as hidden[num_layers].
        logits: with labels in the batch, (M, V) for the M label tokens only, the vocabulary product
            being the dear part; without, (B, L, V); None if not needed.
        targets: (M,) the label tokens; None without labels.
        rows: (M,) the conversation that each label token belongs to.
        cache: keys and values, if asked for.
    """

    hidden: dict[int, torch.Tensor]
    last_hidden: torch.Tensor
    logits: torch.Tensor | None = None
    targets: torch.Tensor | None = None
    rows: torch.Tensor | None = None
    cache: Any = None

    @property
    def n_targets(self) -> int:
        """M, over which the loss is a mean."""
        return 0 if self.targets is None else len(self.targets)

    @property
    def loss(self) -> torch.Tensor:
        """Mean cross-entropy over all label tokens."""
        if self.logits is None or self.targets is None:
            raise ModelError("There is no loss without labels; collate with with_labels=True.")
        return torch.nn.functional.cross_entropy(self.logits.float(), self.targets)


def collate(
    mllm: "MLLM",
    conversations: Sequence[Conversation],
    *,
    images: ImageCache | None = None,
    with_labels: bool = False,
    padding_side: str = "right",
) -> Batch:
    """See `MLLM.collate`."""
    if not len(conversations):
        raise ModelError("There is no conversation to read.")
    vision, expansions = _vision(mllm, conversations, images)
    rendered = [
        mllm.text.renderer.render(conversation, conversation[-1].answer is None, stands_for)
        for conversation, stands_for in zip(conversations, expansions, strict=True)
    ]
    encodings = mllm.text.encode([r.string for r in rendered])
    lead = len(mllm.text.bos_ids(rendered[0].string))
    length = lead + max(len(e.ids) for e in encodings)
    if mllm.max_length is not None and length > mllm.max_length:
        raise ModelError(
            f"A prompt of {length} tokens is longer than the {mllm.max_length} that the model "
            "reads; shorten the texts, the session or the pictures (visual_tokens)."
        )
    size = (len(conversations), length)
    arrays = {
        "input_ids": np.full(size, mllm.text.pad_id, dtype=np.int64),
        "attention_mask": np.zeros(size, dtype=np.int64),
        "turns": np.full(size, -1, dtype=np.int64),
        "text_mask": np.zeros(size, dtype=bool),
        "answer_mask": np.zeros(size, dtype=bool),
        "markers": np.full((len(size) and size[0], max(map(len, conversations))), -1, np.int64),
    }
    for row, (encoding, parts) in enumerate(zip(encodings, rendered, strict=True)):
        start = length - lead - len(encoding.ids) if padding_side == "left" else 0
        _fill_row({k: v[row] for k, v in arrays.items()}, start, mllm, encoding, parts)
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


def _fill_row(
    row: dict[str, np.ndarray], start: int, mllm: "MLLM", encoding, parts: Rendered
) -> None:
    """Write one conversation into its row of each array, beginning at column `start`."""
    lead = mllm.text.bos_ids(parts.string)
    offsets = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    begins, stops = offsets[:, 0], offsets[:, 1]
    first = start + len(lead)
    real = slice(start, first + len(encoding.ids))
    row["input_ids"][real] = lead + encoding.ids
    row["attention_mask"][real] = 1
    row["turns"][start:first] = 0
    own = slice(first, real.stop)
    last = len(parts.ends) - 1
    row["turns"][own] = np.minimum(np.searchsorted(parts.ends, begins, side="right"), last)
    for span in parts.texts:
        if span is not None:
            row["text_mask"][own] |= (begins < span[1]) & (stops > span[0])
    for span in parts.answers:
        if span is not None:
            row["answer_mask"][own] |= (begins < span[1]) & (stops > span[0])
    # The first token that ends behind the marker's place begins the reply.
    row["markers"][: last + 1] = first + np.searchsorted(stops, parts.markers, side="right") - 1


def _vision(
    mllm: "MLLM", conversations: Sequence[Conversation], images: ImageCache | None
) -> tuple[Pixels | ImageCache | None, list[list[str | None]]]:
    """The pictures in order of appearance, and per conversation and turn what stands for them."""
    shown = [turn.item.image for conversation in conversations for turn in conversation]
    given = [image for image in shown if image is not None]
    vision: Pixels | ImageCache | None = None
    if images is not None:
        if any(isinstance(image, Image.Image) for image in given):
            raise ModelError(
                "With an image cache, an item's image is the row of the cache, not a picture."
            )
        there = [isinstance(row, int | np.integer) and bool(images.has_image[row]) for row in shown]
        rows = [row for row, is_there in zip(shown, there, strict=True) if is_there]
        vision = images.rows(rows) if rows else None  # type: ignore[arg-type]
    else:
        if any(not isinstance(image, Image.Image) for image in given):
            raise ModelError(
                "An item's image is a row number, but no image cache was given; pass images=."
            )
        there = [image is not None for image in shown]
        pictures = [image for image in given if isinstance(image, Image.Image)]
        vision = preprocess(mllm.processor, pictures) if pictures else None
    stands_for = iter(vision.expansions if vision is not None else ())
    flat = iter([next(stands_for) if is_there else None for is_there in there])
    return vision, [[next(flat) for _ in conversation] for conversation in conversations]


def _positions(
    mllm: "MLLM",
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    image_mask: torch.Tensor,
    vision: Pixels | ImageCache | None,
) -> torch.Tensor:
    """Positions counted over real tokens: (B, L), for Qwen (3, B, L) with grids for pictures."""
    plain = (attention_mask.cumsum(-1) - 1).clamp(min=0)  # (B, L)
    if not is_qwen(mllm.family):
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
